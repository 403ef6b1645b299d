"""The loops that every event of a closing second passes: plain Python over arrays of whole numbers, compiled by Numba.

They stand in one module, with the constants they use (see stream.compiling); call them by `loops.name`.
Arrays are int64 but for `Seconds`, without gaps. A second of 0 is never.
"""

import numpy as np
from numpy.typing import NDArray

from stream.compiling import compiled

SPAN_S = 960  # what plays look back to: the minutes -15 to -5, and the one under way
SIZES = (60, 300, 600)  # seconds of the windows; a row each in every array of totals
LONGEST_S = SIZES[-1]
RETURN_MS = 30_000  # who comes back sooner goes on with the session they left
SHORT_S = (30, 60, 180, 300)  # sessions shorter than this are counted, each in a series of its own
CAME, LEFT = range(2)  # the columns of `stays`
NONE = -1  # the end of a list in `Panes`
TS, KIND, USER, WHAT, SOURCE, ORDER, PIECES, AMOUNT, SAYS = range(9)  # the columns of a row, see stream.waiting
LOOKED = 4  # of `used` in `Panes`: what was found by looking ahead, so that it is not left out
NOBODY = 0  # the number of no name; of one that was left out it is NONE
SAYS_USER = 1  # a bit of SAYS: it names a user, with or without a number

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Seconds = NDArray[np.uint32]  # until 2106; there are many, and what is half as large is found sooner
Sums = tuple[Ints, Ints, Ints, Ints, int]  # of Buckets: ring, totals, show, column and end_s
LastSeen = tuple[Seconds, Ints, int, Ints, Ints, int]  # last, count, first; ring, totals and end_s of Buckets
Visits = tuple[Ints, Ints, Sums, int, Ints]  # of Sessions: stays, counts; sums, edge_s; the series
Held = tuple[Ints, Ints, Ints, Ints, Ints, Ints, int]  # of Panes: totals, newest, heads, used, entries, pairs, end_s
OnShelf = tuple[Held, Ints, Ints, Ints]  # of Shelf: its panes, the series by kind, places, touched
Sales = tuple[LastSeen, Ints, Ints, Ints]  # the orders; `lines`, `told` and `paired` of `sell`


# --- the rows of a second (stream.waiting.Moment): `rows` (n, columns)


@compiled
def count(
    rows: Ints,
    column: Ints,
    second: int,
    kinds: Ints,
    people: LastSeen,
    visits: Visits,
    shelf: OnShelf,
    by_user: Ints,
    source: int,
    sales: Sales,
    came: int,
) -> tuple[bool, int, int, int]:
    """All that rows of a second count in, in the order of event time: sums, people, sessions, products, how often each
    user of a source spoke, `by_user`, and order lines, see `sell`.

    `kinds` has for each kind the two series of `add_up`, then those of `see_users`; `came` the kinds of rows as bits.
    There must be room everywhere. Returns whether all products had a place, how many rows of the source have a user,
    the most that one has, and how many are `paired`.
    """
    held, series, places, touched = shelf
    held[3][LOOKED] = look_ahead(rows, people, visits, shelf, by_user)
    add_up(rows, kinds, column)
    see_users(people, column, second, rows, kinds)
    come_and_go(visits, rows)
    complete = count_products(held, rows, series, places, touched, second)
    spoke, most = count_users(by_user, rows, source)
    sold, pairs = sell(rows, column, second, shelf, sales, came)
    return complete and sold, spoke, most, pairs


@compiled
def look_ahead(rows: Ints, people: LastSeen, visits: Visits, shelf: OnShelf, by_user: Ints) -> int:
    """Look where rows will be counted, by user and by product: a machine fetches many places of memory at once, as long
    as nothing depends on what is there.
    """
    found, last, stays = 0, people[0], visits[0]
    held, series, places, _ = shelf
    for row in range(len(rows)):
        user, seen = rows[row, USER], series[rows[row, KIND], 1]
        found += last[user, 0] + stays[user, CAME] + by_user[user]
        if seen != NONE:
            found += held[5][place_in(held[5], places[max(rows[row, WHAT], 0)] + seen << 32 | user), 1]
    return found


