"""How the records of a fetch lie in its bytes, as loops from bytes to columns of whole numbers.

Nothing is copied and nothing believed: whatever is not exactly as it says, to its last byte, is refused. Layout:
https://kafka.apache.org/documentation/#recordbatch. Checksums and compression are the client's business.
"""

import numpy as np
from numpy.typing import NDArray

from stream.compiling import compiled
from stream.loops import Ints

# The columns of a batch: where it begins, where its records begin and end in the bytes, its version, how its records
# are compressed, how many they are, the first and the last offset, and the time: of the first record where MOVES is 1
# and each record tells how far it is from there, of all where it is 0.
BEGIN, START, END, MAGIC, CODEC, COUNT, BASE, LAST, MS, MOVES = range(10)
N_COLUMNS = 10
BROKEN = -1  # the version of a batch that cannot be one
UNKNOWN = 1 << 31  # how many records an old compressed batch has: more than any says
NEW = 2  # the version that is read here; older ones have no such columns from CODEC on

_MIN = (14, 22, 49)  # bytes of a batch after its length, by version
_RECORD_MIN = 7  # bytes of a record without key and value: a length, and six fields of a byte
_LENGTH, _BODY, _MAGIC, _OLD_ATTRIBUTES, _ATTRIBUTES, _DELTA, _FIRST_MS, _LAST_MS = 8, 12, 16, 17, 21, 23, 27, 35
_COUNT, _RECORDS = 57, 61
_CODEC_BITS, _APPEND_TIME, _CONTROL = 0x07, 0x08, 0x20
_NO_SIGN = (1 << 63) - 1

Bytes = NDArray[np.uint8]


@compiled
def number(data: Bytes, at: int, size: int) -> int:
    """So many bytes as a number with a sign, the highest first."""
    value = np.int64(0)
    for place in range(size):
        value = value << 8 | np.int64(data[at + place])
    spare = 64 - 8 * size
    return value << spare >> spare  # type: ignore[return-value]  # a whole number of numpy's


@compiled
def varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """A number of one to ten bytes and the place after it; that is -1 where it does not end, or `at` is -1 already."""
    if at < 0:
        return 0, -1
    value, shift = np.int64(0), 0
    while at < end and shift < 64:
        byte = np.int64(data[at])
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1 & _NO_SIGN) ^ -(value & 1), at  # type: ignore[return-value]  # the same
        shift += 7
    return 0, -1


@compiled
def field(data: Bytes, at: int, end: int) -> tuple[int, int, int]:
    """Where a key or value starts and ends, both -1 for null, and the place after it; -1 for what is none."""
    size, at = varint(data, at, end)
    if at < 0 or size > end - at:
        return -1, -1, -1
    if size < 0:
        return -1, -1, at
    return at, at + size, at + size


@compiled
def after_headers(data: Bytes, at: int, end: int) -> int:
    """The place after the headers of a record; -1 for what are none."""
    left, at = varint(data, at, end)
    if left < 0:
        return -1
    while left > 0 and at >= 0:  # each takes two bytes at least, so a number that lies is found out at `end`
        name, _, at = field(data, at, end)
        if name < 0:
            return -1
        _, _, at = field(data, at, end)
        left -= 1
    return at


@compiled
def batch_end(data: Bytes, at: int) -> int:
    """Where the batch at `at` ends; 0 where no whole one is left, as fetches end; -1 where it cannot be one."""
    left = len(data) - at - _BODY
    if left < 0:
        return 0
    size, magic = number(data, at + _LENGTH, 4), 0
    if size > left:
        return 0
    if size >= _MIN[0]:
        magic = np.int64(data[at + _MAGIC])  # type: ignore[assignment]  # the same
    if magic > NEW or size < _MIN[magic]:
        return -1
    if magic < NEW:  # the client takes an old one apart before it looks at the checksum
        fields = size - _MIN[magic]
        key = max(0, number(data, at + _BODY + _MIN[magic] - 8, 4))
        if key > fields or fields - key != max(0, number(data, at + _BODY + _MIN[magic] - 4 + key, 4)):
            return -1
    return at + _BODY + size


