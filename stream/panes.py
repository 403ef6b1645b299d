"""Rolling sums of few series for many keys, most of them quiet: a key is a row, a second keeps what was added in it.

Totals are numpy, so that a busy second costs a few array operations whatever its keys.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.windows import WINDOWS_S

_SIZES = tuple(WINDOWS_S.values())
SHOW = len(_SIZES)  # the row of the whole show, after those of the windows
_FIRST_KEYS = 8  # rows made at first; they double


class Pane:
    """What was added in one second: places in the totals and amounts, in any order, a place as often as it came."""

    __slots__ = ("amounts", "places")

    def __init__(self) -> None:
        self.places: list[int] = []
        self.amounts: list[int] = []


class Panes:
    """Totals are (4, keys x n_series) int64: rows 1 min, 5 min, 10 min and the show; a key's place is its first one."""

    __slots__ = ("_panes", "_totals", "end_s", "n_series", "place_of")

    def __init__(self, n_series: int) -> None:
        self.n_series = n_series
        self.start(0)

    def start(self, second: int) -> None:
        """Stand at the beginning of `second`, empty."""
        self._panes: dict[int, Pane] = {}
        self._totals: NDArray[np.int64] = np.zeros((SHOW + 1, _FIRST_KEYS * self.n_series), np.int64)
        self.place_of: dict[str, int] = {}
        self.end_s = second

    def place(self, key: str) -> int:
        """The place of the key's first series; the key is known from now on."""
        place = self.place_of.get(key)
        if place is None:
            place = self.place_of[key] = len(self.place_of) * self.n_series
            if place == self._totals.shape[1]:
                self._totals = np.concatenate([self._totals, np.zeros_like(self._totals)], axis=1)
        return place

    def sums(self, key: str) -> list[list[int]] | None:
        """Its sums over 1 min, 5 min, 10 min and the show, `n_series` each; None for a key never added."""
        place = self.place_of.get(key)
        return None if place is None else self._totals[:, place : place + self.n_series].tolist()

    @property
    def totals(self) -> dict[str, list[list[int]]]:
        """The sums of every key."""
        return {key: self._totals[:, place : place + self.n_series].tolist() for key, place in self.place_of.items()}

    def _pane(self, second: int) -> Pane:
        try:
            return self._panes[second]
        except KeyError:
            pane = self._panes[second] = Pane()
            return pane

    def add(self, key: str, series: int, second: int, amount: int, shown: bool = True) -> None:
        """Add to a second before `end_s`; `shown` False leaves the show's sum."""
        place = self.place(key) + series
        if shown:
            self._totals[SHOW, place] += amount
        age = self.end_s - second
        if age > _SIZES[-1]:
            return
        pane = self._pane(second)
        pane.places.append(place)
        pane.amounts.append(amount)
        for row, size in enumerate(_SIZES):
            if age <= size:
                self._totals[row, place] += amount

    def add_newest(self, places: Sequence[int], amounts: Sequence[int]) -> None:
        """Add to the newest second: it is in every window and in the show."""
        if not places:
            return
        at, added = np.array(places), np.array(amounts, np.int64)
        for row in self._totals:
            np.add.at(row, at, added)
        pane = self._pane(self.end_s - 1)
        pane.places += places
        pane.amounts += amounts

    def move_newest(self, moves: Iterable[tuple[int, int]]) -> None:
        """One, at each (place, second), now belongs to the newest second: a window that held it holds it still."""
        entering: list[list[int]] = [[] for _ in _SIZES]
        newest = self._pane(self.end_s - 1)
        for place, second in moves:
            age = self.end_s - second
            if age <= _SIZES[-1]:
                pane = self._pane(second)
                pane.places.append(place)
                pane.amounts.append(-1)
            newest.places.append(place)
            newest.amounts.append(1)
            for row, size in enumerate(_SIZES):
                if age <= size:
                    break
                entering[row].append(place)
        for row, places in enumerate(entering):
            if places:
                np.add.at(self._totals[row], places, 1)

    def step(self) -> None:
        """Move on by one second, before what happened in it is added: let go what leaves the windows."""
        panes = self._panes
        if panes:
            for row, size in enumerate(_SIZES):
                pane = panes.get(self.end_s - size)
                if pane is not None:
                    np.subtract.at(self._totals[row], pane.places, pane.amounts)
            panes.pop(self.end_s - _SIZES[-1], None)
        self.end_s += 1

    def skip(self, seconds: int) -> None:
        """Move on by `seconds` seconds, more than any window, with nothing in them."""
        self.end_s += seconds
        self._panes = {}
        self._totals[:SHOW] = 0

    def active(self) -> Iterable[str]:
        """Keys with something added in the last 10 minutes, in order of appearance."""
        held = {place // self.n_series for pane in self._panes.values() for place in pane.places}
        return [key for number, key in enumerate(self.place_of) if number in held]

    def snapshot(self) -> dict[str, Any]:
        """The sums as plain data."""
        panes = [(second, pane.places, pane.amounts) for second, pane in self._panes.items()]
        used = len(self.place_of) * self.n_series
        return {
            "end_s": self.end_s,
            "panes": panes,
            "keys": list(self.place_of),
            "totals": self._totals[:, :used].tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The sums as they stood when `state` was taken."""
        self.start(state["end_s"])
        for key in state["keys"]:
            self.place(key)
        used = len(self.place_of) * self.n_series
        if used:
            self._totals[:, :used] = state["totals"]
        for second, places, amounts in state["panes"]:
            pane = self._pane(second)
            pane.places, pane.amounts = places, amounts
