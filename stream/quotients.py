"""The loop that works out every number of a room at once, out of the sums of its windows.

What a cell is says `stream.plans`; here it is a row of whole numbers, in the order of CELL.
"""

import numpy as np
from numpy.typing import NDArray

from stream.compiling import compiled
from stream.loops import Ints

Floats = NDArray[np.float64]
SECONDS, NOTHING, ONE = -3, -2, -1  # places of a window's row: after its sums its length, 0 and 1
NOT_DIVIDED = -9  # instead of the place of what stands below: the number is a sum
UNKNOWN = -1  # what stands below a number that is missing whatever stands above
CELL = ("window", "plus", "also", "less", "below", "beside", "factor", "divisor", "unless")


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
