"""Every number by name: what it needs, how it is made of sums, its windows, unit and status.

A number is `missing` until an event it needs was seen in this show; from then on 0 is 0. It is `stale` when every
source that sends those events is silent, `estimated` when it rests on an assumption its formula names.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from stream import series as s

Status = Literal["ok", "estimated", "missing", "stale"]


class Number(msgspec.Struct, frozen=True, gc=False):
    """`value` is None unless something is known; `num` and `den` are set for ratios and means."""

    value: int | float | None
    status: Status
    num: int | None = None
    den: int | None = None


MISSING = Number(None, "missing")
_RANK: dict[Status, int] = {"ok": 0, "estimated": 1, "stale": 2, "missing": 3}


class Known(msgspec.Struct, frozen=True, dict=True):
    """What may be known at a moment: event types seen in the show, those gone silent, and people told apart or not."""

    seen: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    masked: bool = False
    visits: bool = False  # the platform's own count of visits was seen
    readable: bool = True  # online counts are exact, not display strings
    full: frozenset[int] = frozenset()  # distinct series at their limit

    def status(self, needs: tuple[str, ...]) -> Status:
        """Of a number that any one of the event types `needs` can feed; asked some hundred times a second."""
        told: dict[Any, Status] = self.__dict__  # a room's Known changes some dozen times a show
        try:
            return told[needs]
        except KeyError:
            told[needs] = status = self._status(needs)
            return status

    def _status(self, needs: tuple[str, ...]) -> Status:
        here = [need for need in needs if need in self.seen]
        if not here:
            return "missing"
        return "stale" if self.silent and all(need in self.silent for need in here) else "ok"


class Totals(msgspec.Struct, frozen=True):
    """The sums of one window, one a series, its length so far in seconds, and what may be known."""

    sums: list[int]
    seconds: int
    known: Known
    show: bool = False


Make = Callable[[Totals], Number]


class Definition(msgspec.Struct, frozen=True):
    """A number: `formula` as DOMAIN states it, `make` computes it over one window."""

    name: str
    unit: str
    formula: str
    windows: tuple[str, ...]
    make: Make


ALL = ("1m", "5m", "10m", "prev10m", "show")
LONG = ("5m", "10m", "prev10m", "show")
# These stand among the event types for a field that some event of the show carried.
USER = "user"  # any event
BY_USER = "+user"  # after an event type: one of that type
FROM = "from"  # a join said where it came from
CHANNEL = "channel"  # a payment named its ad channel
RETURNING = "returning"  # a payment said whether its buyer had bought before
INTERACTION = ("chat", "like", "share", "follow")


def worst(*statuses: Status) -> Status:
    """The least certain of several."""
    return max(statuses, key=_RANK.__getitem__)


class Counted(msgspec.Struct, frozen=True):
    """A sum of event series."""

    needs: tuple[str, ...]
    series: tuple[int, ...]

    def __call__(self, totals: Totals) -> Number:
        """The number over one window."""
        status = totals.known.status(self.needs)
        if status == "missing":
            return MISSING
        sums = totals.sums
        series = self.series
        if len(series) == 1:
            return Number(sums[series[0]], status)
        return Number(sum([sums[i] for i in series]), status)


class People(msgspec.Struct, frozen=True):
    """A distinct count of users; missing where a source masks them, estimated beyond the limit of users."""

    needs: tuple[str, ...]
    series: int

    def __call__(self, totals: Totals) -> Number:
        """The number over one window."""
        known = totals.known
        status = known.status(self.needs)
        if status == "missing" or known.masked:
            return MISSING
        if totals.show and self.series in known.full:
            status = worst(status, "estimated")
        return Number(totals.sums[self.series], status)


class Ratio(msgspec.Struct, frozen=True):
    """`factor` times one number over another; missing where the denominator is 0."""

    num: Make
    den: Make
    factor: int = 1

    def __call__(self, totals: Totals) -> Number:
        """The number over one window."""
        below = self.den(totals)
        if below.value is None:
            return MISSING
        above = self.num(totals)
        if above.value is None:
            return MISSING
        a, b = int(above.value), int(below.value)
        if b == 0:
            return Number(None, "missing", a, b)
        return Number(self.factor * a / b, worst(above.status, below.status), a, b)


class PerMinute(msgspec.Struct, frozen=True):
    """A count over the minutes of the window, or of the show where it is younger; `den` is in seconds."""

    count: Make

    def __call__(self, totals: Totals) -> Number:
        """The number over one window."""
        number = self.count(totals)
        if number.value is None or totals.seconds <= 0:
            return MISSING
        n = int(number.value)
        return Number(60 * n / totals.seconds, number.status, n, totals.seconds)


def counted(needs: Sequence[str], *series: int) -> Make:
    """A sum of event series, known once any of the event types `needs` was seen."""
    return Counted(tuple(needs), series)


def named(tag: str) -> str:
    """What stands among the event types seen for: an event of this type that carried a user."""
    return tag + BY_USER


def people(needs: Sequence[str], series: int) -> Make:
    """A distinct count of users, known once an event of one of the types `needs` carried a user."""
    return People(tuple(need if need == USER else named(need) for need in needs), series)


def needs_of(make: Make) -> tuple[str, ...]:
    """The event types (or fields) that feed a number."""
    match make:
        case Counted() | People():
            return make.needs
        case Ratio():
            return tuple(dict.fromkeys([*needs_of(make.num), *needs_of(make.den)]))
        case PerMinute():
            return needs_of(make.count)
        case _:
            return _OWN_NEEDS.get(make, ())


def views(totals: Totals) -> Number:
    """The rise of the platform's count of visits where it is sent (readers lose joins), else joins."""
    return rise(totals) if totals.known.visits else joins(totals)


