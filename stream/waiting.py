"""Events that wait for their second to be closed: each is a row of whole numbers, and the few that are more keep it.

A row says when, what, who, about which product or how much, and by whose word. Rows keep the order of the log; closing
sorts those of a second by event time, so that ties stay in that order.
"""

from collections import defaultdict
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from stream import events as e
from stream import loops
from stream.loops import KIND, SOURCE, TS, USER, WHAT, Ints
from stream.names import Names
from stream.windows import from_plain, plain

KINDS: tuple[type, ...] = tuple(e.TAG_OF)
CODE = {kind: code for code, kind in enumerate(KINDS)}
N_COLUMNS = 5
USERS_MAX = 1_000_000  # users a room and show before distinct counts of the show say `estimated`
PRODUCTS_MAX = 10_000  # products a room keeps; events of further ones count for the room alone
SOURCES_NAMED_MAX = 10_000  # sources a room tells apart; events of further ones count as if they named none
COUNTING = frozenset({e.Like, e.RoomExposure})
ABOUT_PRODUCTS = frozenset({e.ProductExpose, e.ProductClick, e.CartAdd})

Pane = dict[type, list[Any]]
"""Events of one second by type, those that are more than a row."""
TOLD: type = e.RoomStart  # the list of those whose order among different types matters
_OWN_LIST = frozenset({e.ViewerJoin, e.ViewerCount, e.Gift, e.AdSpend, e.OrderRefunded})
BARE = frozenset(
    {e.ViewerLeave, e.ViewerHeartbeat, e.RoomExposure, e.Like, e.Follow, e.Share, e.FanclubJoin, e.PrivateJoin}
    | {e.Chat, e.ProductExpose, e.ProductClick, e.CartAdd, e.CartRemove, e.OrderCancelled, e.QuestionAnswered}
    | {e.SourceBeat}
)
ABOUT_CODES = [CODE[kind] for kind in ABOUT_PRODUCTS]
by_time = attrgetter("ts")


def more_than_a_row(event: e.RoomEvent) -> bool:
    """Whether an event must be kept besides its row."""
    kind = type(event)
    if kind is e.ViewerJoin:
        assert isinstance(event, e.ViewerJoin)
        return event.from_ is not None or event.ref is not None or event.segment is not None
    return kind not in BARE


class Moment:
    """Events of one second, or part of one: all as rows, in the order of event time, and those that are more."""

    __slots__ = ("pane", "rows")

    def __init__(self, rows: Ints, pane: Pane) -> None:
        self.rows = rows
        self.pane = pane

    def take_before(self, ts: int) -> "Moment":
        """Take what lies before `ts` out of it."""
        early = self.rows[:, TS] < ts
        earlier = Moment(self.rows[early], {})
        self.rows = self.rows[~early]
        for kind, events in self.pane.items():
            earlier.pane[kind] = [event for event in events if event.ts < ts]
            self.pane[kind] = [event for event in events if event.ts >= ts]
        for pane in (earlier.pane, self.pane):
            for kind in [kind for kind, events in pane.items() if not events]:
                del pane[kind]
        return earlier


class Waiting:
    """The events of a room that wait, and its users, products and sources by number."""

    __slots__ = ("_kept", "products", "rows", "sources", "users")

    def __init__(self) -> None:
        self.users = Names(USERS_MAX)
        self.products = Names(PRODUCTS_MAX)
        self.sources = Names(SOURCES_NAMED_MAX)
        self.rows: defaultdict[int, list[int]] = defaultdict(list)  # by second, the numbers of one row after another
        self._kept: dict[int, Pane] = {}  # by second

    def __len__(self) -> int:
        return sum(map(len, self.rows.values())) // N_COLUMNS

    # --- in

    @property
    def room(self) -> int:
        """How many more events may come before names might get no number."""
        return min(names.limit - len(names) for names in (self.users, self.products, self.sources))

    def row(self, event: Any) -> tuple[int, ...]:
        """An event as a row."""
        kind, what = type(event), 1
        if kind in ABOUT_PRODUCTS:
            what = self.products.number(event.product)
        elif kind in COUNTING:
            what = event.count
        return event.ts, CODE[kind], self.users.number(event.user), what, self.sources.number(event.source)

    def add(self, event: e.RoomEvent) -> None:
        """An event that waits from now on."""
        self.rows[event.ts // 1000] += self.row(event)
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
        return min(self.rows, default=None)

    def last_s(self) -> int | None:
        """The latest second with an event; None where nothing waits."""
        return max(self.rows, default=None)

    def first_ms(self) -> int:
        """The time of the earliest event. Raises ValueError where nothing waits."""
        return min(self.rows[min(self.rows)][TS::N_COLUMNS])

    def take(self, second: int) -> Moment | None:
        """The events of a second, which no longer wait; None where there are none."""
        numbers = self.rows.pop(second, None)
        if numbers is None:
            return None
        rows = _rows(numbers)
        if loops.falls(rows):
            rows = rows[rows[:, TS].argsort(kind="stable")]
        pane = self._kept.pop(second, {})
        for events in pane.values():
            if len(events) > 1:
                events.sort(key=by_time)
        return Moment(rows, pane)

    def forget(self, *others: Ints) -> None:
        """Forget the users and products but those that wait, or are in `others`; these rows get their new numbers."""
        seconds = [*self.rows]
        held = [*others, *(_rows(self.rows[second]) for second in seconds)]
        for names, column, kinds in ((self.users, USER, [*CODE.values()]), (self.products, WHAT, ABOUT_CODES)):
            before = [*names.of]
            names.clear()
            for rows in held:
                some = np.isin(rows[:, KIND], kinds)
                numbers, places = np.unique(rows[some, column], return_inverse=True)
                rows[some, column] = names.numbers([before[number] for number in numbers])[places]
        for second, rows in zip(seconds, held[len(others) :], strict=True):
            self.rows[second] = rows.ravel().tolist()

    def events(self) -> Iterator[e.RoomEvent]:
        """Those that are more than a row."""
        for pane in self._kept.values():
            for events in pane.values():
                yield from events

    def snapshot(self) -> dict[str, Any]:
        """What waits as plain data."""
        return {
            "names": [self.users.snapshot(), self.products.snapshot(), self.sources.snapshot()],
            "rows": [(second, plain(np.array(numbers, np.int64))) for second, numbers in self.rows.items()],
            "kept": list(self.events()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """As it stood when `state` was taken."""
        for names, held in zip((self.users, self.products, self.sources), state["names"], strict=True):
            names.restore(held)
        self.rows.clear()
        for second, numbers in state["rows"]:
            rows = from_plain(numbers)
            self._check(rows.reshape(-1, N_COLUMNS))
            self.rows[second] = rows.tolist()
        self._kept = {}
        for event in msgspec.convert(state["kept"], list[e.RoomEvent]):
            self.keep(event)

    def _check(self, rows: Ints) -> None:
        """Raises msgspec.ValidationError where a row names what there is not: loops trust that it is there."""
        about = np.where(np.isin(rows[:, KIND], ABOUT_CODES), rows[:, WHAT], 0)
        for numbers, limit in (
            (rows[:, KIND], len(KINDS) - 1),
            (rows[:, USER], len(self.users)),
            (about, len(self.products)),
            (rows[:, SOURCE], len(self.sources)),
        ):
            if len(rows) and not 0 <= numbers.min() <= numbers.max() <= limit:
                raise msgspec.ValidationError("a waiting event names what there is not")


def _rows(numbers: list[int]) -> Ints:
    return np.array(numbers, np.int64).reshape(-1, N_COLUMNS)
