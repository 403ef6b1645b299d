"""The loops that read what was closed: sums of any seconds, and every number of a room at once.

What a cell is says `stream.plans`; here it is a row of whole numbers, in the order of CELL.
"""

import numpy as np
from numpy.typing import NDArray

from stream.compiling import compiled
from stream.loops import Ints

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
SECONDS, NOTHING, ONE = -3, -2, -1  # places of a window's row: after its sums its length, 0 and 1
NOT_DIVIDED = -9  # instead of the place of what stands below: the number is a sum
ENOUGH = 3  # minutes before anything is usual
UNKNOWN = -1  # what stands below a number that is missing whatever stands above
CELL = ("window", "plus", "also", "less", "below", "beside", "factor", "divisor", "unless")


# `ring` (series, seconds) and `totals` (windows, series) are those of stream.windows.Buckets


@compiled
def between(ring: Ints, end_s: int, series: int, start_s: int, stop_s: int) -> int:
    """The sum of a series over [start_s, stop_s), as far as it is held, `end_s` being the end of the newest second."""
    span_s = ring.shape[1]
    start_s, stop_s, total = max(start_s, end_s - span_s), min(stop_s, end_s), 0
    at = start_s % span_s
    for _ in range(stop_s - start_s):
        total += ring[series, at]
        at += 1
        if at == span_s:
            at = 0
    return total


@compiled
def usual(ring: Ints, end_s: int, plus: Ints, less: Ints, stop_s: int, minutes: int) -> float:
    """The median of the minutes before `stop_s`, of the sums of the series `plus` but for those of `less`.

    NaN of fewer than ENOUGH minutes: up to half of them may be bursts.
    """
    if minutes < ENOUGH:
        return np.nan
    sums = np.zeros(minutes, np.int64)
    for minute in range(minutes):
        start_s = stop_s - 60 * (minutes - minute)
        for series in plus:
            sums[minute] += between(ring, end_s, series, start_s, start_s + 60)
        for series in less:
            sums[minute] -= between(ring, end_s, series, start_s, start_s + 60)
    sums.sort()
    half = minutes // 2
    return float(sums[half]) if minutes % 2 else (sums[half - 1] + sums[half]) / 2


@compiled
def keep(kept: Ints, slot: int, totals: Ints, wanted: Flags) -> None:
    """Write the wanted of the longest windows' sums into a column of `kept` (series, slots); what is alike stays so."""
    sums = totals[-1]
    for series in range(sums.size):
        if wanted[series] and kept[series, slot] != sums[series]:
            kept[series, slot] = sums[series]


@compiled
def work_out(rows: Ints, cells: Ints, values: Floats, parts: Ints) -> None:
    """The numbers that `cells` (n, 9) make of the rows (windows, sums + 3) of a room.

    Into `values` (n), NaN where one is missing, and `parts` (n, 2): what stands above and below in a quotient, or the
    sum and NOT_DIVIDED.
    """
    for number in range(len(cells)):
        window, plus, also, less, below, beside, factor, divisor, unless = cells[number]
        above, under, value = rows[window, plus] + rows[window, also] - rows[window, less], NOT_DIVIDED, np.nan
        if rows[window, unless] == 0:
            above, under = 0, UNKNOWN
        elif below == NOT_DIVIDED:
            value = np.float64(above)
        else:
            under = rows[window, below] + rows[window, beside]
            if under != 0:
                value = factor * above / (divisor * under)
        values[number], parts[number, 0], parts[number, 1] = value, above, under
