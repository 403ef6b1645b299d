"""Rolling sums of few series for many keys, most of them quiet: a key is a row, a second keeps what was added in it.

The place of a key is that of its first series, in one row of totals for all of them.
"""

from typing import Any

import numpy as np

from stream import loops, packing, stepping
from stream.loops import LONGEST_S, NONE, SIZES, Held, Ints
from stream.windows import from_plain, plain, seconds_of

SHOW = len(SIZES)  # the column of the whole show, after those of the windows
_FIRST_KEYS = 8  # room made at first; it doubles, as does that for entries and pairs
_FIRST_ENTRIES = 32
_FIRST_PAIRS = 64
KEYS_MAX = 1 << 24  # keys are numbers of users and orders, of which a room has fewer
_KEY = 0xFFFFFFFF  # the bits of a pair that are its key


class Panes:
    """Totals are (keys x n_series, 4) int64: columns 1 min, 5 min, 10 min and the show.

    What is added waits until `settle`, so that a busy second costs a few calls whatever happens in it.
    """

    __slots__ = (
        "_added", "_entries", "_heads", "_newest", "_pairs", "_totals", "_used",
        "end_s", "n_series", "place_of",
    )  # fmt: skip

    def __init__(self, n_series: int) -> None:
        self.n_series = n_series
        self.start(0)

    def start(self, second: int) -> None:
        """Stand at the beginning of `second`, empty."""
        self._totals: Ints = np.zeros((_FIRST_KEYS * self.n_series, SHOW + 1), np.int64)
        self._newest: Ints = np.full(len(self._totals), NONE, np.int64)
        self._pairs: Ints = np.zeros((_FIRST_PAIRS, 2), np.int64)  # (place, key) in one number, the second last seen
        self._used: Ints = np.zeros(5, np.int64)  # see `loops`
        self._added: list[int] = []  # place, second, amount and whether the show counts it, after one another
        self.place_of: dict[str, int] = {}
        self.end_s = second
        self._empty()

    def _empty(self) -> None:
        """Nothing is in the windows."""
        self._heads: Ints = np.full(LONGEST_S, NONE, np.int64)
        self._entries: Ints = np.empty((0, 4), np.int64)
        self._used[:3] = NONE, 0, 0
        self._newest[:] = NONE

    def place(self, key: str) -> int:
        """The place of the key's first series; the key is known from now on."""
        place = self.place_of.get(key)
        if place is None:
            place = self.place_of[key] = len(self.place_of) * self.n_series
            if place == len(self._totals):
                self._totals = np.concatenate([self._totals, np.zeros_like(self._totals)])
                self._newest = np.concatenate([self._newest, np.full_like(self._newest, NONE)])
        return place

    def sums(self, key: str) -> list[list[int]] | None:
        """Its sums over 1 min, 5 min, 10 min and the show, `n_series` each; None for a key never added."""
        place = self.place_of.get(key)
        return None if place is None else self._totals[place : place + self.n_series].T.tolist()

    @property
    def totals(self) -> dict[str, list[list[int]]]:
        """The sums of every key."""
        return {key: self._totals[place : place + self.n_series].T.tolist() for key, place in self.place_of.items()}

    def add(self, key: str, series: int, second: int, amount: int, shown: bool = True) -> None:
        """Add to a second before `end_s`; `shown` False leaves the show's sum."""
        self._added += (self.place(key) + series, second, amount, shown)

    def settle(self) -> None:
        """Take in what was added since the last time."""
        if self._added:
            added = np.array(self._added, np.int64).reshape(-1, 4)
            self._added = []
            self.make_room(len(added), 0)
            loops.add_to_panes(self.state, added)

    @property
    def state(self) -> Held:
        """All of it, for loops."""
        return self._totals, self._newest, self._heads, self._used, self._entries, self._pairs, self.end_s

    def make_room(self, entries: int, pairs: int) -> None:
        """For so many more."""
        _, free, used, taken, _ = self._used.tolist()
        if used + entries - free > len(self._entries):
            before = self._entries
            self._entries = np.empty((len(before) + max(_FIRST_ENTRIES, len(before), entries), 4), np.int64)
            self._entries[:used] = before[:used]  # memory never used costs nothing
        size = len(self._pairs)
        if 2 * (taken + pairs) > size:
            while 2 * (taken + pairs) > size:
                size *= 2
            larger = np.zeros((size, 2), np.int64)
            loops.move_pairs(self._pairs, larger)
            self._pairs = larger

    def step(self) -> None:
        """Move on by one second, before what happened in it is added: let go what leaves the windows."""
        if self.place_of:
            stepping.step_panes(self._totals, self._heads, self._used, self._entries, self.end_s)
        self.end_s += 1

    def skip(self, seconds: int) -> None:
        """Move on by `seconds` seconds, more than any window, with nothing in them."""
        self.end_s += seconds
        self._empty()
        self._totals[:, :SHOW] = 0

    def snapshot(self) -> dict[str, Any]:
        """The sums as plain data."""
        used = len(self.place_of) * self.n_series
        return {
            "end_s": self.end_s,
            "keys": list(self.place_of),
            "totals": plain(self._totals[:used].T),
            "entries": [*map(plain, packing.entries_of(self._entries[: self._used[2]], self.end_s))],
            "pairs": [*map(plain, packing.pairs_of(self._pairs, self.end_s))],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The sums as they stood when `state` was taken."""
        self.start(state["end_s"])
        for key in state["keys"]:
            self.place(key)
        places, held, amounts = map(from_plain, state["entries"])
        used = len(self.place_of) * self.n_series
        steps, seen = map(from_plain, state["pairs"])
        pairs = steps.cumsum()
        for of in (places, pairs >> 32):
            if len(of) and not 0 <= of.min() <= of.max() < used:  # the loops trust that there is
                raise ValueError("an entry lies at a place that there is not")
        if held.min(initial=1) < 1 or (pairs & _KEY).max(initial=0) > KEYS_MAX:
            raise ValueError("an entry is of a second, or a pair of a key, that cannot be")
        self.make_room(len(places), len(steps))
        added = np.stack([places, self.end_s - held, amounts, np.zeros_like(places)], axis=1)
        loops.add_to_panes(self.state, added)
        self._totals[:used] = from_plain(state["totals"]).reshape(SHOW + 1, used).T
        loops.move_pairs(np.stack([pairs, seconds_of(seen, self.end_s)], axis=1), self._pairs)
        self._used[3] = len(steps)
