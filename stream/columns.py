"""Events as columns: a row of whole numbers each, names as hashes, and as an object only what is more than its row.

A name's hash is its XXH64: two of a million names share one with a chance of 3 in 10^8. Who may write is trusted not
to look for such a pair.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from msgspec import inspect

from stream import events as e
from stream import scanning
from stream.errors import RejectedEvent
from stream.loops import Ints
from stream.names import hashed
from stream.scanning import (
    ABOUT,
    COUNTS,
    FALSE,
    FLAGS,
    KEY_MAX,
    KIND,
    LONGER,
    MONEY,
    MORE,
    N_COLUMNS,
    NOTHING,
    NULL,
    OTHER,
    SELLS,
    SLOT_SHIFT,
    SLOTS,
    STAMPED,
    STRING,
    TRUE,
    UNREAD,
    WHOLE,
)
from stream.waiting import ABOUT_PRODUCTS, BARE, CODE, COUNTING, KINDS, SELLING, more_than_a_row


class Raws(NamedTuple):
    """Records as they lie in `data`: where the values are and the keys, each (n, 2), [start, end); -1 for none."""

    data: bytes
    values: Ints
    keys: Ints

    def value(self, place: int) -> bytes | None:
        """The bytes of one value."""
        return self._cut(self.values, place)

    def key(self, place: int) -> bytes | None:
        """The bytes of one key."""
        return self._cut(self.keys, place)

    def part(self, places: slice) -> "Raws":
        """Some of them."""
        return Raws(self.data, self.values[places], self.keys[places])

    def _cut(self, spans: Ints, place: int) -> bytes | None:
        start, end = spans[place].tolist()
        return None if start < 0 else self.data[start:end]


def joined(values: Sequence[bytes | None], keys: Sequence[bytes | None] | None = None) -> Raws:
    """Records out of lists; without `keys` they lie under none."""
    parts = [part for pair in zip(values, keys, strict=True) for part in pair] if keys is not None else [*values]
    sizes = np.array([0 if part is None else len(part) for part in parts], np.int64)
    ends = sizes.cumsum()
    spans = np.stack([ends - sizes, ends], axis=1)
    spans[[place for place, part in enumerate(parts) if part is None]] = -1
    data = b"".join([part or b"" for part in parts]) + b"\n"
    if keys is None:
        return Raws(data, spans, np.full_like(spans, -1))
    return Raws(data, spans[::2], spans[1::2])


Refuse = Callable[[int, RejectedEvent], None]
"""Told the place of what nobody can take, and why."""
REFUSED = -2  # the kind of what was refused
_TS_LIMIT = 2**63  # a time beyond it is mended like any that cannot be meant


class Columns:
    """Some events in log order: `rows` (n, N_COLUMNS), and the places, `more`, of those that are more than a row."""

    __slots__ = ("_events", "_places", "_raws", "more", "rows")

    def __init__(
        self,
        rows: Ints,
        events: dict[int, e.RoomEvent],
        raws: Raws | None,
        places: Ints | None = None,
        more: list[int] | None = None,
    ) -> None:
        """`places`: where among `events` and `raws` those of the rows are, if elsewhere."""
        self.rows = rows
        self.more: list[int] = (rows[:, FLAGS] & MORE).nonzero()[0].tolist() if more is None else more
        self._events = events
        self._raws = raws
        self._places = places

    def __len__(self) -> int:
        return len(self.rows)

    def event(self, place: int) -> e.RoomEvent:
        """One of them whole."""
        if self._places is not None:
            place = int(self._places[place])
        event = self._events.get(place)
        if event is None:
            assert self._raws is not None, "without records all events are here"
            event = e.decode(self._raws.value(place))
        return event

    def part(self, places: Ints) -> "Columns":
        """Those at some places, in this order."""
        held = places if self._places is None else self._places[places]
        return Columns(self.rows.take(places, axis=0), self._events, self._raws, held, None if self.more else [])

    def rooms(self) -> Iterator[tuple[Ints, "Columns"]]:
        """The places of each room's events, and these, in the order of appearance; without those that were refused."""
        order, ends = scanning.by_room(self.rows)
        every, more, start = self.part(order), 0, 0
        assert every._places is not None
        for end in ends.tolist():
            until = bisect_left(every.more, end, more)
            if every.rows[start, KIND] != REFUSED:
                rows, places = every.rows[start:end], every._places[start:end]
                wider = [place - start for place in every.more[more:until]]
                yield order[start:end], Columns(rows, self._events, self._raws, places, wider)
            start, more = end, until


def read(raws: Raws, refuse: Refuse) -> Columns:
    """Records of `live.events`, each in the room that is its key, if it has one.

    The kind of one that goes to `refuse` is REFUSED, and the rest of its row nothing.
    """
    rows = np.empty((len(raws.values), N_COLUMNS), np.int64)
    events: dict[int, e.RoomEvent] = {}
    data = np.frombuffer(raws.data, np.uint8)
    scanning.scan(data, raws.values, raws.keys, _FIELDS, _FACTOR, _TAGS, _RULES, rows)
    kinds, flags, left = rows[:, KIND], rows[:, FLAGS], scanning.left_over(rows).tolist()
    for place in left:
        try:
            event = events[place] = e.decode(raws.value(place), raws.key(place))
        except RejectedEvent as fault:
            rows[place] = 0
            rows[place, KIND] = REFUSED
            refuse(place, fault)
            continue
        if kinds[place] == UNREAD:
            rows[place] = _row(event)
        elif not more_than_a_row(event):  # it has a field whose name begins like one that says more
            flags[place] &= ~MORE
    return Columns(rows, events, raws, more=[place for place in left if flags[place] & MORE])


