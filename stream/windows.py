"""Rolling sums and rolling distinct counts over whole seconds, exact, by adding and taking away.

A window of W seconds that ends at T is [T - W, T). The state always stands at the end of the newest closed second.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from stream import loops, packing, stepping
from stream.loops import SIZES, SPAN_S, Ints, LastSeen, Seconds
from stream.memory import lazy_zeros

WINDOWS_S: Mapping[str, int] = dict(zip(("1m", "5m", "10m"), SIZES, strict=True))
NEVER = 0  # the second a key was last seen in, where it was not
_SIZES_COLUMN = np.array(SIZES)
_FIRST_KEYS = 16  # room made at first; it doubles
_LINE = 64  # bytes of a cache line
Numbers = TypeVar("Numbers", Ints, Seconds)


class Buckets:
    """Sums of `n_series` series a second: `ring` is (n_series, SPAN_S) int64, `totals` (3, n_series) int64.

    `end_s` is the exclusive end of the newest closed second. While the next one is being closed, its sums gather in
    `column` and `edge_s` is `end_s + 1`; else they are equal. `minutes` holds sums per whole minute of the show; what
    is found out of sessions later, when they end, is not put right in it.
    """

    __slots__ = ("column", "edge_s", "end_s", "minutes", "n_series", "ring", "show", "totals")

    def __init__(self, n_series: int) -> None:
        self.n_series = n_series
        self.ring: Ints = lazy_zeros(n_series, SPAN_S)
        self.totals: Ints = np.zeros((len(SIZES), n_series), np.int64)
        self.show: Ints = np.zeros(n_series, np.int64)
        self.column: Ints = np.zeros(n_series, np.int64)
        self.minutes: dict[int, Ints] = {}
        self.end_s = 0
        self.edge_s = 0

    def start(self, second: int) -> None:
        """Stand at the beginning of `second`, empty."""
        self.ring = lazy_zeros(self.n_series, SPAN_S)
        self.totals[:] = 0
        self.show[:] = 0
        self.column[:] = 0
        self.minutes = {}
        self.end_s = self.edge_s = second

    def step(self) -> None:
        """Close the second `end_s` with the sums in `column`."""
        number = self.end_s // 60
        minute = self.minutes.get(number)
        new = np.zeros(self.n_series, np.int64) if minute is None else minute
        some = stepping.step(self.ring, self.totals, self.show, new, self.column, self.end_s)
        if minute is None and some:
            self.minutes[number] = new
        self.end_s = self.edge_s = self.end_s + 1

    def skip(self, seconds: int, column: Ints) -> None:
        """Close `seconds` seconds, more than SPAN_S, that all have the sums `column`."""
        self.ring[:] = column[:, None]
        self.totals[:] = column * _SIZES_COLUMN[:, None]
        self.show += column * seconds
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
        loops.shift(self.ring, self.totals, self.end_s, series, second, amount)

    def column_of(self, second: int) -> Ints:
        """Where sums of a second gather: of a closed one, in a column of their own, which is for `correct`."""
        return self.column if second >= self.end_s else np.zeros(self.n_series, np.int64)

    def correct(self, second: int, column: Ints) -> None:
        """Add what gathered to a closed second."""
        for series in np.flatnonzero(column).tolist():
            self.add(series, second, int(column[series]))

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

    It keeps `n` series of the buckets, from `first` on, that count the same sort of keys; keys are numbers from 1 on.
    A histogram's sum over a window that ends now is the count, since the state stands at the window's end. `last` is
    (keys, series or more), so that all of a key lie together: whoever counts an event waits for memory once.
    """

    __slots__ = ("buckets", "count", "first", "last")

    def __init__(self, first: int, n: int, buckets: Buckets) -> None:
        self.first = first
        self.buckets = buckets
        self.count: Ints = np.zeros(n, np.int64)  # keys ever seen, by series
        self.clear()

    def clear(self) -> None:
        """Forget every key."""
        self.count[:] = 0
        self.last: Seconds = _rows_of_seconds(_FIRST_KEYS, len(self.count))

    def make_room(self, keys: int) -> None:
        """Keys up to this number may be seen from now on."""
        before = self.last
        if keys >= len(before):
            self.last = _rows_of_seconds(max(2 * len(before), keys + 1), len(self.count))
            self.last[: len(before)] = before

    @property
    def state(self) -> LastSeen:
        """All of it, for loops."""
        buckets = self.buckets
        return self.last, self.count, self.first, buckets.ring, buckets.totals, buckets.end_s

    def seen_in(self, series: int, key: int) -> int:
        """The second a key was last seen in, by one of the buckets' series; NEVER where it was not."""
        return int(self.last[key, series - self.first])

    def seen_last(self, series: int, keys: Ints) -> list[int]:
        """As `seen_in` for each key."""
        seconds: list[int] = self.last[keys, series - self.first].tolist()
        return seconds

    def snapshot(self) -> list[Any]:
        """The seconds as plain data: of each series that saw a key, its count and how long ago that was."""
        ago = packing.ages_of(self.last, self.buckets.end_s)
        return [
            (int(series), int(self.count[series]), plain(trimmed(ago[series]))) for series in np.flatnonzero(self.count)
        ]

    def restore(self, state: list[Any]) -> None:
        """The seconds as they stood when `state` was taken; `buckets` stand there again."""
        self.clear()
        for series, seen, held in state:
            row = seconds_of(from_plain(held), self.buckets.end_s)
            self.make_room(len(row) - 1)
            self.last[: len(row), series] = row
            self.count[series] = seen


def _rows_of_seconds(keys: int, series: int) -> Seconds:
    """Zeros, a row a key: of so many numbers, and placed so, that a row of up to 16 series lies in one cache line."""
    width = 1 << (series - 1).bit_length()
    held = np.zeros(keys * width + _LINE // 4, np.uint32)
    start = -held.ctypes.data % _LINE // held.itemsize
    return held[start : start + keys * width].reshape(keys, width)


def seconds_of(held: Ints, end_s: int) -> Ints:
    """The seconds that lie so long before `end_s`; NEVER for 0."""
    return np.where(held == 0, NEVER, end_s - held)


def longer(row: Ints, place: int) -> Ints:
    """The row with room for `place`, and for as much again if it had to grow."""
    if place < len(row):
        return row
    larger = np.zeros((max(2 * len(row), place + 1, _FIRST_KEYS), *row.shape[1:]), np.int64)
    larger[: len(row)] = row
    return larger


def trimmed(row: Numbers) -> Numbers:
    """The row without the zeros at its end."""
    return row[: packing.filled(row)]


_SIZES_OF_NUMBERS = tuple(np.dtype(name) for name in ("<u1", "<u2", "<u4", "<i8"))


def plain(values: Ints | Seconds) -> bytes:
    """Whole numbers as bytes, the same on every machine, in as few as the largest needs; the first says how many."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for size in _SIZES_OF_NUMBERS:
        if np.iinfo(size).min <= low and high <= np.iinfo(size).max:
            break
    return bytes([size.itemsize]) + values.astype(size).tobytes()


def from_plain(state: bytes) -> Ints:
    """What `plain` was made of, in one row."""
    size = next(size for size in _SIZES_OF_NUMBERS if size.itemsize == state[0])
    return np.frombuffer(state, size, offset=1).astype(np.int64)