@compiled
def add_up(rows: Ints, kinds: Ints, column: Ints) -> None:
    """Add to `column` by the two series that `kinds` has for the kind of each row: one, and what the row says."""
    for row in range(len(rows)):
        kind = rows[row, KIND]
        one, much = kinds[kind, 0], kinds[kind, 1]
        if one != NONE:
            column[one] += 1
        if much != NONE:
            column[much] += rows[row, WHAT]


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


# --- distinct keys (stream.windows.Distinct): `last` (keys, series), the second each key was last seen in


@compiled
def see(seen: LastSeen, column: Ints, second: int, series: int, key: int) -> None:
    """A key is seen in a second, whose sums gather in `column`, in one series.

    If it was before, it leaves the second it was last seen in, unless that is a later one.
    """
    last, count, first, ring, totals, end_s = seen
    before = last[key, series - first]
    if before < second:
        last[key, series - first] = second
        column[series] += 1
        if before:
            shift(ring, totals, end_s, series, before, -1)
        else:
            count[series - first] += 1


@compiled
def see_users(seen: LastSeen, column: Ints, second: int, rows: Ints, kinds: Ints) -> None:
    """The users of rows are seen in the series that `kinds` has for their kind from the third column on."""
    for row in range(len(rows)):
        kind, user = rows[row, KIND], rows[row, USER]
        for place in range(2, kinds.shape[1]):
            series = kinds[kind, place]
            if series == NONE or user == NOBODY:
                break
            see(seen, column, second, series, user)


@compiled
def sell(rows: Ints, column: Ints, second: int, shelf: OnShelf, sales: Sales, came: int) -> tuple[bool, int]:
    """Order lines kind by kind, in the order of event time, in the room's sums and by product.

    `lines` has a row a kind: the kind, the six series of `count_orders` and the six of `count_lines`. Of each kind that
    came `told` then has how many orders make a pair from now on, and the time of its last line; `paired` begins with
    the products of which an order makes a pair. Returns whether all products had a place, and how many are `paired`.
    """
    orders, lines, told, paired = sales
    held, _, places, touched = shelf
    complete, pairs = True, 0
    for one in range(len(lines)):
        kind = lines[one, 0]
        if came >> kind & 1:
            told[one, 0], told[one, 1] = count_orders(orders, column, second, rows, kind, lines[one, 1:7])
            every, pairs = count_lines(held, rows, kind, lines[one, 7:], places, touched, second, paired, pairs)
            complete = complete and every
    return complete, pairs


@compiled
def count_orders(seen: LastSeen, column: Ints, second: int, rows: Ints, kind: int, series: Ints) -> tuple[int, int]:
    """The rows of a kind as order lines of a room.

    `series` are those of pieces, amount, amount of lines with a user, lines without an order, orders, and of the orders
    that make a pair with these (NONE: none do). Returns how many orders make a pair from now on, and the last time.
    """
    units, amount, named, nameless, orders, twin = series[0], series[1], series[2], series[3], series[4], series[5]
    last, first, keys, n, pairs, last_ms = seen[0], seen[2], np.empty(len(rows), np.int64), 0, 0, 0
    for row in range(len(rows)):
        if rows[row, KIND] != kind:
            continue
        key, last_ms = max(rows[row, ORDER], 0), rows[row, TS]
        column[amount] += rows[row, AMOUNT]
        if units != NONE:
            column[units] += rows[row, PIECES]
        if named != NONE and rows[row, SAYS] & SAYS_USER:
            column[named] += rows[row, AMOUNT]
        if rows[row, ORDER] == 0:
            column[nameless] += 1
        if key and twin != NONE and last[key, twin - first] and not last[key, orders - first]:
            pairs += key not in keys[:n]
        keys[n] = key
        n += 1
    for key in keys[:n]:
        if key:
            see(seen, column, second, orders, key)
    return pairs, last_ms


