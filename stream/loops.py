"""The loops that every event of a closing second passes: plain Python over arrays of whole numbers, compiled by Numba.

All of them stand in this one module, with the constants they use: what was compiled once is kept on disk and made anew
only when the file itself changes. Numba is loaded when the first of them is called, so call them by `loops.name`.
Arrays are int64, without gaps. A second of 0 is never.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

SPAN_S = 960  # what plays look back to: the minutes -15 to -5, and the one under way
SIZES = (60, 300, 600)  # seconds of the windows; a row each in every array of totals
LONGEST_S = SIZES[-1]
RETURN_MS = 30_000  # who comes back sooner goes on with the session they left
SHORT_S = (30, 60, 180, 300)  # sessions shorter than this are counted, each in a series of its own
NONE = -1  # the end of a list in `Panes`
TS, KIND, USER, WHAT, SOURCE = range(5)  # the columns of a row, see stream.waiting

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
F = TypeVar("F", bound=Callable[..., Any])
Sums = tuple[Ints, Ints, Ints, Ints, int]  # of Buckets: ring, totals, show, column and end_s
Lines = tuple[int, int, int, int, int, int]
Held = tuple[Ints, Ints, Ints, Ints, Ints, int]  # of Panes: totals, newest, heads, free, entries and end_s


_waiting: list[str] = []


def compiled(function: F) -> F:
    """The function as machine code from its first call on."""
    _waiting.append(function.__name__)

    @wraps(function)
    def first(*args: Any) -> Any:
        _compile()
        return globals()[function.__name__](*args)

    return first  # type: ignore[return-value]


def _compile() -> None:
    """Put compiled functions in the places of all; each is translated, or found on disk, when it is called."""
    import numba  # a third of a second and 60 MiB, for those who close seconds alone

    while _waiting:
        name = _waiting.pop()
        function = globals()[name].__wrapped__
        try:
            globals()[name] = numba.njit(function, cache=True)
        except RuntimeError:  # neither beside this file nor in a home of the user's may anything be kept
            globals()[name] = numba.njit(function)


# --- events that wait (stream.waiting.Waiting): `rows` (n, columns)


@compiled
def falls(rows: Ints) -> bool:
    """Whether event time is not in order."""
    for row in range(1, len(rows)):  # noqa: SIM110  # all() takes a generator, which is not compiled
        if rows[row, TS] < rows[row - 1, TS]:
            return True
    return False


@compiled
def by_kind(rows: Ints, kinds: int) -> Ints:
    """For each kind how many rows there are, the sum of what they say, and how many have a user: (3, kinds)."""
    sums = np.zeros((3, kinds), np.int64)
    for row in range(len(rows)):
        kind = rows[row, KIND]
        sums[0, kind] += 1
        sums[1, kind] += rows[row, WHAT]
        sums[2, kind] += rows[row, USER] != 0
    return sums


# --- sums a second (stream.windows.Buckets): `ring` (series, SPAN_S), `totals` (windows, series), `column` (series)


@compiled
def shift(ring: Ints, totals: Ints, end_s: int, series: int, second: int, amount: int) -> None:
    """Correct a closed second and the windows that hold it, `end_s` being the end of the newest one."""
    age = end_s - second
    if 0 < age <= SPAN_S:
        ring[series, second % SPAN_S] += amount
        for row, size in enumerate(SIZES):
            if age <= size:
                totals[row, series] += amount


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
def keep(kept: Ints, slot: int, sums: Ints, wanted: Flags) -> None:
    """Write the wanted of `sums` (series) into a column of `kept` (series, slots); what is alike stays untouched."""
    for series in range(sums.size):
        if wanted[series] and kept[series, slot] != sums[series]:
            kept[series, slot] = sums[series]


# --- distinct keys (stream.windows.Distinct): `last` (series, keys), the second each key was last seen in


@compiled
def see(
    last: Ints, count: Ints, first: int, ring: Ints, totals: Ints, column: Ints, end_s: int, keys: Ints, marks: Ints
) -> None:
    """Keys are seen in the second `end_s`, which is being closed, each in the series that its mark has bits for.

    One seen before leaves the second it was last seen in. Key 0 is nobody.
    """
    for place in range(len(keys)):
        key, mark, series = keys[place], marks[place], 0
        if key == 0:
            continue
        while mark:
            if mark & 1:
                before = last[series, key]
                if before < end_s:
                    last[series, key] = end_s
                    column[first + series] += 1
                    if before:
                        shift(ring, totals, end_s, first + series, before, -1)
                    else:
                        count[series] += 1
            mark >>= 1
            series += 1


@compiled
def see_users(
    last: Ints, count: Ints, first: int, ring: Ints, totals: Ints, column: Ints, end_s: int, rows: Ints, marks: Ints
) -> None:
    """As `see` for the users of rows, whose kind says by `marks` in which series."""
    keys, wanted = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    for row in range(len(rows)):
        keys[row], wanted[row] = rows[row, USER], marks[rows[row, KIND]]
    see(last, count, first, ring, totals, column, end_s, keys, wanted)


@compiled
def twins(last: Ints, here: int, there: int, keys: Ints) -> int:
    """How many of the keys, about to be seen in the series `here` for the first time, were seen in `there` before."""
    found = 0
    for place in range(keys.size):
        key = keys[place]
        if key and last[there, key] and not last[here, key] and key not in keys[:place]:
            found += 1
    return found


# --- sessions (stream.audience.Sessions): `here` and `left`, by user, the ms a session began and the ms they left


@compiled
def put(sums: Sums, series: int, second: int, amount: int) -> None:
    """Add to the second being closed, or correct a closed one and the show."""
    ring, totals, show, column, end_s = sums
    if second >= end_s:
        column[series] += amount
    else:
        show[series] += amount
        shift(ring, totals, end_s, series, second, amount)


@compiled
def watch(sums: Sums, edge_s: int, series: int, from_ms: int, sign: int) -> None:
    """Someone was (or, with sign -1, was not) in the room from `from_ms` to the end of the newest second."""
    end_ms = edge_s * 1000
    held_ms = max(from_ms, end_ms - SPAN_S * 1000)
    if held_ms > from_ms:
        sums[2][series] += sign * (held_ms - from_ms)
    while held_ms < end_ms:
        next_ms = min(end_ms, (held_ms // 1000 + 1) * 1000)
        put(sums, series, held_ms // 1000, sign * (next_ms - held_ms))
        held_ms = next_ms


@compiled
def come_and_go(
    here: Ints, left: Ints, counts: Ints, sums: Sums, edge_s: int, series: Ints, rows: Ints, join: int, leave: int
) -> None:
    """Of rows in the order of event time, those of the kinds `join` and `leave`.

    `series` are those of BEGAN, WATCH_MS and each of SHORT_S; `counts` holds who is here, sessions begun, and joins
    less leaves without a user.
    """
    began, watched, end_s = series[0], series[1], sums[-1]
    for place in range(len(rows)):
        user, ts, kind = rows[place, USER], rows[place, TS], rows[place, KIND]
        if kind != join and kind != leave:
            continue
        comes = kind == join
        if user == 0:
            counts[2] += 1 if comes else -1
            continue
        start_ms, left_ms, lasted_ms, sign = here[user], left[user], 0, 0
        if comes:
            if start_ms and not left_ms:
                continue
            if left_ms and end_s * 1000 - left_ms <= 2 * RETURN_MS:  # else it is forgotten, also for stragglers
                if ts < left_ms:  # a straggler from before they left
                    continue
                if ts - left_ms <= RETURN_MS:
                    lasted_ms, sign = left_ms - start_ms, -1
            left[user] = 0
            counts[0] += 1
            if sign:
                watch(sums, edge_s, watched, left_ms, 1)
            else:
                here[user] = ts
                counts[1] += 1
                put(sums, began, ts // 1000, 1)
                watch(sums, edge_s, watched, ts, 1)
        elif start_ms and not left_ms and ts >= start_ms:
            left[user] = ts
            counts[0] -= 1
            lasted_ms, sign = ts - start_ms, 1
            watch(sums, edge_s, watched, ts, -1)
        if sign:
            for short, limit_s in enumerate(SHORT_S):
                if lasted_ms < limit_s * 1000:
                    put(sums, series[2 + short], start_ms // 1000, sign)


@compiled
def count_users(counts: Ints, rows: Ints, source: int) -> tuple[int, int]:
    """Count the users of a source's rows; returns how many rows have one, and the highest count of any."""
    n = most = 0
    for row in range(len(rows)):
        user = rows[row, USER]
        if user and rows[row, SOURCE] == source:
            n += 1
            counts[user] += 1
            most = max(most, counts[user])
    return n, most


