"""The loops that read what was closed: sums of any seconds, and every number of a room at once.

What a cell is says `stream.plans`; here it is a row of whole numbers, in the order of CELL. What a sounding is says
`stream.soundings`.
"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from stream.compiling import compiled
from stream.loops import Ints

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
SECONDS, NOTHING, ONE = -3, -2, -1  # places of a window's row: after its sums its length, 0 and 1
NOT_DIVIDED, MEASURED = -9, -8  # instead of what stands below: the number is a sum, or one of its own
UNKNOWN = -1  # what stands below a number that is missing whatever stands above, or above one with too few below
SIZES = (60, 300, 600)  # as in stream.loops
ENOUGH = 3  # minutes before anything is usual
SHORT_S = (30, 60, 180, 300)  # as in stream.loops
COHORT_MIN = 20  # a share of fewer viewers is noise
COHORT_S = 120  # a retention cohort is two minutes of joins
CELL = ("window", "plus", "also", "less", "below", "beside", "factor", "divisor", "unless")
# The places of the soundings, and of what they are made of besides sums.
(ONLINE, ONLINE_1M, PEAK_ONLINE, OVER_1MIN_RATE_SHOW, REFUND_RATE_SHOW, RETENTION_30S, RETENTION_60S) = range(7)
(RETENTION_180S, RETENTION_300S, SHOW_S, ONLINE_1M_3M_AGO, ONLINE_DROP_Z, RETENTION_60S_10M) = range(7, 13)
(RETENTION_60S_COHORT, ORDERS_NOW, ORDERS_MEDIAN_10M, JOINS_MEDIAN_10M, ORGANIC_JOINS_3M) = range(13, 18)
(ORGANIC_JOINS_BASE, ADS_JOINS_3M, ADS_JOINS_BASE, SPEECH_AGE_S, ORDER_AGE_S, SCENE_QUIET) = range(18, 24)
REACTIONS_1M, REACTIONS_EXPECTED_1M, PIN_AGE_S, N_SOUNDINGS = range(24, 28)
(END_S, START_S, PEOPLE, BY_LEAVES, PEAK_SUM, PEAK_SECONDS, REFUNDED, PAID, SHOW_AGE, SPEECH_AGE, ORDER_AGE) = range(11)
QUIET, PIN_AGE = 11, 12
# The places of the series they are sums of: of shorter sessions there are four, of reactions and orders two each.
ONLINE_SUM, ONLINE_SECONDS, BEGUN, SHORTER, JOINED, FROM_ADS, REACTED, ORDERED = 0, 1, 2, 3, 7, 8, 9, 11


# `ring` (series, seconds), `totals` (windows, series) and `show` (series) are those of stream.windows.Buckets


@compiled
def between(ring: Ints, end_s: int, series: int, start_s: int, stop_s: int) -> int:
    """The sum of a series over [start_s, stop_s), as far as it is held, `end_s` being the end of the newest second."""
    span_s, held, total = ring.shape[1], ring[series], 0
    start_s, stop_s = max(start_s, end_s - span_s), min(stop_s, end_s)
    first = start_s % span_s
    last = first + max(0, stop_s - start_s)
    for amount in held[first : min(last, span_s)]:
        total += amount
    for amount in held[: max(0, last - span_s)]:
        total += amount
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
def worked_out(rows: Ints, cells: Ints, number: int) -> tuple[float, int, int]:
    """The number that one of `cells` (n, 9) makes of the rows (windows, sums + 3) of a room; NaN where it is missing.

    And what stands above and below in a quotient, or the sum and NOT_DIVIDED.
    """
    window, plus, also, less, below, beside, factor, divisor, unless = cells[number]
    if rows[window, unless] == 0:
        return np.nan, 0, UNKNOWN
    above = rows[window, plus] + rows[window, also] - rows[window, less]
    if below == NOT_DIVIDED:
        return np.float64(above), above, NOT_DIVIDED
    under = rows[window, below] + rows[window, beside]
    return (factor * above / (divisor * under) if under != 0 else np.nan), above, under


@compiled
def work_out(rows: Ints, cells: Ints, values: Floats, parts: Ints) -> None:
    """As `worked_out` for each of `cells`, into `values` (n) and `parts` (n, 2)."""
    for number in range(len(cells)):
        values[number], parts[number, 0], parts[number, 1] = worked_out(rows, cells, number)


@compiled
def pick(rows: Ints, cells: Ints, sounded: Floats, hidden: Floats, places: Ints, to: Ints, values: Floats) -> None:
    """Some numbers into `values`: `cells` and the soundings at `places` but for what is hidden, in the order of `to`.

    `to` says where in `values` each goes; the others are NaN.
    """
    values[:] = np.nan
    n = len(cells)
    for number in range(n):
        values[to[number]] = worked_out(rows, cells, number)[0]
    for number, place in enumerate(places):
        values[to[n + number]] = sounded[place] + hidden[place]


@compiled
def rows_of(
    totals: Ints,
    show: Ints,
    people: Ints,
    orders: Ints,
    firsts: tuple[int, int],
    kept: Ints,
    told: tuple[int, int, int],
) -> Ints:
    """The rows of all windows for `work_out`: those of `totals`, a column of `kept` (as of `keep`), and the whole show.

    `people` and `orders` are how many keys were ever seen, each by series from one of `firsts` on. `told`: how long the
    show is so far, the column and its length in seconds; below 0: nothing was kept.
    """
    held, n = totals.shape
    seconds, slot, kept_s = told
    rows = np.zeros((held + 2, n + 3), np.int64)
    for series in range(n):
        for row in range(held):
            rows[row, series] = totals[row, series]
        rows[held, series] = kept[series, slot] if slot >= 0 else 0
        rows[held + 1, series] = show[series]
    for series in range(people.size):
        rows[held + 1, firsts[0] + series] = people[series]
    for series in range(orders.size):
        rows[held + 1, firsts[1] + series] = orders[series]
    for row in range(held + 2):
        rows[row, SECONDS], rows[row, ONE] = min(SIZES[row], seconds) if row < held else seconds, 1
    rows[held, SECONDS] = kept_s
    return rows


@compiled
def fall_z(now: float, then: float) -> float:
    """How many standard deviations `now` is below `then`, both Poisson counts over equal times; NaN where both are 0.

    The difference of independent Poisson counts has the mean a - b and the variance a + b. If nothing has changed
    (a = b), then + now estimates a + b without bias, so (then - now) / sqrt(then + now) has mean 0 and variance about
    1; given the sum it is the sign test: then ~ Binomial(then + now, 1/2) (Przyborowski and Wilenski, Biometrika 31,
    1940). People who stay are in both counts, so for online counts it errs on the quiet side.
    """
    both = now + then
    return (then - now) / sqrt(both) if both > 0 else np.nan


@compiled
def count(values: Floats, parts: Ints, place: int, amount: int) -> None:
    """A number is a sum."""
    values[place], parts[place, 0], parts[place, 1] = amount, amount, NOT_DIVIDED


@compiled
def measure(values: Floats, parts: Ints, place: int, level: float) -> None:
    """A number is one of its own."""
    values[place], parts[place, 1] = level, MEASURED if level == level else UNKNOWN


@compiled
def divide(values: Floats, parts: Ints, place: int, above: int, below: int, least: int) -> None:
    """A number is a quotient; missing, with what stands below, where that is less than `least`."""
    parts[place, 0], parts[place, 1] = above, below
    if below >= least:
        values[place] = above / below
    elif least > 1:
        parts[place, 0] = UNKNOWN


@compiled
def stay(ring: Ints, told: Ints, series: Ints, short: int, after_s: int, cohort_s: int) -> tuple[int, int]:
    """How many of a cohort stayed `after_s`, and how many they were; without leaves by the rise of people online.

    `short` is the place in `series` of sessions that were shorter. None are UNKNOWN.
    """
    end_s, people = told[END_S], told[PEOPLE]
    stop_s = end_s - after_s
    if told[BY_LEAVES]:
        start_s = max(stop_s - cohort_s, told[START_S])
        began = between(ring, end_s, series[BEGUN], start_s, stop_s)
        return began - between(ring, end_s, series[short], start_s, stop_s), began
    if people < 0 or not between(ring, end_s, series[ONLINE_SECONDS], stop_s - 1, stop_s):
        return UNKNOWN, UNKNOWN
    then = between(ring, end_s, series[ONLINE_SUM], stop_s - 1, stop_s)
    joins = between(ring, end_s, series[JOINED], stop_s, end_s)
    return then + joins - max(0, joins - (people - then)), then + joins


@compiled
def sound_people(ring: Ints, totals: Ints, show: Ints, series: Ints, told: Ints, values: Floats, parts: Ints) -> None:
    """The soundings of who is there, and who stays."""
    end_s = told[END_S]
    if told[PEOPLE] >= 0:
        count(values, parts, ONLINE, told[PEOPLE])
    online, seconds = totals[0, series[ONLINE_SUM]], totals[0, series[ONLINE_SECONDS]]
    if seconds:
        divide(values, parts, ONLINE_1M, online, seconds, 1)
        if told[PEAK_SECONDS]:
            divide(values, parts, PEAK_ONLINE, told[PEAK_SUM], told[PEAK_SECONDS], 1)
        known = between(ring, end_s, series[ONLINE_SECONDS], end_s - 240, end_s - 180)
        if known == 60:
            then = between(ring, end_s, series[ONLINE_SUM], end_s - 240, end_s - 180)
            divide(values, parts, ONLINE_1M_3M_AGO, then, known, 1)
            measure(values, parts, ONLINE_DROP_Z, fall_z(online / seconds, then / known))
    if told[BY_LEAVES]:
        began = show[series[BEGUN]] - between(ring, end_s, series[BEGUN], end_s - 60, end_s)
        short = show[series[SHORTER + 1]] - between(ring, end_s, series[SHORTER + 1], end_s - 60, end_s)
        divide(values, parts, OVER_1MIN_RATE_SHOW, began - short, began, 1)
    for place, after_s in enumerate(SHORT_S):
        stayed, began = stay(ring, told, series, SHORTER + place, after_s, COHORT_S)
        divide(values, parts, RETENTION_30S + place, stayed, began, COHORT_MIN)
    stayed, began = stay(ring, told, series, SHORTER + 1, 60, 600)
    divide(values, parts, RETENTION_60S_10M, stayed, began, COHORT_MIN)
    if parts[RETENTION_60S, 1] >= 0:
        count(values, parts, RETENTION_60S_COHORT, parts[RETENTION_60S, 1])


@compiled
def sound(ring: Ints, totals: Ints, show: Ints, series: Ints, told: Ints, values: Floats, parts: Ints) -> None:
    """The soundings of a room into `values` (n), NaN where one is missing, and `parts` (n, 2), as in `work_out`.

    `series` are those of people online, seconds in which that is known, sessions begun, those shorter than each of
    SHORT_S, joins, joins from ads, chats, messages of likes, and the two that orders are. `told` are whole numbers of
    the room, below 0 where there is none.
    """
    values[:] = np.nan
    parts[:] = UNKNOWN
    sound_people(ring, totals, show, series, told, values, parts)
    divide(values, parts, REFUND_RATE_SHOW, told[REFUNDED], told[PAID], 1)
    for place, amount in (
        (SHOW_S, told[SHOW_AGE]),
        (SPEECH_AGE_S, told[SPEECH_AGE]),
        (ORDER_AGE_S, told[ORDER_AGE]),
        (SCENE_QUIET, told[QUIET]),
        (PIN_AGE_S, told[PIN_AGE]),
    ):
        if amount >= 0:
            count(values, parts, place, amount)
    count(values, parts, ORDERS_NOW, totals[0, series[ORDERED]] + totals[0, series[ORDERED + 1]])
    count(values, parts, REACTIONS_1M, totals[0, series[REACTED]] + totals[0, series[REACTED + 1]])
    end_s = told[END_S]
    lately_s, then_s = end_s - 60, end_s - 300
    minutes, earlier = min(10, (lately_s - told[START_S]) // 60), min(10, (then_s - told[START_S]) // 60)
    joins, ads = series[JOINED : JOINED + 1], series[FROM_ADS : FROM_ADS + 1]
    measure(values, parts, JOINS_MEDIAN_10M, usual(ring, end_s, joins, joins[:0], lately_s, minutes))
    measure(
        values,
        parts,
        ORDERS_MEDIAN_10M,
        usual(ring, end_s, series[ORDERED : ORDERED + 2], joins[:0], lately_s, minutes),
    )
    measure(
        values,
        parts,
        REACTIONS_EXPECTED_1M,
        usual(ring, end_s, series[REACTED : REACTED + 2], joins[:0], lately_s, minutes),
    )
    measure(values, parts, ADS_JOINS_BASE, 3 * usual(ring, end_s, ads, joins[:0], then_s, earlier))
    if earlier == 10:
        measure(values, parts, ORGANIC_JOINS_BASE, 3 * usual(ring, end_s, joins, ads, then_s, 10))
    paid_for = between(ring, end_s, series[FROM_ADS], end_s - 180, end_s)
    count(values, parts, ADS_JOINS_3M, paid_for)
    count(values, parts, ORGANIC_JOINS_3M, between(ring, end_s, series[JOINED], end_s - 180, end_s) - paid_for)