# --- sessions (stream.audience.Sessions): `stays` (users, 2), the ms a session began and the ms they left


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
    sums[2][series] += sign * (held_ms - from_ms)
    while held_ms < end_ms:
        next_ms = min(end_ms, (held_ms // 1000 + 1) * 1000)
        put(sums, series, held_ms // 1000, sign * (next_ms - held_ms))
        held_ms = next_ms


@compiled
def come_and_go(visits: Visits, rows: Ints) -> None:
    """Of rows in the order of event time, the joins and leaves.

    `series` are those of BEGAN, WATCH_MS and each of SHORT_S, then the kinds of a join and of a leave; `counts` holds
    who is here, sessions begun, and joins less leaves without a user.
    """
    stays, counts, sums, edge_s, series = visits
    began, watched, join, leave, end_s = series[0], series[1], series[-2], series[-1], sums[-1]
    for place in range(len(rows)):
        user, ts, kind = rows[place, USER], rows[place, TS], rows[place, KIND]
        if kind != join and kind != leave:
            continue
        comes = kind == join
        if user == 0:
            counts[2] += 1 if comes else -1
            continue
        start_ms, left_ms, lasted_ms, sign = stays[user, CAME], stays[user, LEFT], 0, 0
        if comes:
            if start_ms and not left_ms:
                continue
            if left_ms and end_s * 1000 - left_ms <= 2 * RETURN_MS:  # else it is forgotten, also for stragglers
                if ts < left_ms:  # a straggler from before they left
                    continue
                if ts - left_ms <= RETURN_MS:
                    lasted_ms, sign = left_ms - start_ms, -1
            stays[user, LEFT] = 0
            counts[0] += 1
            if sign:
                watch(sums, edge_s, watched, left_ms, 1)
            else:
                stays[user, CAME] = ts
                counts[1] += 1
                put(sums, began, ts // 1000, 1)
                watch(sums, edge_s, watched, ts, 1)
        elif start_ms and not left_ms and ts >= start_ms:
            stays[user, LEFT] = ts
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
# `totals` (places, windows + the show); `newest` (places) is the newest entry of each place; `heads` (LONGEST_S) the
# first entry of each second; `entries` (n, 4) holds place, second, amount and the next one; `used` the first entry let
# go, how many these are, how many were ever used, how many rows of `pairs` are taken, and LOOKED. `added`
# (n, 4) holds place, second, amount and whether the show counts it.


@compiled
def add_to_panes(held: Held, added: Ints) -> None:
    """Add to seconds before `end_s` and the windows that hold them; there must be room for so many entries."""
    totals, newest, heads, used, entries, _, end_s = held
    for row in range(len(added)):
        place, second, amount = added[row, 0], added[row, 1], added[row, 2]
        age, entry, slot = end_s - second, newest[place], second % LONGEST_S
        if added[row, 3]:
            totals[place, len(SIZES)] += amount
        for window, size in enumerate(SIZES):
            if age <= size:
                totals[place, window] += amount
        if age == 1 and entry != NONE and entries[entry, 0] == place and entries[entry, 1] == second:
            entries[entry, 2] += amount
        elif age <= LONGEST_S:
            entry = used[0]
            if entry == NONE:
                entry = used[2]
                used[2] += 1
            else:
                used[0] = entries[entry, 3]
                used[1] -= 1
            entries[entry, 0], entries[entry, 1], entries[entry, 2] = place, second, amount
            entries[entry, 3] = heads[slot]
            heads[slot] = entry
            if age == 1:
                newest[place] = entry


@compiled
def place_in(table: Ints, key: int) -> int:
    """Where the search for a key begins."""
    return (key * 0x9E3779B97F4A7C1 ^ key >> 29) & (len(table) - 1)


@compiled
def find(table: Ints, key: int) -> int:
    """The row of `key` in `table` (rows a power of two, at most half of them taken; key and second), or a free one."""
    row = place_in(table, key)
    while table[row, 0] and table[row, 0] != key:
        row = (row + 1) & (len(table) - 1)
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
def see_in_pane(table: Ints, used: Ints, added: Ints, n: int, place: int, key: int, second: int) -> int:
    """A key is seen at a place: one seen before moves to the later second, in the show it counts once.

    Puts what that adds into `added` from the row `n` on; returns up to which.
    """
    pair = place << 32 | key
    at = find(table, pair)
    before = table[at, 1]
    if before >= second:
        return n
    table[at, 0], table[at, 1] = pair, second
    added[n, 0], added[n, 1], added[n, 2], added[n, 3] = place, second, 1, before == 0
    if before == 0:
        used[3] += 1
        return n + 1
    added[n + 1, 0], added[n + 1, 1], added[n + 1, 2], added[n + 1, 3] = place, before, -1, 0
    return n + 2


@compiled
def place_of(places: Ints, product: int) -> int:
    """The place of a product; NONE for one that was left out."""
    return NONE if product == NONE else places[product]


@compiled
def count_products(held: Held, rows: Ints, series: Ints, places: Ints, touched: Ints, second: int) -> bool:
    """Rows about products: one more event, and its user seen, in the two series that `series` has for their kind.

    `places` and `touched`, the newest second with anything about it, go by product; one without a place is left out.
    Returns whether all had one.
    """
    added = np.empty((3 * len(rows), 4), np.int64)
    n, complete, used, table = 0, True, held[3], held[5]
    for row in range(len(rows)):
        events, people, product = series[rows[row, KIND], 0], series[rows[row, KIND], 1], rows[row, WHAT]
        if events == NONE:
            continue
        place = place_of(places, product)
        if place == NONE:
            complete = False
            continue
        touched[product] = max(touched[product], second)
        added[n, 0], added[n, 1], added[n, 2], added[n, 3] = place + events, second, 1, 1
        n += 1
        if rows[row, USER]:
            n = see_in_pane(table, used, added, n, place + people, rows[row, USER], second)
    add_to_panes(held, added[:n])
    return complete


@compiled
def count_lines(
    held: Held,
    rows: Ints,
    kind: int,
    series: Ints,
    places: Ints,
    touched: Ints,
    second: int,
    paired: Ints,
    pairs: int,
) -> tuple[bool, int]:
    """The rows of a kind as order lines of products; `series` those of pieces, amount, lines without an order, orders,
    users, and of the orders that make a pair with these (NONE: none do).

    Products of which an order makes a pair from now on are put into `paired`, after the first `pairs`. A product
    without a place is left out. Returns whether there was none, and how many are `paired` now.
    """
    added, n, complete = np.empty((7 * len(rows), 4), np.int64), 0, True
    units, amount, nameless, orders, people, twin = series[0], series[1], series[2], series[3], series[4], series[5]
    used, table = held[3], held[5]
    for row in range(len(rows)):
        product, order, user = rows[row, WHAT], rows[row, ORDER], rows[row, USER]
        if rows[row, KIND] != kind or product == NOBODY:
            continue
        place = place_of(places, product)
        if place == NONE:
            complete = False
            continue
        touched[product] = max(touched[product], second)
        for one, much in ((units, rows[row, PIECES]), (amount, rows[row, AMOUNT]), (nameless, int(order <= 0))):
            if much and one != NONE:
                added[n, 0], added[n, 1], added[n, 2], added[n, 3] = place + one, second, much, 1
                n += 1
        if order > 0:
            before = used[3]
            n = see_in_pane(table, used, added, n, place + orders, order, second)
            if used[3] > before and twin != NONE and table[find(table, (place + twin) << 32 | order), 0]:
                paired[pairs] = product
                pairs += 1
        if user and people != NONE:
            n = see_in_pane(table, used, added, n, place + people, user, second)
    add_to_panes(held, added[:n])
    return complete, pairs