# --- panes (stream.panes.Panes): what each second added, as a list of entries linked by number
# `totals` (windows + the show, places); `newest` (places) is the newest entry of each place; `heads` (LONGEST_S) the
# first entry of each second, `free` the first unused one and how many there are; `entries` (n, 4) holds place, second,
# amount and the next one.


@compiled
def add_to_pane(held: Held, place: int, second: int, amount: int) -> None:
    """Add to a second before `end_s` and the windows that hold it, not to the show."""
    totals, newest, heads, free, entries, end_s = held
    age = end_s - second
    if age > LONGEST_S:
        return
    for row, size in enumerate(SIZES):
        if age <= size:
            totals[row, place] += amount
    entry = newest[place]
    if age == 1 and entry != NONE and entries[entry, 0] == place and entries[entry, 1] == second:
        entries[entry, 2] += amount
        return
    entry, slot = free[0], second % LONGEST_S
    free[0] = entries[entry, 3]
    free[1] -= 1
    entries[entry, 0], entries[entry, 1], entries[entry, 2], entries[entry, 3] = place, second, amount, heads[slot]
    heads[slot] = entry
    if age == 1:
        newest[place] = entry


@compiled
def add_to_panes(held: Held, added: Ints) -> None:
    """As `add_to_pane` for each row of `added`: place, second, amount, and whether the show counts it."""
    for row in range(added.shape[0]):
        place, second, amount = added[row, 0], added[row, 1], added[row, 2]
        if added[row, 3]:
            held[0][len(SIZES), place] += amount
        add_to_pane(held, place, second, amount)


