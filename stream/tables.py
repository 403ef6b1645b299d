"""Every number of a room's windows at once, as columns: for who keeps or compares them all.

What a number is says `stream.plans`; here it is a place in arrays, and it is equal to the one that is made alone.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stream import surveying
from stream.loops import Ints
from stream.numbers import ALL, BY_KEY, Known, Status
from stream.plans import PLANS_KEPT, Cell, Planned
from stream.soundings import PLACE
from stream.surveying import CELL, NOT_DIVIDED, Floats

PLANNED: Mapping[str, Planned] = {
    window: Planned(((key, one.make) for key, (one, of) in BY_KEY.items() if of == window), window == "show")
    for window in ALL
}
"""By window."""


class Layout(NamedTuple):
    """What stands where: keys, how certain each is unless it is missing, and the rows for `surveying.work_out`."""

    keys: tuple[str, ...]
    statuses: tuple[Status, ...]
    cells: Ints


class Table(NamedTuple):
    """Numbers in the order of `layout.keys`; those without a place are missing.

    `values` (n) is NaN where one is missing, and not exact beyond 2^53; `parts` (n, 2) are exact: what stands above and
    below in a quotient, or the sum and NOT_DIVIDED.
    """

    layout: Layout
    values: Floats
    parts: Ints

    def changed(self, before: "Table | None") -> list[str]:
        """The keys of the numbers that differ from those of `before`: all there are, where these know other things."""
        if before is None or before.layout is not self.layout:
            return [*BY_KEY]
        keys = self.layout.keys
        return [keys[place] for place in (self.parts != before.parts).any(axis=1).nonzero()[0].tolist()]


class Choice(NamedTuple):
    """Some numbers of a room: the cells of windows, then the places of soundings, and of each the place among all."""

    cells: Ints
    places: Ints
    to: Ints


@lru_cache(PLANS_KEPT)
def choice(names: tuple[str, ...], now: Known, then: Known | None) -> Choice:
    """Numbers by name, without those of windows that are missing or stale whatever the sums.

    Raises KeyError for a name that is no number's.
    """
    if unknown := [name for name in names if name not in BY_KEY and name not in PLACE]:
        raise KeyError(*unknown)
    layout = _layout(now, then)
    at = {key: place for place, key in enumerate(layout.keys) if layout.statuses[place] != "stale"}
    windowed = [place for place, name in enumerate(names) if name in at]
    sounded = [place for place, name in enumerate(names) if name in PLACE]
    return Choice(
        layout.cells[[at[names[place]] for place in windowed]],
        np.array([PLACE[names[place]] for place in sounded], np.int64),
        np.array([*windowed, *sounded], np.int64),
    )


def table_of(rows: Ints, now: Known, then: Known | None) -> Table:
    """The numbers of a room that knows `now`, and knew `then` when the window `prev10m` ended; None: there is none.

    `rows` (windows, sums + 3) are the sums of each of ALL, and what `stream.plans.Cell` says comes after them.
    """
    layout = _layout(now, then)
    values, parts = np.empty(len(layout.keys)), np.empty((len(layout.keys), 2), np.int64)
    surveying.work_out(rows, layout.cells, values, parts)
    return Table(layout, values, parts)


@lru_cache(PLANS_KEPT)
def _layout(now: Known, then: Known | None) -> Layout:
    found: list[tuple[str, int, Cell]] = []
    for row, (window, planned) in enumerate(PLANNED.items()):
        known = then if window == "prev10m" else now
        if known is not None:
            found += [(key, row, cell) for key, cell in planned.plan(known).cells.items()]
    keys, statuses = tuple(key for key, *_ in found), tuple(cell.status for *_, cell in found)
    cells = [
        (row, *cell._replace(below=NOT_DIVIDED if cell.below is None else cell.below)[1:]) for _, row, cell in found
    ]
    return Layout(keys, statuses, np.array(cells, np.int64).reshape(-1, len(CELL)))
