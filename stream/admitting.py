"""The loops at a room's door: events as columns are told from repeats, numbered, and put among those that wait.

Tables of keys have a power of two of places, at most half of them taken; a key is a hash, and 0 is an empty place.
"""

import numpy as np

from stream.compiling import compiled
from stream.loops import Ints

TS, KIND, USER, WHAT, SOURCE, ID, ROOM, FLAGS, CURRENCY, ORDER, PIECES, AMOUNT = range(12)  # as in stream.scanning
WAITING_ORDER, WAITING_PIECES, WAITING_AMOUNT, WAITING_SAYS = range(5, 9)  # the columns of a row after SOURCE
N_WAITING = 9  # columns: to copy so many, known to the compiler, is quicker than as many as there are
SAYS_USER = 1  # as in stream.loops
STAMPED, MORE, TAKEN = 2, 1, 4  # as in stream.scanning
FIRST = 8  # a flag as well: the first event about its product
NEW, REPEAT, LEFT_OUT = range(3)  # what becomes of a key
NONE, CROWDED = -1, -2  # instead of a number: as in stream.loops; and of a name for which the table must grow first
FLOWS, OF_PRODUCT, MONEY, SELLS = 1, 2, 4, 8  # what a type is: it waits, about a product, money, an order line
USERS_FULL, PRODUCTS_FULL, ORDERS_FULL = 1, 2, 4  # who had to be left out
# The standing of a door, which a flow goes on from and leaves.
ARRIVED, NOW, NEWEST, NEWEST_ARRIVED, DUE, WAITING, RECENT, PAID, USERS, PRODUCTS, ORDERS = range(11)
DUPLICATES, STAMPED_N, FULL, LOOKED = range(11, 15)
AHEAD = 256  # events that are looked for together; a flow that ends soon has not looked far
KeyTables = tuple[
    Ints, Ints, Ints, Ints
]  # tables of keys: of this span, the one before, of this show's money, and before
Tables = tuple[Ints, Ints, Ints, Ints]  # of hashes and numbers: users, products, orders, sources
Terms = tuple[int, int, int, int, int, int, int, int, int, int, int, int]


@compiled
def key_of(id_: int, source: int, kind: int) -> int:
    """What a message is remembered by: its id, source and type, all in one hash."""
    key = (id_ ^ (source + kind * 0x9E3779B97F4A7C1) * 0x5851F42D4C957F2D) * 0x2545F4914F6CDD1D
    return key ^ (key >> 29 & 0x7FFFFFFFF) or 1


@compiled
def place_of(keys: Ints, key: int) -> int:
    """The place of a key, or the empty one where it would go."""
    mask = len(keys) - 1
    place = (key ^ key >> 32) & mask
    while keys[place] and keys[place] != key:
        place = (place + 1) & mask
    return place


@compiled
def row_of(table: Ints, key: int) -> int:
    """As `place_of` in a table (places, 2) of keys and numbers."""
    mask = len(table) - 1
    place = (key ^ key >> 32) & mask
    while table[place, 0] and table[place, 0] != key:
        place = (place + 1) & mask
    return place


@compiled
def number_of(table: Ints, key: int, new: int) -> int:
    """The number of a key; of one that is not there `new`, which it then has, unless that is 0."""
    place = row_of(table, key)
    if not table[place, 0] and new:
        table[place, 0], table[place, 1] = key, new
    number: int = table[place, 1]
    return number


@compiled
def known_as(table: Ints, key: int, used: int, limit: int) -> int:
    """The number of a key, 0 where it is new or none; NONE for a new one beyond the limit, CROWDED without room."""
    number = number_of(table, key, 0) if key else 0
    if key and not number:
        if used >= limit:
            return NONE
        if 2 * (used + 1) > len(table):
            return CROWDED
    return number


@compiled
def numbered(table: Ints, key: int, number: int, held: Ints, used: int, full: int) -> int:
    """The number of a key that was `known_as` this one; a new one has the next number from now on."""
    if number == NONE:
        held[FULL] |= full
    elif key and not number:
        held[used] += 1
        number = number_of(table, key, held[used])
    return number


@compiled
def keys_have(keys: Ints, key: int) -> bool:
    """Is a key in its table?"""
    return bool(keys[place_of(keys, key)])