@compiled
def step_panes(totals: Ints, heads: Ints, free: Ints, entries: Ints, end_s: int) -> None:
    """Let go what leaves the windows with the step from `end_s`, and the entries of what left the longest."""
    for row, size in enumerate(SIZES):
        slot = (end_s - size) % LONGEST_S
        entry = heads[slot]
        while entry != NONE:
            after = entries[entry, 3]
            totals[row, entries[entry, 0]] -= entries[entry, 2]
            if size == LONGEST_S:
                entries[entry, 0], entries[entry, 3] = NONE, free[0]
                free[0] = entry
                free[1] += 1
            entry = after
        if size == LONGEST_S:
            heads[slot] = NONE


@compiled
def link(heads: Ints, free: Ints, entries: Ints, held: Ints) -> None:
    """Make an entry of each row of `held`: place, second and amount."""
    for row in range(held.shape[0]):
        entry, slot = free[0], held[row, 1] % LONGEST_S
        free[0] = entries[entry, 3]
        free[1] -= 1
        entries[entry, 0], entries[entry, 1], entries[entry, 2] = held[row, 0], held[row, 1], held[row, 2]
        entries[entry, 3] = heads[slot]
        heads[slot] = entry


@compiled
def find(table: Ints, key: int) -> int:
    """The row of `key` in `table` (rows a power of two, at most half of them taken; key and second), or a free one."""
    mask = len(table) - 1
    row: int = (key * 0x9E3779B97F4A7C1 ^ key >> 29) & mask
    while table[row, 0] and table[row, 0] != key:
        row = (row + 1) & mask
    return row


