"""Rolling sums of few series for many keys, most of them quiet: a key is a row, a second keeps what was added in it.

The place of a key is that of its first series, in one row of totals for all of them.
"""

from typing import Any

import numpy as np

from stream import loops
from stream.loops import LONGEST_S, NONE, SIZES, Held, Ints, Lines
from stream.windows import ages, from_plain, plain, seconds_of

SHOW = len(SIZES)  # the row of the whole show, after those of the windows
_FIRST_KEYS = 8  # room made at first; it doubles, as does that for entries and pairs
_FIRST_ENTRIES = 32
_FIRST_PAIRS = 64


class Panes:
    """Totals are (4, keys x n_series) int64: rows 1 min, 5 min, 10 min and the show.

    What is added waits until `settle`, so that a busy second costs a few calls whatever happens in it.
    """

    __slots__ = (
        "_added", "_entries", "_free", "_heads", "_newest", "_pairs", "_taken", "_totals",
        "end_s", "n_series", "place_of",
    )  # fmt: skip

    def __init__(self, n_series: int) -> None:
        self.n_series = n_series
        self.start(0)

    def start(self, second: int) -> None:
        """Stand at the beginning of `second`, empty."""
        self._totals: Ints = np.zeros((SHOW + 1, _FIRST_KEYS * self.n_series), np.int64)
        self._newest: Ints = np.full(self._totals.shape[1], NONE, np.int64)
        self._pairs: Ints = np.zeros((_FIRST_PAIRS, 2), np.int64)  # (place, key) in one number, the second last seen
        self._taken = 0  # pairs
        self._added: list[int] = []  # place, second, amount and whether the show counts it, after one another
        self.place_of: dict[str, int] = {}
        self.end_s = second
        self._empty()

    def _empty(self) -> None:
        """Nothing is in the windows."""
        self._heads: Ints = np.full(LONGEST_S, NONE, np.int64)
        self._entries: Ints = np.zeros((0, 4), np.int64)
        self._free: Ints = np.array([NONE, 0], np.int64)
        self._newest[:] = NONE

    def place(self, key: str) -> int:
        """The place of the key's first series; the key is known from now on."""
        place = self.place_of.get(key)
        if place is None:
            place = self.place_of[key] = len(self.place_of) * self.n_series
            if place == self._totals.shape[1]:
                self._totals = np.concatenate([self._totals, np.zeros_like(self._totals)], axis=1)
                self._newest = np.concatenate([self._newest, np.full_like(self._newest, NONE)])
        return place

    def sums(self, key: str) -> list[list[int]] | None:
        """Its sums over 1 min, 5 min, 10 min and the show, `n_series` each; None for a key never added."""
        place = self.place_of.get(key)
        return None if place is None else self._totals[:, place : place + self.n_series].tolist()

    @property
    def totals(self) -> dict[str, list[list[int]]]:
        """The sums of every key."""
        return {key: self._totals[:, place : place + self.n_series].tolist() for key, place in self.place_of.items()}

    def add(self, key: str, series: int, second: int, amount: int, shown: bool = True) -> None:
        """Add to a second before `end_s`; `shown` False leaves the show's sum."""
        self._added += (self.place(key) + series, second, amount, shown)

    def count(self, rows: Ints, series: Ints, places: Ints, touched: Ints, second: int) -> None:
        """Rows about keys, at once; see `loops.count_products`."""
        self._make_room(3 * len(rows), len(rows))
        self._taken += loops.count_products(self._state, self._pairs, rows, series, places, touched, second)

    def lines(self, lines: Ints, series: Lines, places: Ints, touched: Ints, second: int) -> list[int]:
        """Order lines, at once; see `loops.count_lines`. Returns the products of which an order makes a pair."""
        self._make_room(7 * len(lines), 2 * len(lines))
        found: list[int]
        *found, new = loops.count_lines(self._state, self._pairs, lines, series, places, touched, second).tolist()
        self._taken += new
        return found

    def settle(self) -> None:
        """Take in what was added since the last time."""
        if self._added:
            added = np.array(self._added, np.int64).reshape(-1, 4)
            self._added = []
            self._make_room(len(added), 0)
            loops.add_to_panes(self._state, added)

    @property
    def _state(self) -> Held:
        return self._totals, self._newest, self._heads, self._free, self._entries, self.end_s

    def _make_room(self, entries: int, pairs: int) -> None:
        """For so many more."""
        if entries > self._free[1]:
            held = len(self._entries)
            more = max(_FIRST_ENTRIES, held, entries)
            fresh = np.zeros((more, 4), np.int64)
            fresh[:, 0] = NONE
            fresh[:, 3] = np.arange(held + 1, held + more + 1)
            fresh[-1, 3] = self._free[0]
            self._entries = np.concatenate([self._entries, fresh])
            self._free[:] = held, self._free[1] + more
        size = len(self._pairs)
        if 2 * (self._taken + pairs) > size:
            while 2 * (self._taken + pairs) > size:
                size *= 2
            larger = np.zeros((size, 2), np.int64)
            loops.move_pairs(self._pairs, larger)
            self._pairs = larger

    def step(self) -> None:
        """Move on by one second, before what happened in it is added: let go what leaves the windows."""
        if self.place_of:
            loops.step_panes(self._totals, self._heads, self._free, self._entries, self.end_s)
        self.end_s += 1

    def skip(self, seconds: int) -> None:
        """Move on by `seconds` seconds, more than any window, with nothing in them."""
        self.end_s += seconds
        self._empty()
        self._totals[:SHOW] = 0

    def snapshot(self) -> dict[str, Any]:
        """The sums as plain data."""
        used = len(self.place_of) * self.n_series
        entries = _merged(self._entries[self._entries[:, 0] != NONE])
        pairs = self._pairs[self._pairs[:, 0] != 0]
        pairs = pairs[pairs[:, 0].argsort()]
        return {
            "end_s": self.end_s,
            "keys": list(self.place_of),
            "totals": plain(self._totals[:, :used]),
            "entries": [plain(entries[:, 0]), plain(self.end_s - entries[:, 1]), plain(entries[:, 2])],
            "pairs": [plain(np.diff(pairs[:, 0], prepend=0)), plain(ages(pairs[:, 1], self.end_s))],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The sums as they stood when `state` was taken."""
        self.start(state["end_s"])
        for key in state["keys"]:
            self.place(key)
        used = len(self.place_of) * self.n_series
        self._totals[:, :used] = from_plain(state["totals"]).reshape(SHOW + 1, used)
        places, held, amounts = map(from_plain, state["entries"])
        steps, seen = map(from_plain, state["pairs"])
        self._make_room(len(places), len(steps))
        loops.link(self._heads, self._free, self._entries, np.stack([places, self.end_s - held, amounts], axis=1))
        loops.move_pairs(np.stack([steps.cumsum(), seconds_of(seen, self.end_s)], axis=1), self._pairs)
        self._taken = len(steps)


def _merged(entries: Ints) -> Ints:
    """(place, second, amount) in order, one row for all of the same place and second."""
    places, seconds, amounts = entries[:, 0], entries[:, 1], entries[:, 2]
    order = np.lexsort((places, seconds))
    cells = np.stack([places[order], seconds[order]], axis=1)
    first = np.ones(len(cells), np.bool_)
    first[1:] = (cells[1:] != cells[:-1]).any(axis=1)
    sums = np.add.reduceat(amounts[order], np.flatnonzero(first)) if len(cells) else amounts
    return np.concatenate([cells[first], sums[:, None]], axis=1)
