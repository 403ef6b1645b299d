"""Rolling sums and rolling distinct counts over whole seconds, exact, by adding and taking away.

A window of W seconds that ends at T is [T - W, T). The state always stands at the end of the newest closed second.
"""

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOWS_S: Mapping[str, int] = {"1m": 60, "5m": 300, "10m": 600}
SPAN_S = 960  # what plays look back to: the minutes -15 to -5, and the one under way
NEVER, SAME = -1, -2  # what `Distinct.see` says besides a second
_SIZES = tuple(WINDOWS_S.values())
_SIZES_COLUMN = np.array(_SIZES)

Ints = NDArray[np.int64]


class Buckets:
    """Sums of `n_series` series a second: `ring` is (n_series, SPAN_S) int64, `totals` (3, n_series) int64.

    `end_s` is the exclusive end of the newest closed second. While the next one is being closed, its sums gather in
    `column` and `edge_s` is `end_s + 1`; else they are equal. `minutes` holds sums per whole minute of the show.
    """

    __slots__ = ("column", "edge_s", "end_s", "minutes", "n_series", "ring", "show", "totals")

    def __init__(self, n_series: int) -> None:
        self.n_series = n_series
        self.ring: Ints = np.zeros((n_series, SPAN_S), np.int64)
        self.totals: Ints = np.zeros((len(_SIZES), n_series), np.int64)
        self.show: Ints = np.zeros(n_series, np.int64)
        self.minutes: dict[int, Ints] = {}
        self.column = [0] * n_series
        self.end_s = 0
        self.edge_s = 0

    def start(self, second: int) -> None:
        """Stand at the beginning of `second`, empty."""
        self.ring = np.zeros((self.n_series, SPAN_S), np.int64)
        self.totals[:] = 0
        self.show[:] = 0
        self.minutes = {}
        self.column = [0] * self.n_series
        self.end_s = self.edge_s = second

    def step(self) -> None:
        """Close the second `end_s` with the sums in `column`."""
        end_s, column = self.end_s, self.column
        at = end_s % SPAN_S
        ring = self.ring
        gone = ring[:, [(end_s - size) % SPAN_S for size in _SIZES]].T
        self.totals -= gone
        slot = ring[:, at]
        self.end_s = self.edge_s = end_s + 1
        if not any(column):
            if slot.any():
                slot[slot != 0] = 0
            return
        self.column = [0] * self.n_series
        new = np.array(column, np.int64)
        self.totals += new
        self.show += new
        np.copyto(slot, new, where=slot != new)  # memory of series never used stays untouched
        try:
            self.minutes[end_s // 60] += new
        except KeyError:
            self.minutes[end_s // 60] = new

    def skip(self, seconds: int, column: list[int]) -> None:
        """Close `seconds` seconds, more than SPAN_S, that all have the sums `column`."""
        new = np.array(column, np.int64)
        self.ring[:] = new[:, None]
        self.totals[:] = new * _SIZES_COLUMN[:, None]
        self.show += new * seconds
        self.end_s = self.edge_s = self.end_s + seconds

    def add(self, series: int, second: int, amount: int) -> None:
        """Add to the second being closed, or correct a closed one: its windows, its minute and the show."""
        if second >= self.end_s:
            self.column[series] += amount
            return
        self.show[series] += amount
        minute = self.minutes.get(second // 60)
        if minute is None:
            minute = self.minutes[second // 60] = np.zeros(self.n_series, np.int64)
        minute[series] += amount
        self._shift(series, second, amount)

    def _shift(self, series: int, second: int, amount: int) -> None:
        age = self.end_s - second
        if 0 < age <= SPAN_S:
            self.ring[series, second % SPAN_S] += amount
            for row, size in enumerate(_SIZES):
                if age <= size:
                    self.totals[row, series] += amount

    def forget(self, series: int, seconds: list[int]) -> None:
        """Take one away at each of `seconds`, all closed: those keys were seen again in the second after `end_s`.

        The show's and the minutes' sums stay: there each second counts for itself.
        """
        for second in seconds:
            self._shift(series, second, -1)

    def forget_each(self, series: list[int], seconds: list[int]) -> None:
        """As `forget`, of many series at once: one is taken away at each (series, second)."""
        if len(seconds) < 8:  # below, array operations cost more than they save
            for one, second in zip(series, seconds, strict=True):
                self._shift(one, second, -1)
            return
        ages = self.end_s - np.array(seconds)
        held = ages <= SPAN_S
        ages, rows = ages[held], np.array(series)[held]
        np.subtract.at(self.ring, (rows, (self.end_s - ages) % SPAN_S), 1)
        for row, size in enumerate(_SIZES):
            self.totals[row] -= np.bincount(rows[ages <= size], minlength=self.n_series)

    def between(self, series: int, start_s: int, end_s: int) -> int:
        """Sum over [start_s, end_s), as far as it is held."""
        start_s = max(start_s, self.end_s - SPAN_S)
        end_s = min(end_s, self.end_s)
        if end_s <= start_s:
            return 0
        row = self.ring[series]
        a, b = start_s % SPAN_S, (end_s - 1) % SPAN_S + 1
        if a < b:
            return int(row[a:b].sum())
        return int(row[a:].sum() + row[:b].sum())

    def per_minute(self, series: int, end_s: int, minutes: int) -> list[int]:
        """Sums over the `minutes` minutes before `end_s`, oldest first."""
        return [self.between(series, end_s - 60 * k, end_s - 60 * (k - 1)) for k in range(minutes, 0, -1)]

    def snapshot(self) -> dict[str, Any]:
        """Only what is not zero, as plain data."""
        rows, columns = np.nonzero(self.ring)
        return {
            "end_s": self.end_s,
            "cells": [rows.tolist(), columns.tolist(), self.ring[rows, columns].tolist()],
            "totals": self.totals.tolist(),
            "show": self.show.tolist(),
            "minutes": [(minute, sums.tolist()) for minute, sums in self.minutes.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The sums as they stood when `state` was taken."""
        self.start(state["end_s"])
        rows, columns, values = state["cells"]
        self.ring[rows, columns] = values
        self.totals[:] = state["totals"]
        self.show[:] = state["show"]
        self.minutes = {minute: np.array(sums, np.int64) for minute, sums in state["minutes"]}


def settle(distincts: Iterable["Distinct"], buckets: Buckets) -> None:
    """Before the second is closed: keys seen again leave the seconds where they were last seen."""
    seconds: list[int] = []
    series: list[int] = []
    for distinct in distincts:
        moved = distinct.moved
        if moved:
            seconds += moved
            series += [distinct.series] * len(moved)
            distinct.moved = []
    if seconds:
        buckets.forget_each(series, seconds)


class Distinct:
    """How many distinct keys a window holds: each key's last second, and a histogram of these in `buckets`.

    The histogram's sum over a window that ends now is the count, since the state stands at the window's end.
    """

    __slots__ = ("full", "last", "limit", "moved", "series")

    def __init__(self, series: int, limit: int) -> None:
        self.series = series
        self.limit = limit
        self.last: dict[str, int] = {}
        self.moved: list[int] = []
        self.full = False

    def see(self, key: str, second: int, buckets: Buckets) -> int:
        """`key` is seen in the second being closed, or was in a closed one.

        Returns the second it was last seen in, NEVER for a new key, SAME when nothing changes.
        """
        last = self.last
        before = last.get(key)
        if before is None:
            if len(last) >= self.limit:
                self.full = True
                return SAME
            before = NEVER
        elif before >= second:
            return SAME
        elif second >= buckets.end_s:
            self.moved.append(before)
        else:
            buckets.forget(self.series, [before])
        last[key] = second
        buckets.add(self.series, second, 1)
        return before

    def see_all(self, keys: set[str], second: int, buckets: Buckets) -> None:
        """As `see` for each of `keys`; much cheaper where there are many, in the second being closed."""
        last = self.last
        if second < buckets.end_s or len(last) + len(keys) > self.limit:
            for key in keys:
                self.see(key, second, buckets)
            return
        befores = [*map(last.get, keys, repeat(NEVER))]  # numbers all: to look for None would cost as much again
        new, same = befores.count(NEVER), befores.count(second)
        buckets.column[self.series] += len(befores) - same
        if new + same < len(befores):
            self.moved += [before for before in befores if NEVER < before < second]
        last.update(dict.fromkeys(keys, second))

    def clear(self) -> None:
        """Forget every key."""
        self.last = {}
        self.moved = []
        self.full = False
