"""The loops from the bytes of events to columns of whole numbers, one row an event.

They take what is plainly right: an object of strings without escapes, whole numbers, true, false and null. Whatever
else a record may be, also wrong, is left UNREAD for the decoder of `stream.events`, which alone says what is accepted.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.compiling import compiled
from stream.loops import Ints

# The columns: those of a row (stream.waiting), with hashes where that has numbers, and what else is asked at the door.
TS, KIND, USER, WHAT, SOURCE, ID, ROOM, FLAGS, CURRENCY, ORDER, PIECES, AMOUNT = range(12)
N_COLUMNS = 12
UNREAD = -1  # the kind of what was not read here
MORE, STAMPED, TAKEN = 1, 2, 4  # flags: more than a row; its time was mended; it was let in
NOTHING, STRING, WHOLE, NULL, TRUE, FALSE = (1 << place for place in range(6))  # what stands for a field
DIGITS_MAX = 18  # so that a whole number fits
KEY_MAX = 8  # bytes of a field's name that fit a number; of a longer one the first, and LONGER
SLOTS, SLOT_SHIFT = 128, 57  # for fields by their names
LONGER = -1  # turns all bits around
TYPE_FIELD, ROOM_FIELD, TS_FIELD, ID_FIELD, USER_FIELD = range(5)
SOURCE_FIELD, STAMPED_FIELD, COUNT_FIELD, PRODUCT_FIELD, CURRENCY_FIELD, ORDER_FIELD = range(5, 11)
QTY_FIELD, AMOUNT_FIELD = range(11, 13)
OTHER = -1  # a field that no type has, or none of those that are read here

Bytes = NDArray[np.uint8]
ABOUT, COUNTS, MONEY, SELLS = 1, 2, 4, 8  # forms: about a product; says how many; money; an order line
# By type and field what may stand there, the least and the most of it (of strings in characters), what makes it more
# than a row; by type its form; the hash of the currency of money that names none.
Rules = tuple[Ints, Ints, Ints, Ints, Ints, int]

# XXH64, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)
_SPACE, _TAB, _NEWLINE, _RETURN, _QUOTE, _COMMA, _MINUS, _ZERO, _COLON, _ESCAPE, _OPEN, _CLOSE = b' \t\n\r",-0:\\{}'


@compiled
def signed(value: np.unsignedinteger[Any]) -> int:
    """The same bits as a signed number, since one with a sign and one without add up to a float."""
    return np.int64(value)  # type: ignore[return-value]  # whose whole numbers are these


@compiled
def rotated(value: np.uint64, bits: int) -> np.uint64:
    """The bits moved to the left, around."""
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@compiled
def word(data: Bytes, at: int, size: int) -> np.uint64:
    """So many bytes as a number, the lowest first."""
    value = np.uint64(0)
    for place in range(size):
        value |= np.uint64(data[at + place]) << np.uint64(8 * place)
    return value


@compiled
def four(data: Bytes, at: int) -> np.uint64:
    """As `word` for four bytes, which a machine reads at once: at a place without a sign, which cannot lie before 0."""
    first = np.uint64(at)
    a, b, c, d = data[first], data[first + np.uint64(1)], data[first + np.uint64(2)], data[first + np.uint64(3)]
    return np.uint64(a) | np.uint64(b) << np.uint64(8) | np.uint64(c) << np.uint64(16) | np.uint64(d) << np.uint64(24)


@compiled
def eight(data: Bytes, at: int) -> np.uint64:
    """As `word` for eight bytes."""
    return four(data, at) | four(data, at + 4) << np.uint64(32)


@compiled
def mixed(value: np.uint64, added: np.uint64) -> np.uint64:
    """A round of XXH64."""
    return rotated(value + added * _P2, 31) * _P1


@compiled
def digest(data: Bytes, start: int, end: int) -> int:
    """XXH64 of the bytes [start, end), seed 0, as a signed number; 1 for 0, which is nobody's."""
    size, at = end - start, start
    if size >= 32:
        a, b, c, d = _P1 + _P2, _P2, np.uint64(0), np.uint64(0) - _P1
        while at <= end - 32:
            a, b = mixed(a, eight(data, at)), mixed(b, eight(data, at + 8))
            c, d = mixed(c, eight(data, at + 16)), mixed(d, eight(data, at + 24))
            at += 32
        value = rotated(a, 1) + rotated(b, 7) + rotated(c, 12) + rotated(d, 18)
        for lane in (a, b, c, d):
            value = (value ^ mixed(np.uint64(0), lane)) * _P1 + _P4
    else:
        value = _P5
    value += np.uint64(size)
    while at <= end - 8:
        value = rotated(value ^ mixed(np.uint64(0), eight(data, at)), 27) * _P1 + _P4
        at += 8
    if at <= end - 4:
        value = rotated(value ^ (four(data, at) * _P1), 23) * _P2 + _P3
        at += 4
    while at < end:
        value = rotated(value ^ (np.uint64(data[at]) * _P5), 11) * _P1
        at += 1
    value = (value ^ (value >> np.uint64(33))) * _P2
    value = (value ^ (value >> np.uint64(29))) * _P3
    value ^= value >> np.uint64(32)
    return signed(value) or 1


