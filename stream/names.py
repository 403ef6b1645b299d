"""Users, orders and whatever else has names, as whole numbers: what is counted in arrays needs a place."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count, islice
from typing import Any

import numpy as np

from stream.loops import Ints

NOBODY = 0  # the number of no name


class Names:
    """Whole numbers for names, from 1 on in the order of appearance; NOBODY for None, and beyond `limit` names."""

    __slots__ = ("full", "limit", "of")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.clear()

    def clear(self) -> None:
        """Forget every name."""
        self.full = False
        self._learn([])

    def __len__(self) -> int:
        return len(self.of) - 1

    def number(self, name: str | None) -> int:
        """The number of a name."""
        if name not in self.of and len(self) >= self.limit:
            self.full = True
            return NOBODY
        return self.of[name]

    def numbers(self, names: Sequence[str | None]) -> Ints:
        """The number of each name."""
        if len(self.of) + len(names) > self.limit:
            return np.array([self.number(name) for name in names], np.int64)
        return np.fromiter(map(self.of.__getitem__, names), np.int64, len(names))

    def name(self, number: int) -> str | None:
        """The name of a number; for what is rare, or few."""
        return next(islice(self.of, number, None))

    def snapshot(self) -> list[Any]:
        """The names as plain data."""
        return [self.full, [*self.of][1:]]

    def restore(self, state: list[Any]) -> None:
        """The names as they stood when `state` was taken."""
        self.full, names = state
        self._learn(names)

    def _learn(self, names: Iterable[str]) -> None:
        self.of: defaultdict[str | None, int] = defaultdict(count().__next__)  # asking for a new name is all in C
        for name in (None, *names):
            self.of[name]
