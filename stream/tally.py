"""Takes the events of a closing second, or a straggler, into sums, sessions, shelf and sources. It decides nothing."""

from collections.abc import Callable
from typing import Any

from stream import events as e
from stream import series as s
from stream.audience import Masking, Online, Sessions
from stream.numbers import CHANNEL, FROM, RETURNING, USER, Known, named
from stream.products import Shelf
from stream.sources import Silence, Sources
from stream.splits import PEOPLE, Splits
from stream.windows import NEVER, SAME, Buckets, Distinct

USERS_MAX = 1_000_000  # users a room and show before distinct counts of the show say `estimated`
COMBOS_MAX = 10_000  # gift combos remembered; they last seconds, the oldest are forgotten
_INTERACTIONS = frozenset({e.Chat, e.Like, e.Share, e.Follow})
NAMED = {kind: named(str(kind.__struct_config__.tag)) for kind in e.RoomEvent.__args__}
TAG = {kind: str(kind.__struct_config__.tag) for kind in e.RoomEvent.__args__}


class Tally:
    """Everything a show counts. `take` is the only way in; times are the room's seconds."""

    def __init__(self, online_source: str | None, declared: frozenset[str]) -> None:
        self.buckets = Buckets(s.N_SERIES)
        self.distinct = {series: Distinct(series, USERS_MAX) for series in s.DISTINCT}
        self.sessions = Sessions(self.buckets)
        self.online = Online(online_source)
        self.shelf = Shelf()
        self.splits = Splits()
        self.sources = Sources(declared)
        self.silent: tuple[Silence, ...] = ()
        self.masking: dict[str | None, Masking] = {}
        self.known = Known()
        self.speech_ms: int | None = None
        self.order_ms: int | None = None
        self.quiet_scene = False
        self.refunded_paid = 0  # orders of this show that were paid and refunded
        self._combos: dict[str, int] = {}
        self._viewers = self.distinct[s.VIEWERS]
        self._interactors = self.distinct[s.INTERACTORS]
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            e.ViewerJoin: self._join,
            e.ViewerLeave: self._leave,
            e.ViewerCount: self._count,
            e.RoomExposure: lambda event, second: self.buckets.add(s.EXPOSURES, second, event.count),
            e.Like: self._like,
            e.Follow: self._follow,
            e.Share: lambda event, second: self.buckets.add(s.SHARES, second, 1),
            e.FanclubJoin: self._fanclub,
            e.Gift: self._gift,
            e.PrivateJoin: lambda event, second: self.buckets.add(s.PRIVATE_JOINS, second, 1),
            e.Chat: self._chat,
            e.ProductPin: lambda event, second: self.shelf.pin(event),
            e.ProductUnpin: lambda event, second: self.shelf.unpin(event),
            e.ProductExpose: self._expose,
            e.ProductClick: self._click,
            e.CartAdd: self._cart,
            e.OrderCreated: self._created,
            e.OrderPaid: self._paid,
            e.OrderRefunded: self._refunded,
            e.StockLevel: self.shelf.stock,
            e.AdSpend: self._spent,
            e.HostSpeech: self._speech,
            e.SceneStart: self._scene,
        }

    def start_show(self, second: int) -> None:
        """A new show: everything counted so far is another's."""
        self.buckets.start(second)
        self.shelf.start(second)
        self.splits.start(second)
        for distinct in self.distinct.values():
            distinct.clear()
        self.sessions.clear()
        self.online.clear()
        self.masking = {}
        self.known = Known()
        self.speech_ms = self.order_ms = None
        self.quiet_scene = False
        self.refunded_paid = 0
        self._combos = {}

    def begin_second(self) -> None:
        """The second `buckets.end_s` is being closed; its events follow."""
        self.buckets.edge_s = self.buckets.end_s + 1
        self.sessions.second_begins()
        self.shelf.panes.step()
        self.splits.panes.step()

    def take(self, event: e.RoomEvent, second: int) -> None:
        """An event of the second being closed or of an earlier one."""
        kind = type(event)
        user = event.user
        if user is not None:
            self._seen(self._viewers, user, second)
            source = event.source
            masking = self.masking.get(source)
            if masking is None:
                masking = self.masking[source] = Masking()
            masking.take(user)
            self._learn(USER)
            self._learn(NAMED[kind])
            if kind in _INTERACTIONS:
                self._interactors.see(user, second, self.buckets)
        if event.source is not None:
            self.sources.take(event.source, TAG[kind], event.ts)
        self._learn(TAG[kind])
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(event, second)

    def end_second(self) -> None:
        """Close the second: what is left at its end, who was seen again, and what may now be known."""
        column = self.buckets.column
        self._assess(self.buckets.edge_s * 1000)
        online = self.people_now()
        if online is not None:
            column[s.ONLINE] = online
            column[s.ONLINE_KNOWN] = 1
        for distinct in self.distinct.values():
            distinct.settle(self.buckets)
        self.buckets.step()
        if self.shelf.pinned is not None:
            self.shelf.watch_pitch("order.created" in self.known.seen)

    def still(self) -> list[int]:
        """The sums of a second in which nothing happens, for seconds that are skipped."""
        column = [0] * s.N_SERIES
        online = self.people_now()
        if online is not None:
            column[s.ONLINE], column[s.ONLINE_KNOWN] = online, 1
        column[s.WATCH_MS] = self.sessions.open * 1000
        return column

    def people_now(self) -> int | None:
        """People in the room: the newest stated count, else open sessions where leaves are sent, else None."""
        if self.online.value is not None:
            return self.online.value
        if "viewer.leave" in self.known.seen and not self.known.masked:
            return self.sessions.online()
        return None

    def _learn(self, tag: str) -> None:
        known = self.known
        if tag in known.seen:
            return
        self.known = Known(known.seen | {tag}, known.silent, known.masked, known.visits, known.readable, known.full)

    def _assess(self, end_ms: int) -> None:
        """Refresh what may be known at `end_ms`; a new record only when something changed, since lines keep it."""
        self.silent = self.sources.silent(end_ms)
        blind = self.sources.blind(self.silent)
        blind |= {named(tag) for tag in blind}
        masked = any(masking.masked for masking in self.masking.values())
        visits = self.online.total is not None
        full = frozenset(series for series, distinct in self.distinct.items() if distinct.full)
        known = self.known
        now = Known(known.seen, blind, masked, visits, self.online.exact, full)
        if now != known:
            self.known = now

    # --- one method a type

    def _join(self, event: e.ViewerJoin, second: int) -> None:
        self.buckets.add(s.JOINS, second, 1)
        if event.from_ is not None:
            self._learn(FROM)
            if event.from_ == "ads":
                self.buckets.add(s.JOINS_ADS, second, 1)
        self.sessions.join(event.user, event.ts)
        self.splits.join(event, second, self.distinct)
        self.splits.joined_scene(second)

    def _leave(self, event: e.ViewerLeave, second: int) -> None:
        self.buckets.add(s.LEAVES, second, 1)
        self.sessions.leave(event.user, event.ts)

    def _count(self, event: e.ViewerCount, second: int) -> None:
        rise = self.online.take(event)
        if rise:
            self.buckets.add(s.VIEW_RISE, second, rise)

    def _like(self, event: e.Like, second: int) -> None:
        self.buckets.add(s.LIKES, second, event.count)
        self.buckets.add(s.LIKE_MESSAGES, second, 1)

    def _follow(self, event: e.Follow, second: int) -> None:
        self.buckets.add(s.FOLLOWS, second, 1)
        self._person(s.FOLLOWERS, event.user, second)

    def _fanclub(self, event: e.FanclubJoin, second: int) -> None:
        self.buckets.add(s.FANCLUB_JOINS, second, 1)
        self._person(s.FANS, event.user, second)

    def _gift(self, event: e.Gift, second: int) -> None:
        count, new = event.count, 1
        if event.combo is not None:
            key = f"{event.source}\n{event.user}\n{event.combo}"
            before = self._combos.pop(key, None)
            self._combos[key] = max(before or 0, count)
            if len(self._combos) > COMBOS_MAX:
                del self._combos[next(iter(self._combos))]
            new = int(before is None)
            count = max(0, count - (before or 0))
        if new:
            self.buckets.add(s.GIFTS, second, 1)
        if count:
            self.buckets.add(s.GIFT_VALUE, second, count * event.value)

    def _chat(self, event: e.Chat, second: int) -> None:
        self.buckets.add(s.CHATS, second, 1)
        self._person(s.CHATTERS, event.user, second)

    def _expose(self, event: e.ProductExpose, second: int) -> None:
        self.buckets.add(s.EXPOSES, second, 1)
        self._person(s.EXPOSED, event.user, second)
        self.shelf.expose(event, second)

    def _click(self, event: e.ProductClick, second: int) -> None:
        self.buckets.add(s.CLICKS, second, 1)
        self._person(s.CLICKERS, event.user, second)
        self.shelf.click(event, second)

    def _cart(self, event: e.CartAdd, second: int) -> None:
        self.buckets.add(s.CARTS, second, 1)
        self._person(s.CARTERS, event.user, second)
        self.shelf.cart(event, second)

    def _created(self, event: e.OrderCreated, second: int) -> None:
        self.buckets.add(s.UNITS_CREATED, second, event.qty)
        self.buckets.add(s.GMV_CREATED, second, event.amount)
        self._order(s.ORDERS_CREATED, s.NAMELESS_CREATED, event.order, second)
        self._person(s.CREATORS, event.user, second)
        self.order_ms = max(self.order_ms or 0, event.ts)
        self.shelf.created(event, second)

    def _paid(self, event: e.OrderPaid, second: int) -> None:
        self.buckets.add(s.UNITS_PAID, second, event.qty)
        self.buckets.add(s.GMV_PAID, second, event.amount)
        if event.user is not None:
            self.buckets.add(s.GMV_NAMED, second, event.amount)
        if event.channel is not None:
            self._learn(CHANNEL)
            self.buckets.add(s.GMV_AD, second, event.amount)
        self._order(s.ORDERS_PAID, s.NAMELESS_PAID, event.order, second, s.REFUNDS)
        self._person(s.BUYERS, event.user, second)
        if event.returning:
            self._person(s.RETURNING, event.user, second)
        if event.returning is not None:
            self._learn(RETURNING)
        self.splits.paid(event, second)
        self.order_ms = max(self.order_ms or 0, event.ts)
        self.shelf.paid(event, second, "order.created" not in self.known.seen)

    def _refunded(self, event: e.OrderRefunded, second: int) -> None:
        self.buckets.add(s.REFUNDED, second, event.amount)
        if event.channel is not None:
            self.buckets.add(s.REFUNDED_AD, second, event.amount)
        self._order(s.REFUNDS, s.NAMELESS_REFUNDED, event.order, second, s.ORDERS_PAID)
        self.shelf.refunded(event, second)

    def _speech(self, event: e.HostSpeech, second: int) -> None:
        self.speech_ms = max(self.speech_ms or 0, event.ts)

    def _scene(self, event: e.SceneStart, second: int) -> None:
        self.quiet_scene = event.quiet
        self.splits.begin_scene(event.scene)

    def _spent(self, event: e.AdSpend, second: int) -> None:
        self.buckets.add(s.AD_SPEND, second, event.amount)
        self.splits.spent(event, second)

    def _seen(self, distinct: Distinct, user: str, second: int) -> None:
        before = distinct.see(user, second, self.buckets)
        if before != SAME and self.splits.alive:
            self.splits.seen(distinct.series, user, before, second)

    def _person(self, series: int, user: str | None, second: int) -> None:
        if user is None:
            return
        if series in PEOPLE:
            self._seen(self.distinct[series], user, second)
        else:
            self.distinct[series].see(user, second, self.buckets)

    def _order(self, series: int, nameless: int, order: str | None, second: int, other: int | None = None) -> None:
        """An order line; `other` is the count whose common orders make the refund rate."""
        if order is None:
            self.buckets.add(nameless, second, 1)
            return
        before = self.distinct[series].see(order, second, self.buckets)
        if before == NEVER and other is not None and order in self.distinct[other].last:
            self.refunded_paid += 1

    # --- totals

    def show_sums(self) -> list[int]:
        """The sums of the whole show, distinct counts as the number of keys ever seen."""
        sums: list[int] = self.buckets.show.tolist()
        for series, distinct in self.distinct.items():
            sums[series] = len(distinct.last)
        if self.online.total is not None:
            sums[s.VIEW_RISE] = self.online.total
        return sums

    def snapshot(self) -> dict[str, Any]:
        """Everything counted as plain data."""
        known = self.known
        return {
            "buckets": self.buckets.snapshot(),
            "distinct": [(series, distinct.last, distinct.full) for series, distinct in self.distinct.items()],
            "sessions": self.sessions.snapshot(),
            "online": self.online.snapshot(),
            "shelf": self.shelf.snapshot(),
            "sources": self.sources.snapshot(),
            "masking": [(source, masking.snapshot()) for source, masking in self.masking.items()],
            "known": [
                list(known.seen),
                list(known.silent),
                known.masked,
                known.visits,
                known.readable,
                list(known.full),
            ],
            "splits": self.splits.snapshot(),
            "heard": [self.speech_ms, self.order_ms, self.quiet_scene, self.refunded_paid],
            "combos": list(self._combos.items()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Everything as it stood when `state` was taken."""
        self.buckets.restore(state["buckets"])
        for series, last, full in state["distinct"]:
            self.distinct[series].last = last
            self.distinct[series].full = full
        self.sessions.restore(state["sessions"])
        self.online.restore(state["online"])
        self.shelf.restore(state["shelf"])
        self.sources.restore(state["sources"])
        for source, counts in state["masking"]:
            self.masking[source] = Masking()
            self.masking[source].restore(counts)
        seen, silent, masked, visits, readable, full = state["known"]
        self.known = Known(frozenset(seen), frozenset(silent), masked, visits, readable, frozenset(full))
        self.silent = self.sources.silent(self.buckets.end_s * 1000)
        self.speech_ms, self.order_ms, self.quiet_scene, self.refunded_paid = state["heard"]
        self.splits.restore(state["splits"])
        self._combos = dict(state["combos"])