@compiled
def after_space(data: Bytes, at: int, end: int) -> int:
    """The place of the next byte that is no white space."""
    while at < end and (data[at] == _SPACE or data[at] == _NEWLINE or data[at] == _RETURN or data[at] == _TAB):
        at += 1
    return at


@compiled
def string_end(data: Bytes, at: int, end: int) -> int:
    """The place of the quote that ends a string; -1 for one with an escape, or that is none."""
    place, one = np.uint64(at), np.uint64(1)  # without a sign: what lies before 0 need not be thought of
    while place < np.uint64(end):
        byte = data[place]
        if byte == _QUOTE:
            return signed(place)
        if byte == _ESCAPE or byte < _SPACE:
            return -1
        place += one
    return -1


@compiled
def whole(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """A whole number and the place after it; that is -1 for another, or one of too many digits."""
    sign, value = 1, 0
    if data[at] == _MINUS:
        sign, at = -1, at + 1
    start = at
    while at < end and _ZERO <= data[at] < _ZERO + 10:
        value = 10 * value + signed(data[at]) - _ZERO
        at += 1
        if at - start > DIGITS_MAX:
            return 0, -1
    if at == start or (data[start] == _ZERO and at - start > 1):
        return 0, -1
    return sign * value, at


@compiled
def literal(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """true, false or null, and the place after it; that is -1 for anything else."""
    if end - at >= 5 and word(data, at, 5) == np.uint64(0x65736C6166):
        return FALSE, at + 5
    if end - at >= 4:
        letters = four(data, at)
        if letters == np.uint64(0x65757274):
            return TRUE, at + 4
        if letters == np.uint64(0x6C6C756E):
            return NULL, at + 4
    return NOTHING, -1


@compiled
def name_at(data: Bytes, at: int, size: int) -> int:
    """The name of a field as a number: its first KEY_MAX bytes, and LONGER if there are more."""
    if at + 8 > len(data):
        name = word(data, at, min(size, KEY_MAX))
    else:
        name = eight(data, at)
        if size < KEY_MAX:
            name &= (np.uint64(1) << np.uint64(8 * size)) - np.uint64(1)
    return signed(name) if size <= KEY_MAX else signed(name) ^ LONGER


@compiled
def slot_of(name: int, factor: int) -> int:
    """The place of a name among SLOTS."""
    return signed((np.uint64(name) * np.uint64(factor)) >> np.uint64(SLOT_SHIFT))


@compiled
def kind_of(tags: Ints, tag: int) -> int:
    """The code of a type by the hash of its tag, out of a table (places, 2) with code + 1; UNREAD for no type's."""
    place = tag & (len(tags) - 1)
    while tags[place, 1] and tags[place, 0] != tag:
        place = (place + 1) & (len(tags) - 1)
    code: int = tags[place, 1] - 1
    return code


@compiled
def take_apart(data: Bytes, at: int, end: int, names: Ints, factor: int, held: Ints) -> bool:
    """Find the fields of an object: `held` (fields, 3) is what stands there, the number or where it begins, and ends.

    False for what is not plainly an object of strings and numbers, or has a field twice.
    """
    for field in range(len(held)):
        held[field, 0] = NOTHING
    at = after_space(data, at, end)
    if at < 0 or at >= end or data[at] != _OPEN:
        return False
    at = after_space(data, at + 1, end)
    while True:
        if at >= end or data[at] != _QUOTE:
            return False
        start = at + 1
        at = string_end(data, start, end)
        if at < 0:
            return False
        name = name_at(data, start, at - start)
        slot = slot_of(name, factor)
        field = names[slot, 1] if names[slot, 0] == name else OTHER
        at = after_space(data, at + 1, end)
        if at >= end or data[at] != _COLON:
            return False
        at = after_space(data, at + 1, end)
        if at >= end:
            return False
        if data[at] == _QUOTE:
            what, value = STRING, at + 1
            stop = string_end(data, value, end)
            at = stop + 1
        elif data[at] == _MINUS or _ZERO <= data[at] < _ZERO + 10:
            what = WHOLE
            value, stop = whole(data, at, end)
            at = stop
        else:
            value = 0
            what, stop = literal(data, at, end)
            at = stop
        if stop < 0:
            return False
        if field != OTHER:
            if held[field, 0] != NOTHING:
                return False
            held[field, 0], held[field, 1], held[field, 2] = what, value, stop
        at = after_space(data, at, end)
        if at >= end:
            return False
        if data[at] == _CLOSE:
            return after_space(data, at + 1, end) == end
        if data[at] != _COMMA:
            return False
        at = after_space(data, at + 1, end)


@compiled
def name_in(data: Bytes, held: Ints, field: int) -> int:
    """The hash of a field's string; 0 where there is none."""
    return digest(data, held[field, 1], held[field, 2]) if held[field, 0] == STRING else 0


@compiled
def in_order(held: Ints, rules: Rules, kind: int, ascii: bool) -> bool:
    """Whether all that stands in the fields may stand there, in this type of event.

    Up to four bytes of a string are one character, so that only of ASCII a few are certain to be enough.
    """
    may, least, most = rules[0], rules[1], rules[2]
    for field in range(held.shape[0]):
        what = held[field, 0]
        if not may[kind, field] & what:
            return False
        if what & (STRING | WHOLE):
            size, low = held[field, 1], least[kind, field]
            if what == STRING:
                size = held[field, 2] - held[field, 1]
                low = low if ascii else 4 * low - 3
            if not low <= size <= most[kind, field]:
                return False
    return True


@compiled
def same(data: Bytes, one: int, other: int, size: int) -> bool:
    """Whether so many bytes from one place on are those from another."""
    for place in range(size):  # noqa: SIM110  # all() takes a generator, which is not compiled
        if data[one + place] != data[other + place]:
            return False
    return True


@compiled
def is_ascii(data: Bytes, start: int, end: int) -> bool:
    """Whether all bytes are ASCII."""
    some, part = np.uint8(0), data[start:end]  # of a part a machine looks at many bytes at once
    for place in range(len(part)):
        some |= part[place]
    return bool(some < 128)


@compiled
def is_text(data: Bytes, start: int, end: int) -> bool:
    """Whether the bytes are UTF-8, as RFC 3629 has it in section 4."""
    at = start
    while at < end:
        lead, least, most = data[at], 0x80, 0xBF
        at += 1
        if lead < 0x80:
            continue
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more, least, most = 2, 0xA0 if lead == 0xE0 else least, 0x9F if lead == 0xED else most
        elif 0xF0 <= lead <= 0xF4:
            more, least, most = 3, 0x90 if lead == 0xF0 else least, 0x8F if lead == 0xF4 else most
        else:
            return False
        for _ in range(more):
            if at >= end or not least <= data[at] <= most:
                return False
            at, least, most = at + 1, 0x80, 0xBF
    return True


@compiled
def scan(
    data: Bytes, values: Ints, keys: Ints, names: Ints, factor: int, tags: Ints, rules: Rules, table: Ints
) -> None:
    """Read records, at `values` (n, 2) in `data` and under the `keys` there (-1: none), into the rows of `table`.

    `names` (SLOTS, 2) has at `slot_of` each name the name and its field, OTHER for none; `tags` is for `kind_of`. A row
    is UNREAD unless all of it is in order, and the room is the key. At least one byte follows after the last value.
    """
    held = np.empty((rules[0].shape[1], 3), np.int64)
    for row in range(len(values)):
        start, end = values[row, 0], values[row, 1]
        table[row, KIND] = UNREAD
        if not take_apart(data, start, end, names, factor, held):
            continue
        ascii = is_ascii(data, start, end)
        if not ascii and not is_text(data, start, end):
            continue
        if held[TYPE_FIELD, 0] != STRING or held[ROOM_FIELD, 0] != STRING:
            continue
        room, room_end = held[ROOM_FIELD, 1], held[ROOM_FIELD, 2]
        key, key_end = keys[row, 0], keys[row, 1]
        if key >= 0 and (key_end - key != room_end - room or not same(data, key, room, key_end - key)):
            continue
        kind = kind_of(tags, name_in(data, held, TYPE_FIELD))
        if kind != UNREAD and in_order(held, rules, kind, ascii):
            put(data, held, rules, kind, table, row)


@compiled
def left_over(table: Ints) -> Ints:
    """The rows that were not read, or that say there is more."""
    rows, n = np.empty(len(table), np.int64), 0
    for row in range(len(table)):
        if table[row, KIND] == UNREAD or table[row, FLAGS] & MORE:
            rows[n] = row
            n += 1
    return rows[:n]


@compiled
def equal_to(data: Bytes, spans: Ints, wanted: Bytes) -> Ints:
    """The rows of `spans` (n, 2), of places in `data`, at which just the wanted bytes stand."""
    found = np.empty(len(spans), np.int64)
    n = 0
    for row in range(len(spans)):
        start, size = spans[row, 0], spans[row, 1] - spans[row, 0]
        if start >= 0 and size == len(wanted) and np.array_equal(data[start : start + size], wanted):
            found[n] = row
            n += 1
    return found[:n]


@compiled
def put(data: Bytes, held: Ints, rules: Rules, kind: int, table: Ints, row: int) -> None:
    """Write the fields of an event of this kind into its row."""
    form, more, what, flags = rules[4][kind], rules[3], 1, 0
    if form & (ABOUT | SELLS):
        what = name_in(data, held, PRODUCT_FIELD)
    elif form & COUNTS and held[COUNT_FIELD, 0] == WHOLE:
        what = held[COUNT_FIELD, 1]
    table[row, ORDER] = table[row, PIECES] = table[row, AMOUNT] = 0
    if form & SELLS:
        table[row, ORDER] = name_in(data, held, ORDER_FIELD)
        table[row, PIECES] = held[QTY_FIELD, 1] if held[QTY_FIELD, 0] == WHOLE else 1
        table[row, AMOUNT] = held[AMOUNT_FIELD, 1]
    if held[STAMPED_FIELD, 0] == TRUE:
        flags |= STAMPED
    for field in range(held.shape[0]):
        if more[kind, field] & held[field, 0]:
            flags |= MORE
    table[row, TS] = held[TS_FIELD, 1] if held[TS_FIELD, 0] == WHOLE else 0
    table[row, KIND] = kind
    table[row, USER] = name_in(data, held, USER_FIELD)
    table[row, WHAT] = what
    table[row, SOURCE] = name_in(data, held, SOURCE_FIELD)
    table[row, ID] = name_in(data, held, ID_FIELD)
    table[row, ROOM] = name_in(data, held, ROOM_FIELD)
    table[row, FLAGS] = flags
    table[row, CURRENCY] = (name_in(data, held, CURRENCY_FIELD) or rules[5]) if form & MONEY else 0


@compiled
def by_room(table: Ints) -> tuple[Ints, Ints]:
    """The rows of each room together, in the order of appearance: their places, and where each room's part ends."""
    n = len(table)
    size = 16
    while size < 2 * n:
        size *= 2
    slots = np.full(size, -1, np.int64)  # the number of the room that has its place there
    rooms, counts = np.empty(n, np.int64), np.zeros(n, np.int64)
    numbers = np.empty(n, np.int64)
    found = 0
    for row in range(n):
        room = table[row, ROOM]
        place = (room ^ room >> 32) & (size - 1)
        while slots[place] >= 0 and rooms[slots[place]] != room:
            place = (place + 1) & (size - 1)
        if slots[place] < 0:
            slots[place] = found
            rooms[found] = room
            found += 1
        numbers[row] = slots[place]
        counts[numbers[row]] += 1
    ends = np.cumsum(counts[:found])
    free = ends - counts[:found]
    order = np.empty(n, np.int64)
    for row in range(n):
        order[free[numbers[row]]] = row
        free[numbers[row]] += 1
    return order, ends