@compiled
def add_key(keys: Ints, key: int) -> bool:
    """Put a key into its table. Was it not there?"""
    place = place_of(keys, key)
    if keys[place]:
        return False
    keys[place] = key
    return True


@compiled
def remember(newer: Ints, older: Ints, key: int, may_add: bool) -> int:
    """A key comes: REPEAT where it is in one of the tables; else NEW, and from now on in `newer`, or LEFT_OUT."""
    if keys_have(older, key) or keys_have(newer, key):
        return REPEAT
    return NEW if may_add and add_key(newer, key) else LEFT_OUT


@compiled
def add_keys(keys: Ints, added: Ints) -> None:
    """Put many into their table; 0 is none."""
    for key in added:
        if key:
            keys[place_of(keys, key)] = key


@compiled
def number_keys(table: Ints, numbered: Ints) -> None:
    """Put keys and their numbers into a table; key 0 is none."""
    for row in range(len(numbered)):
        if numbered[row, 0]:
            place = row_of(table, numbered[row, 0])
            table[place, 0], table[place, 1] = numbered[row, 0], numbered[row, 1]


@compiled
def look_ahead(rows: Ints, start: int, end: int, seen: KeyTables, users: Ints) -> int:
    """Look where the events at places [start, end) will be looked for: a machine fetches many places of tables at once,
    as long as nothing depends on what is there.
    """
    found = 0
    for place in range(start, end):
        key, user = key_of(rows[place, ID], rows[place, SOURCE], rows[place, KIND]), rows[place, USER]
        found += seen[0][(key ^ key >> 32) & (len(seen[0]) - 1)] ^ seen[1][(key ^ key >> 32) & (len(seen[1]) - 1)]
        found += users[(user ^ user >> 32) & (len(users) - 1), 0]
    return found


@compiled
def came_before(held: Ints, rows: Ints, place: int, form: int, seen: KeyTables, keys_max: int) -> int:
    """An event comes: a message that is NEW or a REPEAT, and counted as such; or LEFT_OUT, without a trace."""
    if not rows[place, ID]:
        return NEW
    key = key_of(rows[place, ID], rows[place, SOURCE], rows[place, KIND])
    newer, older, count = (seen[2], seen[3], PAID) if form & MONEY else (seen[0], seen[1], RECENT)
    said = remember(newer, older, key, held[count] < keys_max)
    if said == NEW:
        held[count] += 1
    elif said == REPEAT:
        held[DUPLICATES] += 1
    return said


@compiled
def wait(
    held: Ints, waits: Ints, tables: Tables, users_max: int, rows: Ints, place: int, form: int, what: int, order: int
) -> None:
    """An event waits: its row with numbers for the names in it; its product and order were `known_as` these."""
    users, products, orders, sources = tables
    user, to = 0, held[WAITING]
    if rows[place, USER]:
        user = number_of(users, rows[place, USER], held[USERS] + 1 if held[USERS] < users_max else 0)
        held[USERS] = max(held[USERS], user)
        if not user:
            held[FULL] |= USERS_FULL
    if form & OF_PRODUCT:
        before = held[PRODUCTS]
        what = numbered(products, rows[place, WHAT], what, held, PRODUCTS, PRODUCTS_FULL)
        if held[PRODUCTS] > before:
            rows[place, FLAGS] |= FIRST
    if form & SELLS:
        waits[to, WAITING_ORDER] = numbered(orders, rows[place, ORDER], order, held, ORDERS, ORDERS_FULL)
        waits[to, WAITING_PIECES], waits[to, WAITING_AMOUNT] = rows[place, PIECES], rows[place, AMOUNT]
        waits[to, WAITING_SAYS] = SAYS_USER if rows[place, USER] else 0
    else:
        waits[to, WAITING_ORDER] = waits[to, WAITING_PIECES] = waits[to, WAITING_AMOUNT] = waits[to, WAITING_SAYS] = 0
    waits[to, TS], waits[to, KIND], waits[to, USER] = rows[place, TS], rows[place, KIND], user
    waits[to, WHAT], waits[to, SOURCE] = what, number_of(sources, rows[place, SOURCE], 0) if rows[place, SOURCE] else 0
    held[WAITING] += 1
    if rows[place, FLAGS] & STAMPED:
        held[STAMPED_N] += 1
    rows[place, FLAGS] |= TAKEN


