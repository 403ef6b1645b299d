"""Takes the events of a closing second, or a straggler, into sums, sessions, shelf and sources. It decides nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from stream import events as e
from stream import loops
from stream import series as s
from stream.audience import Masking, Online, Sessions
from stream.kinds import COUNTS_IN, JOIN, WITH_USER, bits
from stream.loops import AMOUNT, KIND, NONE, PIECES, SOURCE, TS, USER, WHAT, Ints
from stream.names import NOBODY
from stream.numbers import CHANNEL, FROM, RETURNING, Known, named
from stream.numbers import USER as ANY_USER
from stream.offers import Sale
from stream.products import LINES, Shelf
from stream.sources import SOURCES_MAX, Silence, Sources
from stream.splits import Splits
from stream.waiting import ABOUT_CODES, CODE, KINDS, SELLING, TOLD, Moment, Pane, Waiting
from stream.windows import Buckets, Distinct

COMBOS_MAX = 10_000  # gift combos remembered; they last seconds, the oldest are forgotten
_JOINS, _ABOUT_PRODUCTS, _SELLING = bits([JOIN]), bits(ABOUT_CODES), bits(CODE[kind] for kind in SELLING)
# What lines of orders count in: pieces, amount, amount by buyers with an id, lines without an order, orders, and the
# orders of the refund rate, whose other half they are.
_IN_ROOM: dict[type, tuple[int, ...]] = {
    e.OrderCreated: (s.UNITS_CREATED, s.GMV_CREATED, NONE, s.NAMELESS_CREATED, s.ORDERS_CREATED, NONE),
    e.OrderPaid: (s.UNITS_PAID, s.GMV_PAID, s.GMV_NAMED, s.NAMELESS_PAID, s.ORDERS_PAID, s.REFUNDS),
    e.OrderRefunded: (NONE, s.REFUNDED, NONE, s.NAMELESS_REFUNDED, s.REFUNDS, s.ORDERS_PAID),
}
_LINES = np.array([(CODE[kind], *_IN_ROOM[kind], *LINES[kind]) for kind in SELLING])  # see `loops.sell`
_SOLD = [CODE[e.OrderCreated], CODE[e.OrderPaid]]
_WHO = {s.VIEWERS: None, s.CLICKERS: e.ProductClick, s.BUYERS: e.OrderPaid}  # of the splits' people; None: of any event


def _by_type(pane: Pane) -> dict[type, list[Any]]:
    """The events of a pane by type, in the order of its lists."""
    found = {kind: events for kind, events in pane.items() if kind is not TOLD}
    for event in pane.get(TOLD, ()):
        found.setdefault(type(event), []).append(event)
    return found


class Tally:
    """Everything a show counts. `take` is the only way in; times are the room's seconds."""

    def __init__(self, online_source: str | None, declared: frozenset[str], waiting: Waiting) -> None:
        self.users = waiting.users
        self._orders = waiting.orders
        self._source_names = waiting.sources
        self.buckets = Buckets(s.N_SERIES)
        self.people = Distinct(s.PEOPLE[0], len(s.PEOPLE), self.buckets)
        self.orders = Distinct(s.ORDERS[0], len(s.ORDERS), self.buckets)
        self.sessions = Sessions(self.buckets)
        self._users_max = 0  # the number up to which there is room for users
        self.online = Online(online_source)
        self.shelf = Shelf(waiting.products)
        self.splits = Splits()
        self.sources = Sources(declared)
        self.silent: tuple[Silence, ...] = ()
        self.masking: dict[str | None, Masking] = {}
        self._maskings: dict[int, Masking] = {}  # the same by number of the source
        self.known = Known()
        self._told: tuple[object, ...] = ()  # what `known` was made of, besides what was seen
        self.speech_ms: int | None = None
        self.order_ms: int | None = None
        self.quiet_scene = False
        self.refunded_paid = 0  # orders of this show that were paid and refunded
        self._combos: dict[str, int] = {}
        self._familiar = self._named = 0  # bits of the types, and of those with a user, that `known` holds
        # In this order: a scene and a plan hold for their whole second, a join for what the joined one does in it.
        # Order lines come after, then readings of the stock they were taken from.
        self._handlers: dict[type, Callable[[list[Any], int], None]] = {
            e.AdSpend: self._spent,
            e.ViewerJoin: self._whence,
            e.ViewerCount: self._count,
            e.Gift: self._gift,
            e.OrderPaid: self._paid,
            e.OrderRefunded: self._refunded,
            e.HostSpeech: self._speech,
        }

    def start_show(self, second: int) -> None:
        """A new show: everything counted so far is another's."""
        self.buckets.start(second)
        self.shelf.start(second)
        self.splits.start(second)
        for distinct in (self.people, self.orders):
            distinct.clear()
        self.sessions.clear()
        self._users_max = 0
        self.online.clear()
        self.masking, self._maskings = {}, {}
        self.known = Known()
        self._told = ()
        self._familiar = self._named = 0
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

    def take(self, moment: Moment, second: int) -> None:
        """Events of the second being closed, or a straggler of an earlier one."""
        rows, lists = moment.rows, _by_type(moment.pane) if moment.pane else {}
        column, came, source = self.buckets.column_of(second), moment.kinds, moment.source
        if came & ~self._familiar or moment.named & ~self._named:
            self._meet(came, moment.named)
        if e.SceneStart in lists:
            self._scene(lists[e.SceneStart], second)
        self._make_room(self.users.count)
        if moment.named and self.splits.alive:
            self._tell_splits(rows, second)
        self._count_rows(moment, column, second)
        if source != NOBODY:
            self._take_sources(rows, source)
        if e.ProductPin in lists or e.ProductUnpin in lists:
            self._pins(moment.pane[TOLD])
        if came & _JOINS and self.splits.scene is not None:
            self.splits.joined_scene(second, int((rows[:, KIND] == JOIN).sum()))
        for kind, handler in self._handlers.items() if lists else ():
            if kind in lists:
                handler(lists[kind], second)
        if came & _SELLING:
            self._sold(moment, second)
        if e.StockLevel in lists:
            self._stock(lists[e.StockLevel], second)
        if column is not self.buckets.column and column.any():
            self.buckets.correct(second, column)
        self.splits.panes.settle()

    def _meet(self, came: int, named: int) -> None:
        """Event types of which some came, and some with a user, are known from now on."""
        for code, kind in enumerate(KINDS):
            if came & ~self._familiar & 1 << code:
                self._learn(e.TAG_OF[kind])
            if named & ~self._named & 1 << code:
                self._learn(ANY_USER)
                self._learn(WITH_USER[code])
        self._familiar |= came
        self._named |= named

    def _make_room(self, users: int) -> None:
        """For users up to this number."""
        if users >= self._users_max:
            self._users_max = 2 * users
            self.people.make_room(self._users_max)
            self.sessions.make_room(self._users_max)

    def _count_rows(self, moment: Moment, column: Ints, second: int) -> None:
        """What the rows say alone; sums of the room gather in `column`."""
        rows, users = moment.rows, self.users.count
        if moment.kinds & _ABOUT_PRODUCTS:
            self.shelf.make_room(rows)
        sources = [moment.source if moment.named else NOBODY]
        if sources == [NONE]:
            sources = np.unique(rows[rows[:, USER] != NOBODY, SOURCE]).tolist()
        masking = self._masking_of(sources[0], users)
        self.orders.make_room(self._orders.count)
        told, paired = np.zeros((len(_LINES), 2), np.int64), np.empty(len(rows), np.int64)
        sales = self.orders.state, _LINES, told, paired
        state = self.people.state, self.sessions.state, self.shelf.state, masking.by_user
        counts = loops.count(rows, column, second, COUNTS_IN, *state, sources[0], sales, moment.kinds)
        complete, spoke, most, pairs = counts
        self.shelf.full |= not complete
        masking.saw(spoke, most)
        if moment.kinds & _SELLING:
            (created, created_ms), (paid, paid_ms), (refunded, _) = told.tolist()
            self.refunded_paid += created + paid + refunded
            self.order_ms = max(self.order_ms or 0, created_ms, paid_ms) or None
            self.shelf.pair(paired[:pairs])
        for number in sources[1:]:
            masking = self._masking_of(number, users)
            masking.saw(*loops.count_users(masking.by_user, rows, number))

    def _tell_splits(self, rows: Ints, second: int) -> None:
        """Whoever is seen later than before counts for the parts of the room they belong to."""
        for series, kind in _WHO.items():
            users = np.unique(rows[:, USER] if kind is None else rows[rows[:, KIND] == CODE[kind], USER])
            users = users[users != NOBODY]
            for user, before in zip(users.tolist(), self.people.seen_last(series, users), strict=True):
                if before < second:
                    self.splits.seen(series, user, before, second)

    def _masking_of(self, number: int, users: int) -> Masking:
        """That of a source, with room for so many users."""
        masking = self._maskings.get(number)
        if masking is None:
            source = self._source_names.name(number)
            if source not in self.masking and len(self.masking) >= SOURCES_MAX:
                source = None  # names beyond are judged together
            masking = self._maskings[number] = self.masking.setdefault(source, Masking())
        masking.make_room(users)
        return masking

    def _take_sources(self, rows: Ints, source: int) -> None:
        """By whose word events came, of which some have a source; `source` is that of all, or NONE."""
        numbers = [source] if source != NONE else np.unique(rows[:, SOURCE]).tolist()
        names = {str(self._source_names.name(number)): number for number in numbers if number != NOBODY}
        for name in sorted(names):
            told = rows if source != NONE else rows[rows[:, SOURCE] == names[name]]
            codes = told[:, KIND].tolist()
            if self.sources.listens(name):
                for code, ts in zip(codes, told[:, TS].tolist(), strict=True):
                    self.sources.take(name, e.TAG_OF[KINDS[code]], ts)
            else:
                self.sources.hear(name, {KINDS[code] for code in set(codes)}, int(told[-1, TS]))

    def _pins(self, events: list[Any]) -> None:
        """What the host turns to, in the order of event time."""
        for event in events:
            if isinstance(event, e.ProductPin):
                self.shelf.pin(event)
            elif isinstance(event, e.ProductUnpin):
                self.shelf.unpin(event)

    def end_second(self) -> None:
        """Close the second: what is left at its end, who was seen again, and what may now be known."""
        column = self.buckets.column
        self._assess(self.buckets.edge_s * 1000)
        online = self.people_now()
        if online is not None:
            column[s.ONLINE] = online
            column[s.ONLINE_KNOWN] = 1
        self.buckets.step()
        if self.shelf.pinned is not None:
            self.shelf.watch_pitch("order.created" in self.known.seen)

    def still(self) -> Ints:
        """The sums of a second in which nothing happens, for seconds that are skipped."""
        column = np.zeros(s.N_SERIES, np.int64)
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
        masked = any(masking.masked for masking in self.masking.values())
        full = self.users.full, self._orders.full
        told = (self.silent, masked, self.online.total is not None, self.online.exact, full)
        if told == self._told and not self.silent:  # of silent sources more may be heard by now
            return
        self._told = told
        blind = self.sources.blind(self.silent)
        blind |= {named(tag) for tag in blind}
        over = frozenset((*(s.PEOPLE if full[0] else ()), *(s.ORDERS if full[1] else ())))
        known = self.known
        now = Known(known.seen, blind, masked, self.online.total is not None, self.online.exact, over)
        if now != known:
            self.known = now

    # --- one method a type

    def _sum(self, series: int, amounts: list[int], second: int) -> None:
        self.buckets.add(series, second, sum(amounts))

    def _whence(self, events: list[e.ViewerJoin], second: int) -> None:
        """Joins that say where they come from."""
        for event in events:
            if event.from_ is not None:
                self._learn(FROM)
                if event.from_ == "ads":
                    self.buckets.add(s.JOINS_ADS, second, 1)
            self.splits.join(event, self.users.number(event.user), second, self.people)

    def _count(self, events: list[e.ViewerCount], second: int) -> None:
        self._sum(s.VIEW_RISE, [self.online.take(event) for event in events], second)

    def _gift(self, events: list[e.Gift], second: int) -> None:
        for event in events:
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

    def _sold(self, moment: Moment, second: int) -> None:
        """Order lines, of which sums are counted, take from stocks and count for parts of the room."""
        rows, came = moment.rows, moment.kinds
        if self.shelf.stocks:
            kind = _SOLD[0] if "order.created" in self.known.seen else _SOLD[1]
            self.shelf.tell_stocks(rows[rows[:, KIND] == kind, WHAT])
        if came >> _SOLD[1] & 1 and self.splits.alive:
            for user, amount in rows[rows[:, KIND] == _SOLD[1]][:, [USER, AMOUNT]].tolist():
                self.splits.paid(amount, user, second)

    def sales(self, rows: Ints) -> Iterator[Sale]:
        """The lines of orders created and paid among rows, those of a known product."""
        for row in rows[np.isin(rows[:, KIND], _SOLD) & (rows[:, WHAT] > NOBODY)].tolist():
            yield Sale(str(self.shelf.name(row[WHAT])), row[TS], row[PIECES], row[KIND] == _SOLD[0])

    def _paid(self, events: list[e.OrderPaid], second: int) -> None:
        """Payments that say more than what was paid."""
        for event in events:
            if event.returning is not None:
                self._learn(RETURNING)
                if event.returning:
                    self._returns(self.users.number(event.user), second)
            if event.channel is not None:
                self._learn(CHANNEL)
                self.buckets.add(s.GMV_AD, second, event.amount)
                self.splits.paid_by(event.channel, event.amount, second)

    def _returns(self, user: int, second: int) -> None:
        """A buyer has bought in this room before."""
        if user == NOBODY:
            return
        column = self.buckets.column_of(second)
        loops.see(self.people.state, column, second, s.RETURNING, user)
        if column is not self.buckets.column:
            self.buckets.correct(second, column)

    def _refunded(self, events: list[e.OrderRefunded], second: int) -> None:
        self._sum(s.REFUNDED_AD, [event.amount for event in events if event.channel is not None], second)

    def _stock(self, events: list[e.StockLevel], second: int) -> None:
        for event in events:
            self.shelf.stock(event, second)

    def _speech(self, events: list[e.HostSpeech], second: int) -> None:
        self.speech_ms = max(self.speech_ms or 0, events[-1].ts)

    def _scene(self, events: list[e.SceneStart], second: int) -> None:
        self.quiet_scene = events[-1].quiet
        self.splits.begin_scene(events[-1].scene)

    def _spent(self, events: list[e.AdSpend], second: int) -> None:
        self._sum(s.AD_SPEND, [event.amount for event in events], second)
        for event in events:
            self.splits.spent(event, second)

    # --- totals

    def show_sums(self) -> Ints:
        """The sums of the whole show, distinct counts as the number of keys ever seen."""
        sums = self.buckets.show.copy()
        for distinct in (self.people, self.orders):
            sums[distinct.first : distinct.first + len(distinct.count)] = distinct.count
        if self.online.total is not None:
            sums[s.VIEW_RISE] = self.online.total
        return sums

    def snapshot(self) -> dict[str, Any]:
        """Everything counted as plain data."""
        known = self.known
        return {
            "buckets": self.buckets.snapshot(),
            "distinct": [self.people.snapshot(), self.orders.snapshot()],
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
        for distinct, plain in zip((self.people, self.orders), state["distinct"], strict=True):
            distinct.restore(plain)
        self.sessions.restore(state["sessions"])
        self.online.restore(state["online"])
        self.shelf.restore(state["shelf"])
        self.sources.restore(state["sources"])
        self._maskings = {}
        self._users_max = 0
        for source, counts in state["masking"]:
            self.masking[source] = Masking()
            self.masking[source].restore(counts)
        seen, silent, masked, visits, readable, full = state["known"]
        self.known = Known(frozenset(seen), frozenset(silent), masked, visits, readable, frozenset(full))
        self.silent = self.sources.silent(self.buckets.end_s * 1000)
        self._told = ()
        self.speech_ms, self.order_ms, self.quiet_scene, self.refunded_paid = state["heard"]
        self.splits.restore(state["splits"])
        self._combos = dict(state["combos"])