def dwell(totals: Totals) -> Number:
    """Watch time over viewers, in seconds; without leaves the integral of online over joins (Little's law)."""
    known, sums = totals.known, totals.sums
    if "viewer.leave" in known.seen and not known.masked:
        viewers = sums[s.VIEWERS]
        status = known.status(("viewer.join", "viewer.leave"))
        if not viewers:
            return Number(None, "missing", sums[s.WATCH_MS], 0)
        return Number(sums[s.WATCH_MS] / (1000 * viewers), status, sums[s.WATCH_MS], viewers)
    if not sums[s.ONLINE_KNOWN] or "viewer.join" not in known.seen:
        return MISSING
    if not sums[s.JOINS]:
        return Number(None, "missing", sums[s.ONLINE], 0)
    status = worst("estimated", online_mean(totals).status, known.status(("viewer.join",)))
    return Number(sums[s.ONLINE] / sums[s.JOINS], status, sums[s.ONLINE], sums[s.JOINS])


def online_mean(totals: Totals) -> Number:
    """Mean of online over the seconds in which it is known."""
    seconds = totals.sums[s.ONLINE_KNOWN]
    if not seconds:
        return MISSING
    return Number(totals.sums[s.ONLINE] / seconds, online_status(totals.known), totals.sums[s.ONLINE], seconds)


def online_status(known: Known) -> Status:
    """Of people online, by the second."""
    status = known.status(("viewer.count", "viewer.leave"))
    return status if known.readable else worst(status, "estimated")


def chat_density(totals: Totals) -> Number:
    """Chats a minute per 100 people online: 6000 x chats / sum of online over the window's seconds."""
    number, mean = chats(totals), online_mean(totals)
    if number.value is None or mean.value is None:
        return MISSING
    n, person_seconds = int(number.value), totals.sums[s.ONLINE]
    if not person_seconds:
        return Number(None, "missing", n, 0)
    return Number(6_000 * n / person_seconds, worst(number.status, mean.status), n, person_seconds)


def net_ad(totals: Totals) -> Number:
    """Paid less refunded, of lines that name an ad channel."""
    number = gmv_ad(totals)
    if number.value is None:
        return MISSING
    return Number(int(number.value) - totals.sums[s.REFUNDED_AD], number.status)


