"""Events that wait for their second to be closed: each is a row of whole numbers, and the few that are more keep it.

A row says when, what, who, about which product or how much, and by whose word. Rows keep the order of the log; closing
sorts those of a second by event time, so that ties stay in that order.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from stream import admitting
from stream import events as e
from stream.loops import KIND, NONE, ORDER, SAYS_USER, SOURCE, TS, USER, WHAT, Flags, Ints
from stream.names import NOBODY, HashedNames, Hashes
from stream.windows import from_plain, plain

KINDS: tuple[type, ...] = tuple(e.TAG_OF)
CODE = {kind: code for code, kind in enumerate(KINDS)}
N_COLUMNS = admitting.N_WAITING
_FIRST_ROWS = 16  # room made at first; it doubles
USERS_MAX = 1_000_000  # users a room and show before distinct counts of the show say `estimated`
ORDERS_MAX = 1_000_000  # orders likewise
PRODUCTS_MAX = 10_000  # products a room keeps; events of further ones count for the room alone
SOURCES_NAMED_MAX = 10_000  # sources a room tells apart; events of further ones count as if they named none
COUNTING = frozenset({e.Like, e.RoomExposure})
ABOUT_PRODUCTS = frozenset({e.ProductExpose, e.ProductClick, e.CartAdd})
SELLING = (e.OrderCreated, e.OrderPaid, e.OrderRefunded)  # order lines, in the order in which those of a second count

Pane = dict[type, list[Any]]
"""Events of one second by type, those that are more than a row."""
TOLD: type = e.RoomStart  # the list of those whose order among different types matters
_OWN_LIST = frozenset({e.ViewerJoin, e.ViewerCount, e.Gift, e.AdSpend, e.OrderPaid, e.OrderRefunded})
BARE = frozenset(
    {e.ViewerLeave, e.ViewerHeartbeat, e.RoomExposure, e.Like, e.Follow, e.Share, e.FanclubJoin, e.PrivateJoin}
    | {e.Chat, e.ProductExpose, e.ProductClick, e.CartAdd, e.CartRemove, e.OrderCreated, e.OrderCancelled}
    | {e.QuestionAnswered, e.SourceBeat}
)
ABOUT_CODES = [CODE[kind] for kind in (*ABOUT_PRODUCTS, *SELLING)]  # of a row that says which product
_NO_LINE = (0, 0, 0, 0)
by_time = attrgetter("ts")


def more_than_a_row(event: e.RoomEvent) -> bool:
    """Whether an event must be kept besides its row."""
    kind = type(event)
    if kind is e.ViewerJoin:
        assert isinstance(event, e.ViewerJoin)
        return event.from_ is not None or event.ref is not None or event.segment is not None
    if kind is e.OrderPaid:
        assert isinstance(event, e.OrderPaid)
        return event.channel is not None or event.returning is not None
    if kind is e.OrderRefunded:
        assert isinstance(event, e.OrderRefunded)
        return event.channel is not None
    return kind not in BARE


class Moment:
    """Events of one second, or part of one: all as rows, in the order of event time, and those that are more.

    `kinds` and `named` are bits of the types that came, and came with a user, `source` that of all of them, NONE where
    they differ.
    """

    __slots__ = ("kinds", "named", "pane", "rows", "source")

    def __init__(self, rows: Ints, pane: Pane, said: tuple[int, int, int] | None = None) -> None:
        self.rows = rows
        self.pane = pane
        self.kinds, self.named, self.source = said or admitting.said(rows)

    def take_before(self, ts: int) -> "Moment":
        """Take what lies before `ts` out of it."""
        early = self.rows[:, TS] < ts
        earlier = Moment(self.rows[early], {})
        self.rows = self.rows[~early]
        self.kinds, self.named, self.source = admitting.said(self.rows)
        for kind, events in self.pane.items():
            earlier.pane[kind] = [event for event in events if event.ts < ts]
            self.pane[kind] = [event for event in events if event.ts >= ts]
        for pane in (earlier.pane, self.pane):
            for kind in [kind for kind, events in pane.items() if not events]:
                del pane[kind]
        return earlier


class Waiting:
    """The events of a room that wait, and its users, orders, products and sources by number."""

    __slots__ = ("_held", "_kept", "count", "orders", "products", "sources", "users")

    def __init__(self) -> None:
        self.users = Hashes(USERS_MAX)
        self.orders = Hashes(ORDERS_MAX)
        self.products = HashedNames(PRODUCTS_MAX)
        self.sources = HashedNames(SOURCES_NAMED_MAX)
        self._held: Ints = np.zeros((_FIRST_ROWS, N_COLUMNS), np.int64)
        self.count = 0  # rows that wait, the first ones of `_held`
        self._kept: dict[int, Pane] = {}  # by second

    def __len__(self) -> int:
        return self.count

    @property
    def rows(self) -> Ints:
        """The events that wait, in log order."""
        return self._held[: self.count]

    # --- in

    def make_room(self, more: int) -> Ints:
        """Where so many more rows can be put, after `count`."""
        if self.count + more > len(self._held):
            larger = np.zeros((max(2 * len(self._held), self.count + more), N_COLUMNS), np.int64)
            larger[: self.count] = self.rows
            self._held = larger
        return self._held

    def row(self, event: Any) -> tuple[int, ...]:
        """An event as a row."""
        kind, what, line = type(event), 1, _NO_LINE
        if kind in ABOUT_PRODUCTS:
            what = self.products.number(event.product) or NONE
        elif kind in COUNTING:
            what = event.count
        elif kind in SELLING:
            what = 0 if event.product is None else self.products.number(event.product) or NONE
            order = 0 if event.order is None else self.orders.number(event.order) or NONE
            line = order, event.qty, event.amount, 0 if event.user is None else SAYS_USER
        return event.ts, CODE[kind], self.users.number(event.user), what, self.sources.number(event.source), *line

    def add(self, event: e.RoomEvent) -> None:
        """An event that waits from now on."""
        self.make_room(1)[self.count] = self.row(event)
        self.count += 1
        if more_than_a_row(event):
            self.keep(event)

    def keep(self, event: e.RoomEvent) -> None:
        """Keep an event besides its row."""
        pane = self._kept.setdefault(event.ts // 1000, {})
        kind = type(event)
        pane.setdefault(kind if kind in _OWN_LIST else TOLD, []).append(event)

    # --- out

    def moment(self, event: e.RoomEvent) -> Moment:
        """An event that does not wait."""
        kind = type(event)
        pane: Pane = {kind if kind in _OWN_LIST else TOLD: [event]} if more_than_a_row(event) else {}
        return Moment(np.array([self.row(event)], np.int64), pane)

    def first_s(self) -> int | None:
        """The earliest second with an event; None where nothing waits."""
        return self.first_ms() // 1000 if self.count else None

    def last_s(self) -> int | None:
        """The latest second with an event; None where nothing waits."""
        return int(self.rows[:, TS].max()) // 1000 if self.count else None

    def first_ms(self) -> int:
        """The time of the earliest event. Raises ValueError where nothing waits."""
        return int(self.rows[:, TS].min())

    def take(self, second: int) -> Moment | None:
        """The events of a second, which no longer wait; None where there are none."""
        if not self.count:
            return None
        rows, said = admitting.take_second(self._held, self.count, second)
        if not len(rows):
            return None
        self.count -= len(rows)
        pane = self._kept.pop(second, {})
        for events in pane.values():
            if len(events) > 1:
                events.sort(key=by_time)
        return Moment(rows, pane, said)

    def forget(self, *others: Ints) -> None:
        """Forget the names but of sources, and of what waits or is in `others`; these rows get their new numbers."""
        held = [*others, self.rows]
        every = np.concatenate(held)
        for names, column in ((self.users, USER), (self.orders, ORDER)):
            numbers, places = np.unique(every[:, column], return_inverse=True)
            known = numbers > NOBODY
            names.learn(names.by_number()[numbers[known]])
            _renumber(held, column, places, np.where(known, np.cumsum(known), numbers))
        about = np.isin(every[:, KIND], ABOUT_CODES) & (every[:, WHAT] > NOBODY)
        products, places = np.unique(np.where(about, every[:, WHAT], NOBODY), return_inverse=True)
        kept = [self.products.name(product) for product in products]
        self.products.clear()
        numbers = self.products.numbers(kept)
        _renumber(held, WHAT, places, numbers, about)

    def events(self) -> Iterator[e.RoomEvent]:
        """Those that are more than a row."""
        for pane in self._kept.values():
            for events in pane.values():
                yield from events

    def snapshot(self) -> dict[str, Any]:
        """What waits as plain data."""
        first_ms = self.first_ms() if self.count else 0
        columns = [self.rows[:, TS] - first_ms, *self.rows[:, KIND:].T]
        return {
            "numbered": [[held.full, plain(held.by_number()[1:])] for held in (self.users, self.orders)],
            "names": [self.products.snapshot(), self.sources.snapshot()],
            "first_ms": first_ms,
            "rows": [plain(column) for column in columns],
            "kept": list(self.events()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """As it stood when `state` was taken."""
        for numbered, (full, hashes) in zip((self.users, self.orders), state["numbered"], strict=True):
            numbered.learn(from_plain(hashes))
            numbered.full = full
        for names, held in zip((self.products, self.sources), state["names"], strict=True):
            names.restore(held)
        rows = np.stack([from_plain(column) for column in state["rows"]], axis=1)
        rows[:, TS] += state["first_ms"]
        self._check(rows)
        self.count = 0
        self.make_room(len(rows))[: len(rows)] = rows
        self.count = len(rows)
        self._kept = {}
        for event in msgspec.convert(state["kept"], list[e.RoomEvent]):
            self.keep(event)

    def _check(self, rows: Ints) -> None:
        """Raises msgspec.ValidationError where a row names what there is not: loops trust that it is there."""
        about = np.where(np.isin(rows[:, KIND], ABOUT_CODES), rows[:, WHAT], 0)
        for numbers, least, most in (
            (rows[:, KIND], 0, len(KINDS) - 1),
            (rows[:, USER], 0, self.users.count),
            (about, NONE, len(self.products)),
            (rows[:, SOURCE], 0, len(self.sources)),
            (rows[:, ORDER], NONE, self.orders.count),
        ):
            if len(rows) and not least <= numbers.min() <= numbers.max() <= most:
                raise msgspec.ValidationError("a waiting event names what there is not")


def _renumber(held: list[Ints], column: int, places: Ints, numbers: Ints, among: Flags | None = None) -> None:
    """Write `numbers[places]` into a column of the arrays in `held`, one after the other; where `among` is set."""
    new, start = numbers[places], 0
    for rows in held:
        part = slice(start, start + len(rows))
        rows[:, column] = new[part] if among is None else np.where(among[part], new[part], rows[:, column])
        start = part.stop
