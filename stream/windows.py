"""Rolling sums and rolling distinct counts over whole seconds, exact, by adding and taking away.

A window of W seconds that ends at T is [T - W, T). The state always stands at the end of the newest closed second.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOWS_S: Mapping[str, int] = {"1m": 60, "5m": 300, "10m": 600}
SPAN_S = 1_200  # the longest window with the one before it
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
        if len(seconds) < 32:
            for second in seconds:
                self._shift(series, second, -1)
            return
        ages = self.end_s - np.array(seconds)
        by_age = np.bincount(ages[ages <= SPAN_S], minlength=SPAN_S + 1)[1:]
        held = np.flatnonzero(by_age)
        self.ring[series, (self.end_s - 1 - held) % SPAN_S] -= by_age[held]
        for row, size in enumerate(_SIZES):
            self.totals[row, series] -= by_age[:size].sum()

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
        befores = [*map(last.get, keys)]
        moved = [before for before in befores if before is not None and before < second]
        self.moved += moved
        buckets.column[self.series] += len(moved) + befores.count(None)
        last.update(dict.fromkeys(keys, second))

    def settle(self, buckets: Buckets) -> None:
        """Before the second is closed: keys seen again leave the second where they were last seen."""
        if self.moved:
            buckets.forget(self.series, self.moved)
            self.moved = []

    def clear(self) -> None:
        """Forget every key."""
        self.last = {}
        self.moved = []
        self.full = False


class Panes:
    """Rolling sums of few series for many keys, most of them quiet: one small list a key and second with something.

    `totals[key]` is [1 min, 5 min, 10 min, show], each a list of `n_series` sums.
    """

    __slots__ = ("_panes", "end_s", "n_series", "totals")

    def __init__(self, n_series: int) -> None:
        self.n_series = n_series
        self._panes: dict[int, dict[str, list[int]]] = {}
        self.totals: dict[str, list[list[int]]] = {}
        self.end_s = 0

    def start(self, second: int) -> None:
        """Stand at the beginning of `second`, empty."""
        self._panes = {}
        self.totals = {}
        self.end_s = second

    def totals_of(self, key: str) -> list[list[int]]:
        """The sums of `key`, which is known from now on."""
        totals = self.totals.get(key)
        if totals is None:
            totals = self.totals[key] = [[0] * self.n_series for _ in range(len(_SIZES) + 1)]
        return totals

    def add(self, key: str, series: int, second: int, amount: int, shown: bool = True) -> None:
        """Add to a second before `end_s`; `shown` False leaves the show's sum."""
        totals = self.totals_of(key)
        if shown:
            totals[-1][series] += amount
        age = self.end_s - second
        if age > _SIZES[-1]:
            return
        pane = self._panes.get(second)
        if pane is None:
            pane = self._panes[second] = {}
        sums = pane.get(key)
        if sums is None:
            sums = pane[key] = [0] * self.n_series
        sums[series] += amount
        for row, size in enumerate(_SIZES):
            if age <= size:
                totals[row][series] += amount

    def step(self) -> None:
        """Move on by one second, before what happened in it is added: let go what leaves the windows."""
        panes = self._panes
        if panes:
            for row, size in enumerate(_SIZES):
                pane = panes.get(self.end_s - size)
                if pane:
                    for key, sums in pane.items():
                        self.totals[key][row] = [a - b for a, b in zip(self.totals[key][row], sums, strict=True)]
            panes.pop(self.end_s - _SIZES[-1], None)
        self.end_s += 1

    def skip(self, seconds: int) -> None:
        """Move on by `seconds` seconds, more than any window, with nothing in them."""
        self.end_s += seconds
        self._panes = {}
        for rows in self.totals.values():
            for row in range(len(_SIZES)):
                rows[row] = [0] * self.n_series

    def active(self) -> Iterable[str]:
        """Keys with something in the 10-minute window, in order of appearance."""
        held = {key for pane in self._panes.values() for key in pane}
        return [key for key in self.totals if key in held]

    def snapshot(self) -> dict[str, Any]:
        """The sums as plain data."""
        return {"end_s": self.end_s, "panes": list(self._panes.items()), "totals": self.totals}

    def restore(self, state: dict[str, Any]) -> None:
        """The sums as they stood when `state` was taken."""
        self.end_s = state["end_s"]
        self._panes = dict(state["panes"])
        self.totals = state["totals"]
