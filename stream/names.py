"""Users, orders and whatever else has names, as whole numbers: what is counted in arrays needs a place."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from xxhash import xxh64_digest

from stream import admitting, packing
from stream.loops import Ints

NOBODY = 0  # the number of no name
FIRST_PLACES = 16  # of a table of keys


def hashed(name: str | None) -> int:
    """The hash of a name, XXH64 as a signed number; 0 for None alone.

    >>> hashed(None), hashed("u1") == hashed("u1"), hashed("u1") == hashed("u2")
    (0, True, False)
    """
    if name is None:
        return 0
    return int.from_bytes(xxh64_digest(name.encode(errors="surrogatepass")), "big", signed=True) or 1


def places_for(keys: int, places: int = FIRST_PLACES) -> int:
    """How many places a table of so many keys needs, from `places` on: it doubles, and at most half are taken.

    >>> places_for(8), places_for(9), places_for(1, 64)
    (16, 32, 64)
    """
    while 2 * keys > places:
        places *= 2
    return places


class Hashes:
    """Numbers for names known by their hashes alone, as `Names` gives them: many names, which nobody asks back.

    `table` (places, 2) has hashes and numbers; who adds to it says so in `count`.
    """

    __slots__ = ("count", "full", "limit", "table")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self.table: Ints = np.zeros((FIRST_PLACES, 2), np.int64)
        self.full = False

    def number(self, name: str | None) -> int:
        """The number of a name."""
        if name is None:
            return NOBODY
        more = self.count < self.limit
        self.make_room(1)
        number = int(admitting.number_of(self.table, hashed(name), self.count + 1 if more else NOBODY))
        if number > self.count:
            self.count = number
        elif number == NOBODY:
            self.full = True
        return number

    def make_room(self, more: int) -> None:
        """For so many more."""
        if 2 * (self.count + more) > len(self.table):
            before = self.table
            self.table = np.zeros((places_for(self.count + more, len(before)), 2), np.int64)
            admitting.number_keys(self.table, before)

    def by_number(self) -> Ints:
        """The hash of each number; 0 for NOBODY."""
        hashes: Ints = packing.by_number(self.table, self.count)
        return hashes

    def learn(self, hashes: Ints) -> None:
        """Know these names and no others, by number from 1 on; none was left out."""
        self.count = 0
        self.full = False
        self.table = np.zeros((FIRST_PLACES, 2), np.int64)
        self.make_room(len(hashes))
        admitting.number_keys(self.table, np.stack([hashes, np.arange(1, len(hashes) + 1)], axis=1))
        self.count = len(hashes)


class Names:
    """Whole numbers for names, from 1 on in the order of appearance; NOBODY for None, and beyond `limit` names."""

    __slots__ = ("_listed", "full", "limit", "of")

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
        number = self.of.get(name)
        if number is None:
            if len(self) >= self.limit:
                self.full = True
                return NOBODY
            number = self._add(name)
        return number

    def numbers(self, names: Sequence[str | None]) -> Ints:
        """The number of each name."""
        return np.array([self.number(name) for name in names], np.int64)

    def name(self, number: int) -> str | None:
        """The name of a number that was given."""
        return self._listed[number]

    def snapshot(self) -> list[Any]:
        """The names as plain data."""
        return [self.full, self._listed[1:]]

    def restore(self, state: list[Any]) -> None:
        """The names as they stood when `state` was taken."""
        self.full, names = state
        self._learn(names)

    def _learn(self, names: Iterable[str]) -> None:
        self._listed: list[str | None] = [None, *names]
        self.of: dict[str | None, int] = {name: number for number, name in enumerate(self._listed)}

    def _add(self, name: str | None) -> int:
        number = self.of[name] = len(self._listed)
        self._listed.append(name)
        return number


class HashedNames(Names):
    """Names that loops look up by their hashes, too, in `table` (places, 2) of hashes and numbers."""

    __slots__ = ("table",)

    def grown(self, name: str) -> None:
        """This name has the next number by now, since `table` was added to."""
        super()._add(name)

    def _add(self, name: str | None) -> int:
        number = super()._add(name)
        self._tabulate()
        return number

    def _learn(self, names: Iterable[str]) -> None:
        super()._learn(names)
        self.table: Ints = np.zeros((0, 2), np.int64)
        self._tabulate()

    def _tabulate(self) -> None:
        """The newest name goes into the table; all of them, where that is too small."""
        if 2 * len(self.of) <= len(self.table):
            admitting.number_of(self.table, hashed(self._listed[-1]), len(self))
            return
        self.table = np.zeros((places_for(len(self.of)), 2), np.int64)
        admitting.number_keys(self.table, np.array([(hashed(name), one) for name, one in self.of.items()], np.int64))