@compiled
def move_pairs(table: Ints, larger: Ints) -> None:
    """Put every pair of `table` into the empty table `larger`."""
    for old in range(table.shape[0]):
        key = table[old, 0]
        if key:
            row = find(larger, key)
            larger[row, 0], larger[row, 1] = key, table[old, 1]


@compiled
def see_in_pane(held: Held, table: Ints, place: int, key: int, second: int) -> bool:
    """A key is seen at a place: one seen before moves to the later second, in the show it counts once. Is it new?"""
    pair = place << 32 | key
    at = find(table, pair)
    before = table[at, 1]
    if before >= second:
        return False
    if before:
        add_to_pane(held, place, before, -1)
    else:
        table[at, 0] = pair
        held[0][len(SIZES), place] += 1
    table[at, 1] = second
    add_to_pane(held, place, second, 1)
    return not before


@compiled
def count_products(held: Held, table: Ints, rows: Ints, series: Ints, places: Ints, touched: Ints, second: int) -> int:
    """Rows about products: one more event, and its user seen, in the two series that `series` has for their kind.

    `places` and `touched`, the newest second with anything about it, go by product; one without a place is left out.
    Returns how many pairs of place and user are new.
    """
    new = 0
    for row in range(len(rows)):
        events, people, product = series[rows[row, KIND], 0], series[rows[row, KIND], 1], rows[row, WHAT]
        if events == NONE or places[product] == NONE:
            continue
        touched[product] = max(touched[product], second)
        place = places[product]
        held[0][len(SIZES), place + events] += 1
        add_to_pane(held, place + events, second, 1)
        user = rows[row, USER]
        if user:
            new += see_in_pane(held, table, place + people, user, second)
    return new


@compiled
def count_lines(held: Held, table: Ints, lines: Ints, series: Lines, places: Ints, touched: Ints, second: int) -> Ints:
    """Order lines: product, order, user, pieces and amount a row; `series` those of pieces, amount, lines without an
    order, orders, users, and of the orders that make a pair with these (NONE: none do).

    A product without a place is left out. Returns the products of which an order makes a pair from now on; the last
    number is how many pairs of place and key are new.
    """
    found = np.empty(len(lines) + 1, np.int64)
    pairs = new = 0
    units, amount, nameless, orders, people, twins = series
    for row in range(len(lines)):
        product, order, user = lines[row, 0], lines[row, 1], lines[row, 2]
        place = places[product]
        if place == NONE:
            continue
        touched[product] = max(touched[product], second)
        for one, much in ((units, lines[row, 3]), (amount, lines[row, 4]), (nameless, int(order == 0))):
            if much and one != NONE:
                held[0][len(SIZES), place + one] += much
                add_to_pane(held, place + one, second, much)
        if order and see_in_pane(held, table, place + orders, order, second):
            new += 1
            if twins != NONE and table[find(table, (place + twins) << 32 | order), 0]:
                found[pairs] = product
                pairs += 1
        if user and people != NONE:
            new += see_in_pane(held, table, place + people, user, second)
    found[pairs] = new
    return found[: pairs + 1]


@compiled
def new_products(rows: Ints, series: Ints, places: Ints) -> Ints:
    """The products that rows are about and that have no place yet, each once, in the order of appearance."""
    found = np.empty(len(rows), np.int64)
    n = 0
    for row in range(len(rows)):
        product = rows[row, WHAT]
        if series[rows[row, KIND], 0] != NONE and places[product] == NONE and product not in found[:n]:
            found[n] = product
            n += 1
    return found[:n]
