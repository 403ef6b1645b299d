"""The same message twice: remembered by source, type and id, for two minutes of room time, money for the whole show.

What is remembered is a 64-bit hash: of a million messages one is taken for another with a chance of 3 in 10^8.

Without an id nothing is a duplicate, and content is never compared: real order data has identical lines.
"""

from typing import Any

import numpy as np

from stream import admitting
from stream.admitting import LEFT_OUT, NEW, REPEAT
from stream.events import MONEY, RoomEvent
from stream.loops import Ints
from stream.names import hashed, places_for
from stream.waiting import CODE
from stream.windows import from_plain, plain

DEDUPE_S = 120  # at the least; up to twice as long, since what is remembered goes by spans of this length
KEYS_MAX = 1_000_000  # of each kind, 16 to 32 bytes each. Beyond it the oldest half is forgotten early


class Keys:
    """A set of hashes, open to loops: `places` is their table, and `count` how many there are."""

    __slots__ = ("count", "places")

    def __init__(self, expected: int = 0) -> None:
        self.count = 0
        self.places: Ints = np.zeros(places_for(expected), np.int64)

    def make_room(self, more: int) -> None:
        """For so many more."""
        if 2 * (self.count + more) > len(self.places):
            before = self.places
            self.places = np.zeros(places_for(self.count + more, len(before)), np.int64)
            admitting.add_keys(self.places, before)

    def remember(self, key: int, older: "Keys") -> int:
        """A key comes: is it a REPEAT of one here or in `older`, NEW, or LEFT_OUT since there are too many here?"""
        self.make_room(1)
        said = admitting.remember(self.places, older.places, key, self.count < KEYS_MAX // 2)
        self.count += said == NEW
        return said

    def snapshot(self) -> bytes:
        """The keys as plain data, in order."""
        return plain(np.sort(self.places[self.places != 0]))

    @classmethod
    def restored(cls, state: bytes) -> "Keys":
        """Keys as they stood when `state` was taken."""
        held, keys = from_plain(state), cls()
        keys.make_room(len(held))
        admitting.add_keys(keys.places, held)
        keys.count = len(held)
        return keys


class Seen:
    """Which messages of a room were seen, by a hash of source, type and id."""

    __slots__ = ("_span", "before", "forgotten_early", "money", "money_before", "recent")

    def __init__(self) -> None:
        self._span = 0  # which whole DEDUPE_S of room time it is
        self.recent = Keys()  # of this span
        self.before = Keys()  # of the one before, or the older half
        self.money = Keys()
        self.money_before = Keys()  # the previous show's, or the older half
        self.forgotten_early = 0

    def again(self, event: RoomEvent, now_s: int) -> bool:
        """Whether the same message was seen before; `now_s` is room time. An event without id is always new."""
        self.move_to(now_s)
        if event.id is None:
            return False
        kind = type(event)
        key = admitting.key_of(hashed(event.id), hashed(event.source), CODE[kind])
        newer, older = (self.money, self.money_before) if kind in MONEY else (self.recent, self.before)
        said = newer.remember(key, older)
        if said == LEFT_OUT:
            self.forgotten_early += older.count
            newer, older = self._start_half(kind)
            newer.remember(key, older)
        return bool(said == REPEAT)

    def move_to(self, now_s: int) -> bool:
        """It is second `now_s` of room time: what is older than the span before is forgotten. Is it a new one?"""
        span = now_s // DEDUPE_S
        if span == self._span:
            return False
        self.before = self.recent if span == self._span + 1 else Keys()
        self.recent = Keys(self.before.count)  # probably as many again
        self._span = span
        return True

    def places(self, more: int) -> tuple[Ints, Ints, Ints, Ints]:
        """The tables of the keys of this span, the one before, this show's money and the last one's, for loops.

        There is room for so many more in the first and the third; who adds to them says so in their `count`.
        """
        self.recent.make_room(more)
        self.money.make_room(more)
        return self.recent.places, self.before.places, self.money.places, self.money_before.places

    @property
    def end_ms(self) -> int:
        """Room time at which the present span is over."""
        return (self._span + 1) * DEDUPE_S * 1000

    def _start_half(self, kind: type) -> tuple[Keys, Keys]:
        if kind in MONEY:
            self.start_show()
            return self.money, self.money_before
        self.before, self.recent = self.recent, Keys()
        return self.recent, self.before

    def start_show(self) -> None:
        """A new show begins; money of the last one is still recognised until the next."""
        self.money_before, self.money = self.money, Keys()

    def snapshot(self) -> dict[str, Any]:
        """All keys as plain data."""
        return {
            "span": self._span,
            "recent": self.recent.snapshot(),
            "before": self.before.snapshot(),
            "money": self.money.snapshot(),
            "money_before": self.money_before.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The keys as they stood when `state` was taken."""
        self._span = state["span"]
        self.recent, self.before = Keys.restored(state["recent"]), Keys.restored(state["before"])
        self.money, self.money_before = Keys.restored(state["money"]), Keys.restored(state["money_before"])