joins = counted(("viewer.join",), s.JOINS)
rise = counted(("viewer.count",), s.VIEW_RISE)
viewers = people((USER,), s.VIEWERS)
chats = counted(("chat",), s.CHATS)
exposed = people(("product.expose",), s.EXPOSED)
clickers = people(("product.click",), s.CLICKERS)
carters = people(("cart.add",), s.CARTERS)
creators = people(("order.created",), s.CREATORS)
buyers = people(("order.paid",), s.BUYERS)
followers = people(("follow",), s.FOLLOWERS)
fans = people(("fanclub.join",), s.FANS)
interactors = people(INTERACTION, s.INTERACTORS)
exposures = counted(("room.exposure",), s.EXPOSURES)
orders_created = counted(("order.created",), s.ORDERS_CREATED, s.NAMELESS_CREATED)
orders_paid = counted(("order.paid",), s.ORDERS_PAID, s.NAMELESS_PAID)
units_paid = counted(("order.paid",), s.UNITS_PAID)
gmv_paid = counted(("order.paid",), s.GMV_PAID)
ad_spend = counted(("ad.spend",), s.AD_SPEND)
ad_joins = counted((FROM,), s.JOINS_ADS)
gmv_ad = counted((CHANNEL,), s.GMV_AD)
returning = People((RETURNING,), s.RETURNING)
gmv_named = counted(("order.paid",), s.GMV_NAMED)


def _define(name: str, unit: str, formula: str, make: Make, windows: tuple[str, ...] = ALL) -> Definition:
    return Definition(name, unit, formula, windows, make)


