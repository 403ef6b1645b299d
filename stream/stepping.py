"""The loops that move windows on by a second, when it is closed: what leaves them is taken away.

`ring` (series, SPAN_S), `totals` (windows, series) and `column` (series) are those of stream.windows.Buckets, the lists
of entries those of stream.panes.Panes; see stream.loops.
"""

from stream.compiling import compiled
from stream.loops import Ints

SPAN_S, SIZES, NONE = 960, (60, 300, 600), -1  # as in stream.loops
LONGEST_S = SIZES[-1]


@compiled
def step(ring: Ints, totals: Ints, show: Ints, minute: Ints, column: Ints, end_s: int) -> bool:
    """Close the second `end_s` with the sums in `column`, which is empty then. Returns whether there were any."""
    some = False
    at = end_s % SPAN_S
    for series in range(column.size):
        new = column[series]
        for row, size in enumerate(SIZES):
            totals[row, series] += new - ring[series, (end_s - size) % SPAN_S]
        if ring[series, at] != new:  # memory of series never used stays untouched
            ring[series, at] = new
        if new:
            some = True
            show[series] += new
            minute[series] += new
            column[series] = 0
    return some


@compiled
def step_panes(totals: Ints, heads: Ints, used: Ints, entries: Ints, end_s: int) -> None:
    """Let go what leaves the windows with the step from `end_s`, and the entries of what left the longest."""
    for row, size in enumerate(SIZES):
        slot = (end_s - size) % LONGEST_S
        entry = heads[slot]
        while entry != NONE:
            after = entries[entry, 3]
            totals[entries[entry, 0], row] -= entries[entry, 2]
            if size == LONGEST_S:
                entries[entry, 0], entries[entry, 3] = NONE, used[0]
                used[0] = entry
                used[1] += 1
            entry = after
        if size == LONGEST_S:
            heads[slot] = NONE