def _row(event: Any) -> tuple[int, ...]:
    """An event as a row, as the scan makes it; here every event is at hand, whether it is more or not."""
    kind, what = type(event), 1
    if kind in ABOUT_PRODUCTS:
        what = hashed(event.product)
    elif kind in COUNTING:
        what = event.count
    flags = (STAMPED if event.stamped else 0) | (MORE if more_than_a_row(event) else 0)
    line = (0, 0, 0)
    if kind in SELLING:
        what, line = hashed(event.product), (hashed(event.order), event.qty, event.amount)
    return (
        event.ts if -_TS_LIMIT <= event.ts < _TS_LIMIT else 0,
        CODE[kind],
        hashed(event.user),
        what,
        hashed(event.source),
        hashed(event.id),
        hashed(event.room),
        flags,
        hashed(event.currency) if kind in e.MONEY else 0,
        *line,
    )


# --- what the scan goes by, read off the types

_FIRST = (
    *("type", "room", "ts", "id", "user", "source", "stamped", "count", "product"),
    *("currency", "order", "qty", "amount"),
)  # in the order of their numbers
_SCANNED = BARE | {e.ViewerJoin, e.OrderPaid, e.OrderRefunded}  # judged by the scan alone; others are decoded too
_LEAST, _MOST = -(2**63), 2**63 - 1
_ANYTHING = NOTHING | STRING | WHOLE | NULL | TRUE | FALSE


@cache
def _fields(kind: type) -> dict[str, inspect.Field]:
    told = inspect.type_info(kind)
    assert isinstance(told, inspect.StructType)
    return {field.encode_name: field for field in told.fields}


def _may(told: inspect.Type) -> tuple[int, int, int]:
    """What may stand for a value of this type, as far as the scan can judge it, and the least and the most of it."""
    match told:
        case inspect.UnionType():  # of one sized type and None
            mays = [_may(one) for one in told.types]
            return sum(may for may, _, _ in mays), max(least for _, least, _ in mays), min(most for *_, most in mays)
        case inspect.StrType():  # limits are of characters, each of up to four bytes
            return STRING, told.min_length or 0, _MOST if told.max_length is None else told.max_length
        case inspect.IntType():
            return WHOLE, _LEAST if told.ge is None else told.ge, _MOST if told.le is None else told.le
        case inspect.BoolType():
            return TRUE | FALSE, _LEAST, _MOST
        case inspect.NoneType():
            return NULL, _LEAST, _MOST
        case _:
            return 0, _LEAST, _MOST


def _rule(kind: type, name: str) -> tuple[int, int, int, int]:
    """What may stand in a field of this type of event, the least and the most, and what of it is more than a row."""
    if name == "type":
        return STRING, 0, _MOST, 0 if kind in _SCANNED else STRING
    field = _fields(kind).get(name)
    if field is None or (kind not in _SCANNED and name not in _FIRST):
        return _ANYTHING, _LEAST, _MOST, 0
    if kind is e.ViewerJoin and name in ("from", "ref"):
        return NOTHING | STRING | NULL, _LEAST, _MOST, STRING
    may, least, most = _may(field.type)
    return may | (0 if field.required else NOTHING), least, most, may & ~NULL if (kind, name) in _SAYS_MORE else 0


_SAYS_MORE = {(e.OrderPaid, "channel"), (e.OrderPaid, "returning"), (e.OrderRefunded, "channel")}
_NAMES = (*_FIRST, *sorted({name for kind in _SCANNED for name in _fields(kind) if name not in _FIRST}))
_NUMBERS = [
    int.from_bytes(name[:KEY_MAX].encode(), "little", signed=True) ^ (LONGER if len(name) > KEY_MAX else 0)
    for name in _NAMES
]


def _slots(names: list[int]) -> tuple[Ints, int]:
    """The table of fields by `scanning.slot_of` their names, and a factor by which each name has a slot of its own."""
    table, factor, slots = np.full((SLOTS, 2), OTHER), 1, list[int]()
    while len({*slots}) < len(names):
        factor = factor * 0x5851F42D4C957F2D % 2**63
        slots = [(name * factor % 2**64) >> SLOT_SHIFT for name in names]
    table[slots] = np.array([names, range(len(names))]).T
    return table, factor


def _by_tag() -> Ints:
    """The table of types by the hashes of their tags, see `scanning.kind_of`."""
    table = np.zeros((1 << (2 * len(KINDS)).bit_length(), 2), np.int64)
    for code, kind in enumerate(KINDS):
        tag = hashed(e.TAG_OF[kind])
        place = tag & (len(table) - 1)
        while table[place, 1]:
            place = (place + 1) & (len(table) - 1)
        table[place] = tag, code + 1
    return table


_FIELDS, _FACTOR = _slots(_NUMBERS)
_TAGS = _by_tag()
_MAY, _LOW, _HIGH, _MORE = np.moveaxis(
    np.array([[_rule(kind, name) for name in _NAMES] for kind in KINDS]), 2, 0
).copy()
_FORM = np.array(
    [
        (ABOUT if kind in ABOUT_PRODUCTS else COUNTS if kind in COUNTING else 0)
        | (MONEY if kind in e.MONEY else 0)
        | (SELLS if kind in SELLING else 0)
        for kind in KINDS
    ]
)
_RULES = _MAY, _LOW, _HIGH, _MORE, _FORM, hashed(_fields(e.OrderPaid)["currency"].default)