@compiled
def batches(data: Bytes) -> Ints:
    """The whole batches of a fetch, a row each; the last is BROKEN where what follows is none, or none there."""
    n = at = 0
    end = batch_end(data, at)
    while end > 0:
        n, at, end = n + 1, end, batch_end(data, end)
    table = np.zeros((n - end, N_COLUMNS), np.int64)
    if end < 0:
        table[n, MAGIC] = BROKEN
    at = 0
    for row in range(n):
        end = batch_end(data, at)
        table[row, BEGIN], table[row, END] = at, end
        table[row, MAGIC] = data[at + _MAGIC]
        table[row, BASE] = table[row, LAST] = number(data, at, 8)
        if data[at + _MAGIC] == NEW:
            head(data, at, table, row)
        else:
            table[row, COUNT] = UNKNOWN if data[at + _OLD_ATTRIBUTES] & _CODEC_BITS else 1
        if row > 0 and table[row, BASE] <= table[row - 1, LAST]:  # no checksum covers the offset of a batch
            table[row, MAGIC] = BROKEN
            return table[: row + 1]
        at = end
    return table


@compiled
def head(data: Bytes, at: int, table: Ints, row: int) -> None:
    """Write what the head of a new batch says into its row; one of the broker's own has no records for us."""
    attributes = number(data, at + _ATTRIBUTES, 2)
    ours = not attributes & _CONTROL
    table[row, START] = at + _RECORDS if ours else table[row, END]
    table[row, CODEC] = attributes & _CODEC_BITS if ours else 0
    table[row, COUNT] = max(0, number(data, at + _COUNT, 4)) if ours else 0
    table[row, LAST] += number(data, at + _DELTA, 4)
    table[row, MOVES] = 0 if attributes & _APPEND_TIME else 1
    table[row, MS] = number(data, at + (_LAST_MS if attributes & _APPEND_TIME else _FIRST_MS), 8)


@compiled
def walk(data: Bytes, table: Ints, before: int) -> tuple[Ints, Ints, Ints, Ints, int, int]:
    """The records of plain new batches that lie after offset `before`: keys, values, offsets, timestamps.

    Then the last offset that is done with, and a batch that is not as it says: its row, or -1 as there is none.
    Offsets rise; one that does not is left out, as the client leaves it out.
    """
    most, wrong = 0, -1
    for row in range(len(table)):
        if table[row, COUNT] > (table[row, END] - table[row, START]) // _RECORD_MIN:
            most, wrong = 0, row  # so that room is made for no more than there can be
            break
        most += table[row, COUNT]
    keys, values = np.empty((most, 2), np.int64), np.empty((most, 2), np.int64)
    offsets, timestamps = np.empty(most, np.int64), np.empty(most, np.int64)
    if wrong >= 0:
        return keys, values, offsets, timestamps, before, wrong
    n = 0
    for row in range(len(table)):
        at, end = table[row, START], table[row, END]
        for _ in range(table[row, COUNT]):
            size, at = varint(data, at, end)
            if at < 0 or not 0 < size <= end - at or data[at] & 0x80:  # attributes: a byte; the client reads a varint
                return keys, values, offsets, timestamps, before, row
            stop = at + size
            moved, at = varint(data, at + 1, stop)
            step, at = varint(data, at, stop)
            keys[n, 0], keys[n, 1], at = field(data, at, stop)
            values[n, 0], values[n, 1], at = field(data, at, stop)
            at = after_headers(data, at, stop)
            if at != stop or not 0 <= step <= table[row, LAST] - table[row, BASE]:
                return keys, values, offsets, timestamps, before, row
            offset = table[row, BASE] + step
            if offset > before:
                before = offsets[n] = offset
                timestamps[n] = table[row, MS] + table[row, MOVES] * moved
                n += 1
        if at != end:
            return keys, values, offsets, timestamps, before, row
        before = max(before, table[row, LAST])
    return keys[:n], values[:n], offsets[:n], timestamps[:n], before, -1