DEFINITIONS: tuple[Definition, ...] = (
    _define("joins", "events", "viewer.join events", joins),
    _define("views", "events", "rise of viewer.count.total where sent, else joins", views),
    _define("viewers", "people", "distinct users with any event", viewers),
    _define("leaves", "events", "viewer.leave events", counted(("viewer.leave",), s.LEAVES)),
    _define("chats", "events", "chat events", chats),
    _define("chatters", "people", "distinct users who chatted", people(("chat",), s.CHATTERS)),
    _define("likes", "likes", "sum of like.count", counted(("like",), s.LIKES)),
    _define("follows", "events", "follow events", counted(("follow",), s.FOLLOWS)),
    _define("shares", "events", "share events", counted(("share",), s.SHARES)),
    _define("fanclub_joins", "events", "fanclub.join events", counted(("fanclub.join",), s.FANCLUB_JOINS)),
    _define("gifts", "events", "gift events, a combo once", counted(("gift",), s.GIFTS)),
    _define("gift_value", "coins", "sum of count x value, a combo by its rise", counted(("gift",), s.GIFT_VALUE)),
    _define("exposures", "events", "sum of room.exposure.count", exposures),
    _define("exposes", "events", "product.expose events", counted(("product.expose",), s.EXPOSES)),
    _define("exposed", "people", "distinct users shown a product", exposed),
    _define("clicks", "events", "product.click events", counted(("product.click",), s.CLICKS)),
    _define("clickers", "people", "distinct users who clicked a product", clickers),
    _define("carts", "events", "cart.add events", counted(("cart.add",), s.CARTS)),
    _define("carters", "people", "distinct users who added to the cart", carters),
    _define("orders_created", "orders", "distinct orders created; lines without an order id each one", orders_created),
    _define("orders_paid", "orders", "distinct orders paid; lines without an order id each one", orders_paid),
    _define("units_created", "units", "sum of order.created.qty", counted(("order.created",), s.UNITS_CREATED)),
    _define("units_paid", "units", "sum of order.paid.qty", units_paid),
    _define("creators", "people", "distinct users who ordered", creators),
    _define("buyers", "people", "distinct users who paid", buyers),
    _define("gmv_created", "minor", "sum of order.created.amount", counted(("order.created",), s.GMV_CREATED)),
    _define("gmv_paid", "minor", "sum of order.paid.amount", gmv_paid),
    _define(
        "refunds", "orders", "distinct orders refunded", counted(("order.refunded",), s.REFUNDS, s.NAMELESS_REFUNDED)
    ),
    _define("refunded", "minor", "sum of order.refunded.amount", counted(("order.refunded",), s.REFUNDED)),
    _define("private_joins", "events", "private.join events", counted(("private.join",), s.PRIVATE_JOINS)),
    _define("inflow_per_min", "per minute", "joins a minute", PerMinute(joins)),
    _define("chats_per_min", "per minute", "chats a minute", PerMinute(chats)),
    _define("dwell_s", "seconds", "watch time / viewers; without leaves online integral / joins (estimated)", dwell),
    _define(
        "interaction_rate",
        "ratio",
        "users who chatted, liked, shared or followed / viewers",
        Ratio(interactors, viewers),
    ),
    _define("chat_density", "per minute", "chats a minute per 100 online", chat_density),
    _define("follow_rate", "ratio", "followers / viewers", Ratio(followers, viewers)),
    _define("fanclub_rate", "ratio", "fan-club joiners / viewers", Ratio(fans, viewers)),
    _define("enter_rate", "ratio", "views / room exposures", Ratio(views, exposures)),
    _define("expose_rate", "ratio", "exposed / viewers", Ratio(exposed, viewers)),
    _define("click_rate", "ratio", "clickers / exposed", Ratio(clickers, exposed)),
    _define("cart_rate", "ratio", "carters / clickers", Ratio(carters, clickers)),
    _define("create_rate", "ratio", "creators / clickers", Ratio(creators, clickers)),
    _define("pay_rate", "ratio", "buyers / clickers", Ratio(buyers, clickers)),
    _define("view_pay_rate", "ratio", "buyers / viewers", Ratio(buyers, viewers)),
    _define("gpm", "minor", "1000 x gmv_paid / views", Ratio(gmv_paid, views, 1000), LONG),
    _define("uv_value", "minor", "gmv_paid / viewers", Ratio(gmv_paid, viewers)),
    _define("aov", "minor", "paid by identified buyers / buyers", Ratio(gmv_named, buyers)),
    _define("repeat_rate", "ratio", "buyers marked returning / buyers", Ratio(returning, buyers)),
    _define("ad_spend", "minor", "sum of ad.spend.amount", ad_spend),
    _define("ad_joins", "events", "viewer.join events from ads", ad_joins),
    _define("cost_per_join", "minor", "ad_spend / joins from ads", Ratio(ad_spend, ad_joins)),
    _define("roi", "ratio", "gmv_paid of lines that name an ad channel / ad_spend", Ratio(gmv_ad, ad_spend)),
    _define("roi_all", "ratio", "gmv_paid / ad_spend", Ratio(gmv_paid, ad_spend)),
    _define("roi_net", "ratio", "the same as roi less what of it was refunded", Ratio(net_ad, ad_spend)),
    _define("per_order", "minor", "gmv_paid / orders_paid", Ratio(gmv_paid, orders_paid)),
    _define("per_unit", "minor", "gmv_paid / units_paid", Ratio(gmv_paid, units_paid)),
)
_OWN_NEEDS: dict[Make, tuple[str, ...]] = {
    views: ("viewer.count", "viewer.join"),
    dwell: ("viewer.join", "viewer.leave", "viewer.count"),
    chat_density: ("chat", "viewer.count", "viewer.leave"),
    net_ad: (CHANNEL, "order.refunded"),
}
RETENTION_S = (30, 60, 180, 300)
WINDOWLESS: dict[str, tuple[str, str]] = {
    "online": ("people", "newest viewer.count; else open sessions"),
    "online_1m": ("people", "mean of online over the last 60 closed seconds in which it is known"),
    "over_1min_rate_show": (
        "ratio",
        "of sessions begun before T-60 s in this show those not ended within 60 s",
    ),
    "refund_rate_show": ("ratio", "orders paid and refunded in this show / orders_paid_show"),
    "peak_online": ("people", "maximum of online_1m over whole minutes of seconds"),
} | {
    f"retention_{n}s": (
        "ratio",
        f"of sessions begun in [T-{n + 120} s, T-{n} s) those that lasted {n} s; 20 at least; without leaves "
        "1 - leaves/(online then + joins since) (estimated)",
    )
    for n in RETENTION_S
}
BY_KEY: dict[str, tuple[Definition, str]] = {
    f"{definition.name}_{window}": (definition, window) for definition in DEFINITIONS for window in definition.windows
}
KEYS: frozenset[str] = frozenset(BY_KEY) | frozenset(WINDOWLESS)
