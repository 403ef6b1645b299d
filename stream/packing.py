"""The loops that put what is held into an order that says nothing of how it came about, for snapshots.

Whole numbers of few values are sorted by counting them, in the time of reading them.
"""

import numpy as np
from numpy.typing import NDArray

from stream.compiling import compiled
from stream.loops import Ints

Seconds = NDArray[np.uint32]

NONE = -1  # as in stream.loops


@compiled
def sorted_by(order: Ints, keys: Ints, most: int) -> Ints:
    """The places in `order`, by their keys, which are 0 to `most`; those of the same key stay as they are."""
    free = np.zeros(most + 2, np.int64)
    for place in order:
        free[keys[place] + 1] += 1
    free = np.cumsum(free)
    found = np.empty_like(order)
    for place in order:
        found[free[keys[place]]] = place
        free[keys[place]] += 1
    return found


@compiled
def entries_of(entries: Ints, end_s: int) -> tuple[Ints, Ints, Ints]:
    """The entries of `stream.panes.Panes` as places, how long before `end_s`, and amounts.

    By time, then place; one for all of the same place and second.
    """
    n, most_ago, most_place = 0, 0, 0
    order, ago = np.empty(len(entries), np.int64), np.zeros(len(entries), np.int64)
    for entry in range(len(entries)):
        if entries[entry, 0] != NONE:
            order[n], ago[entry] = entry, end_s - entries[entry, 1]
            most_ago, most_place = max(most_ago, int(ago[entry])), max(most_place, int(entries[entry, 0]))
            n += 1
    order = sorted_by(sorted_by(order[:n], entries[:, 0].copy(), most_place), most_ago - ago, most_ago)
    places, times, amounts = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    n = 0
    for at in order:
        if not n or places[n - 1] != entries[at, 0] or times[n - 1] != ago[at]:
            places[n], times[n], amounts[n] = entries[at, 0], ago[at], 0
            n += 1
        amounts[n - 1] += entries[at, 2]
    return places[:n], times[:n], amounts[:n]


@compiled
def pairs_of(table: Ints, end_s: int) -> tuple[Ints, Ints]:
    """The pairs of `stream.panes.Panes`, rising: by how much each is above the one before, and how long before `end_s`
    it was seen last, 0 for never.
    """
    n, most_place, most_key = 0, 0, 0
    order = np.empty(len(table), np.int64)
    places, keys = np.empty(len(table), np.int64), np.empty(len(table), np.int64)
    for row in range(len(table)):
        if table[row, 0]:
            order[n], places[row], keys[row] = row, table[row, 0] >> 32, table[row, 0] & 0xFFFFFFFF
            most_place, most_key = max(most_place, int(places[row])), max(most_key, int(keys[row]))
            n += 1
    order = sorted_by(sorted_by(order[:n], keys, most_key), places, most_place)
    steps, ago, before = np.empty(n, np.int64), np.empty(n, np.int64), 0
    for place in range(n):
        pair, second = table[order[place], 0], table[order[place], 1]
        steps[place], ago[place] = pair - before, end_s - second if second else 0
        before = pair
    return steps, ago


@compiled
def seen_in_any(last: Seconds, key: int) -> bool:
    """Whether a row of `last` has a second."""
    for series in range(last.shape[1]):  # noqa: SIM110  # any() takes a generator, which is not compiled
        if last[key, series]:
            return True
    return False


@compiled
def ages_of(last: Seconds, end_s: int) -> Seconds:
    """How long before `end_s` each of the seconds in `last` (keys, series) was, which takes fewer bytes; 0 for never.

    A row a series, up to the last key that was seen in any.
    """
    keys, n_series = last.shape
    while keys and not seen_in_any(last, keys - 1):
        keys -= 1
    ago = np.zeros((n_series, keys), np.uint32)
    for key in range(keys):
        for series in range(n_series):
            if last[key, series]:
                ago[series, key] = end_s - last[key, series]
    return ago


@compiled
def by_number(table: Ints, count: int) -> Ints:
    """The keys of a table (places, 2) of keys and numbers, by number from 0 on, which is none's."""
    keys = np.zeros(count + 1, np.int64)
    for row in range(len(table)):
        if table[row, 0]:
            keys[table[row, 1]] = table[row, 0]
    return keys


@compiled
def filled(row: Ints | Seconds) -> int:
    """How many values of a row there are up to the last that is not 0."""
    size = len(row)
    while size and not row[size - 1]:
        size -= 1
    return size