@compiled
def flow(
    rows: Ints,
    arrived: Ints,
    start: int,
    held: Ints,
    terms: Terms,
    forms: Ints,
    seen: KeyTables,
    tables: Tables,
    waits: Ints,
) -> int:
    """Let events in from place `start` on, as far as nothing more has to be done for one than to let it wait.

    `held` is the standing of the door. `terms`: the end of the span of ids, that of the closed seconds, the lateness,
    how far ahead a time may be, how many keys are too many, users, products and orders, the beginning of the newest
    show, the hashes of its currency and of the last show's, and whether sources may go without a number. `forms` says
    what types are; `waits` (n, 9) are the rows that wait. Returns the place of the first one not let in.
    """
    span_end_ms, closed_ms, lateness_ms, ahead_max_ms, keys_max, users_max, products_max, orders_max = terms[:8]
    show_ms, currency, before, nameless = terms[8:]
    last, now, newest, due_ms = held[ARRIVED], held[NOW], held[NEWEST], held[DUE]
    ahead = newest - held[NEWEST_ARRIVED]  # of room time before arrivals; mostly below zero
    due_after_ms, limit_ms, place = lateness_ms + 1000, min(due_ms, span_end_ms), start
    looked = start
    while place < len(rows) and now < limit_ms:
        if place == looked:
            looked = min(len(rows), place + AHEAD)
            held[LOOKED] = look_ahead(rows, place, looked, seen, tables[0])
        came = arrived[place]
        if came > last:
            if came + ahead > now:
                if came + ahead >= limit_ms:
                    break
                now = came + ahead
            last = came
        ts, form = rows[place, TS], forms[rows[place, KIND]]
        if ts < closed_ms or (ts > last and ts > last + ahead_max_ms) or not form & FLOWS:
            break
        if form & MONEY and rows[place, CURRENCY] != (currency if ts >= show_ms else before):
            break
        if rows[place, SOURCE] and not nameless and not number_of(tables[3], rows[place, SOURCE], 0):
            break
        what, order = rows[place, WHAT], 0
        if form & OF_PRODUCT:
            what = known_as(tables[1], what, held[PRODUCTS], products_max)
        if form & SELLS:
            order = known_as(tables[2], rows[place, ORDER], held[ORDERS], orders_max)
        if form & OF_PRODUCT and min(what, order) == CROWDED:
            break
        new = came_before(held, rows, place, form, seen, keys_max)
        if new == LEFT_OUT:
            break
        place += 1
        if new == REPEAT:
            continue
        wait(held, waits, tables, users_max, rows, place - 1, form, what, order)
        if ts + due_after_ms < due_ms:  # nothing waited so early
            due_ms = ts // 1000 * 1000 + due_after_ms
            limit_ms = min(due_ms, span_end_ms)
        if ts >= newest:
            newest, ahead = ts, ts - last
            now = max(now, ts)
    held[ARRIVED], held[NOW], held[NEWEST], held[NEWEST_ARRIVED], held[DUE] = last, now, newest, newest - ahead, due_ms
    return place


@compiled
def said(rows: Ints) -> tuple[int, int, int]:
    """The kinds of rows, and of those with a user, as bits; and the source of all, NONE where they differ."""
    kinds = named = 0
    source = rows[0, SOURCE] if len(rows) else NONE
    for row in range(len(rows)):
        bit = 1 << rows[row, KIND]
        kinds |= bit
        if rows[row, USER]:
            named |= bit
        if rows[row, SOURCE] != source:
            source = NONE
    return kinds, named, source


@compiled
def take_second(waits: Ints, n: int, second: int) -> tuple[Ints, tuple[int, int, int]]:
    """Of the first `n` rows that wait, those of a second, by time, ties as they came; the others close up.

    And of those what `said` says.
    """
    left = 0
    counts = np.zeros(1001, np.int64)
    first_ms = second * 1000
    for row in range(n):
        after = waits[row, TS] - first_ms
        if 0 <= after < 1000:
            counts[after + 1] += 1
    counts = np.cumsum(counts)
    taken = np.empty((counts[1000], N_WAITING), np.int64)
    for row in range(n):
        after = waits[row, TS] - first_ms
        if 0 <= after < 1000:
            to = counts[after]
            counts[after] += 1
            for column in range(N_WAITING):
                taken[to, column] = waits[row, column]
        else:
            if left < row:
                for column in range(N_WAITING):
                    waits[left, column] = waits[row, column]
            left += 1
    return taken, said(taken)
