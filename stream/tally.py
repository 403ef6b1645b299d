"""Takes the events of a closing second, or a straggler, into sums, sessions, shelf and sources. It decides nothing."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from operator import itemgetter
from typing import Any

from stream import events as e
from stream import products
from stream import series as s
from stream.audience import Masking, Online, Sessions
from stream.numbers import CHANNEL, FROM, RETURNING, USER, Known, named
from stream.products import Shelf
from stream.sources import SOURCES_MAX, Silence, Sources
from stream.splits import PEOPLE, Splits
from stream.waiting import SESSION, TOLD, Pane
from stream.windows import NEVER, SAME, Buckets, Distinct, settle

USERS_MAX = 1_000_000  # users a room and show before distinct counts of the show say `estimated`
COMBOS_MAX = 10_000  # gift combos remembered; they last seconds, the oldest are forgotten
_INTERACTIONS = frozenset({e.Chat, e.Like, e.Share, e.Follow})
NAMED = {kind: named(tag) for kind, tag in e.TAG_OF.items()}


class Group:
    """The events of one type in a second, the users they name, and the same without repeats."""

    __slots__ = ("events", "people", "users")

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self.users = [event.user for event in events]
        self.people = set(self.users)
        if None in self.people:
            self.people.discard(None)
            self.users = [user for user in self.users if user is not None]


Groups = dict[type, Group]


def _groups(pane: Pane) -> Groups:
    """The events of a pane by type, in the order of its lists."""
    found: dict[type, list[Any]] = {}
    for kind, events in pane.items():
        if kind is not SESSION and kind is not TOLD:
            found[kind] = events
            continue
        for event in events:
            found.setdefault(type(event), []).append(event)
    return {kind: Group(events) for kind, events in found.items()}


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
        self._familiar: set[type] = set()  # event types, and those with a user, that `known` holds
        self._named: set[type] = set()
        self._viewers = self.distinct[s.VIEWERS]
        self._interactors = self.distinct[s.INTERACTORS]
        # In this order: a scene and a plan hold for their whole second, a join for what the joined one does in it.
        self._handlers: dict[type, Callable[[Group, int], None]] = {
            e.AdSpend: self._spent,
            e.ViewerJoin: self._join,
            e.ViewerLeave: lambda group, second: self.buckets.add(s.LEAVES, second, len(group.events)),
            e.ViewerCount: self._count,
            e.RoomExposure: lambda group, second: self._sum(s.EXPOSURES, [one.count for one in group.events], second),
            e.Like: self._like,
            e.Follow: lambda group, second: self._people(s.FOLLOWS, s.FOLLOWERS, group, second),
            e.Share: lambda group, second: self.buckets.add(s.SHARES, second, len(group.events)),
            e.FanclubJoin: lambda group, second: self._people(s.FANCLUB_JOINS, s.FANS, group, second),
            e.Gift: self._gift,
            e.PrivateJoin: lambda group, second: self.buckets.add(s.PRIVATE_JOINS, second, len(group.events)),
            e.Chat: lambda group, second: self._people(s.CHATS, s.CHATTERS, group, second),
            e.ProductExpose: self._expose,
            e.ProductClick: self._click,
            e.CartAdd: self._cart,
            e.OrderCreated: self._created,
            e.OrderPaid: self._paid,
            e.OrderRefunded: self._refunded,
            e.StockLevel: self._stock,
            e.HostSpeech: self._speech,
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
        self._familiar, self._named = set(), set()
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

    def take(self, pane: Pane, second: int) -> None:
        """Events of the second being closed, in order, or a straggler of an earlier one."""
        groups = _groups(pane)
        if not groups.keys() <= self._familiar:
            for kind in groups:
                self._learn(e.TAG_OF[kind])
            self._familiar |= groups.keys()
        if e.SceneStart in groups:
            self._scene(groups[e.SceneStart].events, second)
        sources = {event.source for group in groups.values() for event in group.events}
        self._take_users(groups, sources, second)
        if len(sources) > 1 or None not in sources:
            self._take_sources(groups, sources)
        if SESSION in pane:
            self.sessions.take(pane[SESSION], second)
        if e.ProductPin in groups or e.ProductUnpin in groups:
            for event in pane[TOLD]:
                if isinstance(event, e.ProductPin):
                    self.shelf.pin(event)
                elif isinstance(event, e.ProductUnpin):
                    self.shelf.unpin(event)
        for kind, handler in self._handlers.items():
            if kind in groups:
                handler(groups[kind], second)
        self.shelf.settle()

    def _take_users(self, groups: Groups, sources: AbstractSet[str | None], second: int) -> None:
        people = set[str]().union(*[group.people for group in groups.values()])
        if not people:
            return
        self._learn(USER)
        self._see(self._viewers, people, second)
        self._mask(groups, sources, people)
        active: set[str] = set()
        for kind, group in groups.items():
            if kind in _INTERACTIONS:
                active |= group.people
            if group.people and kind not in self._named:
                self._named.add(kind)
                self._learn(NAMED[kind])
        if active:
            self._see(self._interactors, active, second)

    def _mask(self, groups: Groups, sources: AbstractSet[str | None], people: AbstractSet[str]) -> None:
        """Who is behind the events of each source."""
        if len(sources) == 1:
            users = [user for group in groups.values() for user in group.users]
            self._masking_of(*sources).take_all(users, people)
            return
        by_source: dict[str | None, list[str]] = {}
        for group in groups.values():
            for event in group.events:
                if event.user is not None:
                    by_source.setdefault(event.source, []).append(event.user)
        for source in sorted(by_source, key=lambda source: (source is not None, source)):  # an order replays share
            self._masking_of(source).take_all(by_source[source], set(by_source[source]))

    def _masking_of(self, source: str | None) -> Masking:
        masking = self.masking.get(source)
        if masking is None:
            if len(self.masking) >= SOURCES_MAX:
                source = None  # names beyond are judged together
            masking = self.masking.setdefault(source, Masking())
        return masking

    def _take_sources(self, groups: Groups, sources: AbstractSet[str | None]) -> None:
        for source in sorted(source for source in sources if source is not None):
            told = [
                (event.ts, kind) for kind, group in groups.items() for event in group.events if event.source == source
            ]
            if self.sources.listens(source):
                for ts, kind in sorted(told, key=itemgetter(0)):
                    self.sources.take(source, e.TAG_OF[kind], ts)
            else:
                self.sources.hear(source, {kind for _, kind in told}, max(ts for ts, _ in told))

    def end_second(self) -> None:
        """Close the second: what is left at its end, who was seen again, and what may now be known."""
        column = self.buckets.column
        self._assess(self.buckets.edge_s * 1000)
        online = self.people_now()
        if online is not None:
            column[s.ONLINE] = online
            column[s.ONLINE_KNOWN] = 1
        settle(self.distinct.values(), self.buckets)
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

    def _see(self, distinct: Distinct, users: set[Any], second: int) -> None:
        if self.splits.alive and distinct.series in PEOPLE:
            for user in users:
                before = distinct.see(user, second, self.buckets)
                if before != SAME:
                    self.splits.seen(distinct.series, user, before, second)
        else:
            distinct.see_all(users, second, self.buckets)

    def _people(self, series: int | None, people: int, group: Group, second: int) -> None:
        """Count events and, where they have users, people."""
        if series is not None:
            self.buckets.add(series, second, len(group.events))
        if group.people:
            self._see(self.distinct[people], group.people, second)

    def _sum(self, series: int, amounts: list[int], second: int) -> None:
        self.buckets.add(series, second, sum(amounts))

    def _join(self, group: Group, second: int) -> None:
        events: list[e.ViewerJoin] = group.events
        self.buckets.add(s.JOINS, second, len(events))
        if self.splits.scene is not None:
            self.splits.joined_scene(second, len(events))
        told = [
            event for event in events if event.from_ is not None or event.ref is not None or event.segment is not None
        ]
        for event in told:
            if event.from_ is not None:
                self._learn(FROM)
                if event.from_ == "ads":
                    self.buckets.add(s.JOINS_ADS, second, 1)
            self.splits.join(event, second, self.distinct)

    def _count(self, group: Group, second: int) -> None:
        self._sum(s.VIEW_RISE, [self.online.take(event) for event in group.events], second)

    def _like(self, group: Group, second: int) -> None:
        events: list[e.Like] = group.events
        self._sum(s.LIKES, [event.count for event in events], second)
        self.buckets.add(s.LIKE_MESSAGES, second, len(events))

    def _gift(self, group: Group, second: int) -> None:
        for event in group.events:
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

    def _expose(self, group: Group, second: int) -> None:
        self._people(s.EXPOSES, s.EXPOSED, group, second)
        self.shelf.count(products.EXPOSES, products.EXPOSED, group.events, second)

    def _click(self, group: Group, second: int) -> None:
        self._people(s.CLICKS, s.CLICKERS, group, second)
        self.shelf.count(products.CLICKS, products.CLICKERS, group.events, second)

    def _cart(self, group: Group, second: int) -> None:
        self._people(s.CARTS, s.CARTERS, group, second)
        self.shelf.count(products.CARTS, products.CARTERS, group.events, second)

    def _created(self, group: Group, second: int) -> None:
        events: list[e.OrderCreated] = group.events
        self._sum(s.UNITS_CREATED, [event.qty for event in events], second)
        self._sum(s.GMV_CREATED, [event.amount for event in events], second)
        self._people(None, s.CREATORS, group, second)
        for event in events:
            self._order(s.ORDERS_CREATED, s.NAMELESS_CREATED, event.order, second)
            self.shelf.created(event, second)
        self.order_ms = max(self.order_ms or 0, events[-1].ts)

    def _paid(self, group: Group, second: int) -> None:
        events: list[e.OrderPaid] = group.events
        self._sum(s.UNITS_PAID, [event.qty for event in events], second)
        self._sum(s.GMV_PAID, [event.amount for event in events], second)
        self._sum(s.GMV_NAMED, [event.amount for event in events if event.user is not None], second)
        self._people(None, s.BUYERS, group, second)
        counts_stock = "order.created" not in self.known.seen
        for event in events:
            self._order(s.ORDERS_PAID, s.NAMELESS_PAID, event.order, second, s.REFUNDS)
            self.shelf.paid(event, second, counts_stock)
            if event.channel is not None:
                self._learn(CHANNEL)
                self.buckets.add(s.GMV_AD, second, event.amount)
            if event.returning is not None:
                self._learn(RETURNING)
                if event.returning and event.user is not None:
                    self.distinct[s.RETURNING].see(event.user, second, self.buckets)
            self.splits.paid(event, second)
        self.order_ms = max(self.order_ms or 0, events[-1].ts)

    def _refunded(self, group: Group, second: int) -> None:
        events: list[e.OrderRefunded] = group.events
        self._sum(s.REFUNDED, [event.amount for event in events], second)
        self._sum(s.REFUNDED_AD, [event.amount for event in events if event.channel is not None], second)
        for event in events:
            self._order(s.REFUNDS, s.NAMELESS_REFUNDED, event.order, second, s.ORDERS_PAID)
            self.shelf.refunded(event, second)

    def _stock(self, group: Group, second: int) -> None:
        for event in group.events:
            self.shelf.stock(event, second)

    def _speech(self, group: Group, second: int) -> None:
        self.speech_ms = max(self.speech_ms or 0, group.events[-1].ts)

    def _scene(self, events: list[e.SceneStart], second: int) -> None:
        self.quiet_scene = events[-1].quiet
        self.splits.begin_scene(events[-1].scene)

    def _spent(self, group: Group, second: int) -> None:
        events: list[e.AdSpend] = group.events
        self._sum(s.AD_SPEND, [event.amount for event in events], second)
        for event in events:
            self.splits.spent(event, second)

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
