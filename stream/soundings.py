"""The numbers of a room that are sums of no window, and the signals that plays look at: all of a moment at once.

What is known decides how certain each is, and may hide what could be worked out; the sums are `surveying.sound`'s.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from stream import series as s
from stream import surveying
from stream.loops import SHORT_S, Ints
from stream.numbers import MISSING, Known, Number, Status, online_status, worst
from stream.surveying import MEASURED, N_SOUNDINGS, NOT_DIVIDED, RETENTION_60S, RETENTION_60S_COHORT, Floats
from stream.tally import Tally

PUBLISHED = (
    "online",
    "online_1m",
    "peak_online",
    "over_1min_rate_show",
    "refund_rate_show",
    "retention_30s",
    "retention_60s",
    "retention_180s",
    "retention_300s",
)
NAMES = (
    *PUBLISHED,
    "show_s",
    "online_1m_3m_ago",
    "online_drop_z",
    "retention_60s_10m",
    "retention_60s_cohort",
    "orders_now",
    "orders_median_10m",
    "joins_median_10m",
    "organic_joins_3m",
    "organic_joins_base",
    "ads_joins_3m",
    "ads_joins_base",
    "speech_age_s",
    "order_age_s",
    "scene_quiet",
    "reactions_1m",
    "reactions_expected_1m",
    "pin_age_s",
)
"""In the order of the places in `surveying`."""
PLACE: Mapping[str, int] = {name: place for place, name in enumerate(NAMES)}
_CREATED, _PAID = (
    np.array(
        [
            *(s.ONLINE, s.ONLINE_KNOWN, s.BEGAN, *(s.SHORT[after_s] for after_s in SHORT_S)),
            *(s.JOINS, s.JOINS_ADS, s.CHATS, s.LIKE_MESSAGES, *orders),
        ]
    )
    for orders in ((s.ORDERS_CREATED, s.NAMELESS_CREATED), (s.ORDERS_PAID, s.NAMELESS_PAID))
)
_JOINS = ("viewer.join",)
_NONE = -1


class Certainty(NamedTuple):
    """How certain each sounding is if it is there, and 0, or NaN for those that are missing or stale whatever is."""

    statuses: tuple[Status, ...]
    hidden: Floats


class Soundings(NamedTuple):
    """All soundings of a moment, in the order of NAMES.

    `values` (n) are NaN where one is missing; `parts` (n, 2) are what stands above and below in a quotient, a sum and
    NOT_DIVIDED, or MEASURED for one that is neither; UNKNOWN where nothing can be said.
    """

    values: Floats
    parts: Ints
    certainty: Certainty

    def number(self, name: str) -> Number:
        """One of them. Raises KeyError for a name that is none."""
        place = PLACE[name]
        status = self.certainty.statuses[place]
        if status == "missing":
            return MISSING
        above, below = self.parts[place].tolist()
        if below == NOT_DIVIDED:
            guessed = place == RETENTION_60S_COHORT and self.number(NAMES[RETENTION_60S]).status == "estimated"
            return Number(above, "estimated" if guessed else status)
        value = self.values.item(place)
        if below == MEASURED:
            return Number(value, status)
        if below < 0:
            return MISSING
        if value != value:
            return Number(None, "missing", None if above < 0 else above, below)
        return Number(value, status, above, below)

    def changed(self, before: "Soundings | None") -> list[str]:
        """The names of those to be published that differ from those of `before`."""
        if before is None or before.certainty is not self.certainty:
            return [*PUBLISHED]
        some = slice(len(PUBLISHED))
        places = (self.parts[some] != before.parts[some]).any(axis=1).nonzero()[0].tolist()
        return [NAMES[place] for place in places]


def sound(tally: Tally, start_s: int, show_ms: int, peak: tuple[int, int]) -> Soundings:
    """The soundings at the end of the newest second, of a show whose sums begin at `start_s`.

    `peak`: the sum and the seconds of the highest 1-minute mean of online.
    """
    buckets, shelf, known, people = tally.buckets, tally.shelf, tally.known, tally.people_now()
    end_ms = buckets.end_s * 1000
    told = np.array(
        [
            buckets.end_s,
            start_s,
            _NONE if people is None else people,
            int("viewer.leave" in known.seen and not known.masked),
            *peak,
            tally.refunded_paid,
            tally.orders.count.item(s.ORDERS_PAID - s.ORDERS[0]) + buckets.show.item(s.NAMELESS_PAID),
            max(0, end_ms - show_ms) // 1000,
            _age_s(end_ms, tally.speech_ms),
            _age_s(end_ms, tally.order_ms),
            int(tally.quiet_scene),
            _age_s(end_ms, None if shelf.pinned is None else shelf.pin_ts),
        ]
    )
    values, parts = np.empty(N_SOUNDINGS), np.empty((N_SOUNDINGS, 2), np.int64)
    series = _CREATED if "order.created" in known.seen else _PAID
    surveying.sound(buckets.ring, buckets.totals, buckets.show, series, told, values, parts)
    return Soundings(values, parts, _certainty(known, tally.online.value is not None))


def _age_s(end_ms: int, since_ms: int | None) -> int:
    return _NONE if since_ms is None else max(0, end_ms - since_ms) // 1000


def _certainty(known: Known, stated: bool) -> Certainty:
    """`stated`: the number of people online is a source's word."""
    held: dict[Any, Certainty] = known.__dict__  # as Known.status does
    try:
        return held[stated]
    except KeyError:
        statuses = _statuses(known, stated)
        hidden = [np.nan if status in ("missing", "stale") else 0.0 for status in statuses]
        held[stated] = certainty = Certainty(statuses, np.array(hidden))
        return certainty


def _statuses(known: Known, stated: bool) -> tuple[Status, ...]:
    now = known.status(("viewer.count",) if stated else ("viewer.leave",))
    joins, visits, mean = known.status(_JOINS), known.status((*_JOINS, "viewer.leave")), online_status(known)
    by_leaves = "viewer.leave" in known.seen and not known.masked
    stayed = visits if by_leaves else worst("estimated", known.status(("viewer.count",)), joins)
    stayed = "missing" if joins == "missing" else stayed
    paid, reactions = known.status(("order.paid",)), known.status(("chat", "like"))
    orders = known.status(("order.created",)) if "order.created" in known.seen else paid
    told: dict[str, Status] = dict.fromkeys(NAMES, joins) | {
        "online": now if known.readable else worst(now, "estimated"),
        **dict.fromkeys(("online_1m", "peak_online", "online_1m_3m_ago", "online_drop_z"), mean),
        "over_1min_rate_show": visits if by_leaves and joins != "missing" else "missing",
        "refund_rate_show": paid if "order.refunded" in known.seen else "missing",
        **{name: stayed for name in NAMES if name.startswith("retention_")},
        **dict.fromkeys(("orders_now", "orders_median_10m"), orders),
        "speech_age_s": known.status(("host.speech",)),
        "order_age_s": known.status(("order.created", "order.paid")),
        **dict.fromkeys(("reactions_1m", "reactions_expected_1m"), reactions),
        **dict.fromkeys(("show_s", "scene_quiet", "pin_age_s"), "ok"),
        "retention_60s_cohort": "missing" if stayed == "missing" else "ok",
    }
    return tuple(told.values())
