"""Records taken out of a fetch whole: the same ones, at the same positions, as aiokafka takes out one by one."""

import asyncio
import struct
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import aiokafka
import numpy as np
import pytest
from aiokafka import codec
from aiokafka.consumer import fetcher as fetching
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from agents import fetched
from stream.errors import OperatorError

EVENTS, OTHER = TopicPartition("live.events", 0), TopicPartition("other", 0)
LENGTH, MAGIC, CRC, ATTRIBUTES, DELTA, COUNT, RECORDS = 8, 16, 17, 21, 23, 57, 61  # where they stand in a batch
APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20
# How records are compressed, by the number of a codec.
ENCODED: dict[int, Any] = dict(
    enumerate((bytes, codec.gzip_encode, codec.snappy_encode, codec.lz4_encode, codec.zstd_encode))
)


Row = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
"""A record to write: offset in its batch, ms, key, value, headers."""


def written(base: int, rows: list[Row], attributes: int = 0, kind: int = 0, after: int = 0) -> bytes:
    """A batch of version 2 from offset `base` on; `after` is the first offset in it that is no more its own."""
    builder = DefaultRecordBatchBuilder(2, kind, 0, -1, -1, -1, 1 << 24)
    for row in rows:
        builder.append(*row)
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, base)
    struct.pack_into(">h", raw, ATTRIBUTES, struct.unpack_from(">h", raw, ATTRIBUTES)[0] | attributes)
    struct.pack_into(">i", raw, DELTA, after - 1)
    return signed(raw)


def signed(raw: bytes | bytearray) -> bytes:
    """The batch with the length and the checksum that it has."""
    raw = bytearray(raw)
    struct.pack_into(">i", raw, LENGTH, len(raw) - 12)
    struct.pack_into(">I", raw, CRC, calc_crc32c(bytes(raw[ATTRIBUTES:])))
    return bytes(raw)


def packed(raw: bytes, records: bytes, kind: int) -> bytes:
    """The batch with these bytes for its records, compressed so."""
    head = bytearray(raw[:RECORDS])
    struct.pack_into(">h", head, ATTRIBUTES, struct.unpack_from(">h", head, ATTRIBUTES)[0] & ~7 | kind)
    return signed(bytes(head) + ENCODED[kind](records))


def batch(base: int, count: int, kind: int = 0) -> bytes:
    """A batch of plain records."""
    rows: list[Row] = [(delta, 1_000 + delta, b"r%d" % delta, b"v%d" % (base + delta), []) for delta in range(count)]
    return written(base, rows, kind=kind, after=count)


def legacy(base: int, count: int, magic: int, kind: int = 0) -> bytes:
    """Messages as brokers wrote them before version 2."""
    builder = LegacyRecordBatchBuilder(magic, kind, 1 << 20)
    first = 0 if magic and kind else base  # within a compressed message of version 1 offsets count from 0
    for offset in range(first, first + count):
        key, value = None if offset % 5 == 3 else b"k", None if offset % 7 == 3 else b"v%d" % offset
        builder.append(offset, timestamp=1_000 + offset if magic else None, key=key, value=value)
    raw = bytearray(builder.build())
    if kind:
        struct.pack_into(">q", raw, 0, base + count - 1)  # as a broker does
    return bytes(raw)


def read(kind: Any, raw: bytes, at: int, check_crcs: bool = True) -> PartitionRecords:
    """A fetch that began at offset `at`."""
    return kind(EVENTS, fetched.Kept(raw), [], at, None, None, check_crcs, READ_UNCOMMITTED)


def one_by_one(raw: bytes, at: int, check_crcs: bool = True) -> list[tuple[Any, ...]]:
    """What aiokafka itself takes out, and where it reads on."""
    records = read(PartitionRecords, raw, at, check_crcs)
    found: list[tuple[Any, ...]] = [
        (one.offset, one.key, one.value, -1 if one.timestamp is None else one.timestamp) for one in records
    ]
    return [*found, ("next", records.next_fetch_offset)]


def rows_of(some: fetched.Records) -> list[tuple[Any, ...]]:
    """A piece as rows, if it is of the shape that is promised."""
    n = len(some.offsets)
    assert [column.shape for column in some[1:]] == [(n, 2), (n, 2), (n,), (n,)]
    assert all(column.dtype == np.int64 and column.flags.c_contiguous for column in some[1:])
    assert (np.diff(some.offsets) > 0).all()

    def texts(spans: Any) -> list[bytes | None]:
        assert all(-1 == start == end or 0 <= start <= end < len(some.data) for start, end in spans.tolist())
        return [None if start < 0 else some.data[start:end] for start, end in spans.tolist()]

    return [*zip(some.offsets.tolist(), texts(some.keys), texts(some.values), some.timestamps.tolist(), strict=True)]


def taken(records: Iterable[fetched.Records]) -> list[list[tuple[Any, ...]]]:
    """Pieces as rows."""
    return [rows_of(some) for some in records]


def joined(pieces: Iterable[list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    """The rows of all pieces."""
    return [row for piece in pieces for row in piece]


Log = list[tuple[int, bytes]]
"""Batches as they lie in a log: the offset after each, and its bytes."""


def fetch(log: Log, at: int) -> bytes:
    """What a broker answers to a fetch from offset `at`: whole batches from the one on that holds it."""
    return b"".join(raw for after, raw in log if after > at)


texts = st.none() | st.binary(max_size=5) | st.sampled_from([b"", b"x" * 63, b"x" * 64, b"x" * 9_000])
headers = st.lists(st.tuples(st.text(max_size=3), texts), max_size=3)


@st.composite
def batches(draw: st.DrawFn, base: int, kind: int) -> tuple[int, bytes]:
    """A batch of version 2 of any records, some of them gone by compaction; and the offset after it."""
    times = st.integers(1_000, 1_100) | st.integers(0, 2**45)  # of its first record, and the others also before that
    rows: list[Row] = []
    delta = 0
    for _ in range(draw(st.integers(0, 12))):
        delta += draw(st.sampled_from([0, 0, 0, 0, 1, 4, 2**14]))
        rows.append((delta, draw(times), draw(texts), draw(texts), draw(headers) if draw(st.booleans()) else []))
        delta += 1
    delta += draw(st.sampled_from([0, 0, 3]) if rows else st.integers(1, 3))
    of = draw(st.sampled_from([0, 0, APPEND_TIME, TRANSACTIONAL, TRANSACTIONAL | CONTROL]))
    return base + delta, written(base, rows, of, kind if rows else 0, delta)  # brokers compress no empty one


@st.composite
def logs(draw: st.DrawFn, magics: tuple[int, ...] = (0, 1, 2, 2, 2, 2)) -> tuple[Log, int]:
    """A log of any batches, and an offset to read from."""
    first = base = draw(st.integers(0, 2**40))
    log: Log = []
    magic = draw(st.sampled_from(magics))  # aiokafka takes all of a fetch for the version of the first
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from([0, 0, *ENCODED]))
        if magic < 2:
            kind = min(kind, 1)
            count = draw(st.integers(1, 12)) if kind else 1
            log.append((base + count, legacy(base, count, magic, kind)))
        else:
            log.append(draw(batches(base, kind)))
        base = log[-1][0] + draw(st.sampled_from([0, 0, 2]))
    return log, draw(st.integers(max(0, first - 3), log[-1][0] - 1))


@given(logs(), st.integers(1, 20))
def test_whole_is_what_one_by_one_gives(drawn: tuple[Log, int], most: int) -> None:
    """Any batches (old and new, compressed, compacted, of transactions, begun in their middle): equal, in order."""
    log, at = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetched, "RECORDS_MAX", most)
        records = read(fetched._Whole, fetch(log, at), at)
        pieces = taken(records)

    assert [*joined(pieces), ("next", records.next_fetch_offset)] == one_by_one(fetch(log, at), at)
    assert all(0 < len(piece) <= most for piece in pieces)


@given(logs(), st.integers(1, 20))
def test_a_fetch_left_in_its_middle_is_read_on_from_there(drawn: tuple[Log, int], most: int) -> None:
    """After each piece the position is right: what is fetched from there is what is still missing."""
    log, at = drawn
    wanted = one_by_one(fetch(log, at), at)[:-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetched, "RECORDS_MAX", most)
        records = read(fetched._Whole, fetch(log, at), at)
        found: list[tuple[Any, ...]] = []
        for some in records:
            found += rows_of(some)
            now_at = records.next_fetch_offset
            assert [*found, *one_by_one(fetch(log, now_at), now_at)[:-1]] == wanted


def test_old_and_new_batches_of_one_fetch_are_all_read() -> None:
    """Where a log goes from one version to the next, which aiokafka cannot read: each as if it came alone."""
    parts = [
        (0, legacy(0, 1, 0)),
        (1, legacy(1, 1, 0)),
        (2, legacy(2, 5, 1, 1)),
        (7, batch(7, 3)),
        (10, batch(10, 2, 1)),
    ]
    records = read(fetched._Whole, b"".join(raw for _, raw in parts), 0)

    assert joined(taken(records)) == joined(one_by_one(raw, at)[:-1] for at, raw in parts)
    assert records.next_fetch_offset == 12


def test_pieces_are_as_many_whole_batches_as_fit() -> None:
    """A batch larger than a piece comes in parts, alone."""
    raw = b"".join(batch(base, count) for base, count in [(0, 4), (4, 4), (8, 4), (12, 25), (37, 3), (40, 7), (47, 1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetched, "RECORDS_MAX", 10)
        pieces = taken(read(fetched._Whole, raw, 0))

    assert [len(piece) for piece in pieces] == [8, 4, 10, 10, 5, 10, 1]
    assert [row[0] for row in joined(pieces)] == [*range(48)]


@pytest.mark.parametrize("kind", ENCODED)
def test_a_fetch_from_the_middle_of_a_batch_begins_there(kind: int) -> None:
    """A broker sends the whole batch; what was read of it is left out."""
    records = read(fetched._Whole, batch(100, 10, kind) + batch(110, 2, kind), 107)

    assert [row[0] for row in joined(taken(records))] == [107, 108, 109, 110, 111]


def test_plain_records_are_not_copied() -> None:
    """The bytes of the pieces are those of the fetch."""
    raw = batch(0, 5) + batch(5, 5)

    assert [some.data is raw for some in read(fetched._Whole, raw, 0)] == [True]


def test_a_damaged_batch_is_refused() -> None:
    """A flipped bit raises as it does with aiokafka, and the position stays before what was not handed over."""
    bad = bytearray(batch(3, 3))
    bad[-1] ^= 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetched, "RECORDS_MAX", 3)
        records = read(fetched._Whole, batch(0, 3) + bytes(bad), 0)

        assert len(rows_of(next(records))) == 3
        with pytest.raises(CorruptRecordException, match="CRC"):
            next(records)
    assert records.next_fetch_offset == 3


@given(logs(magics=(2,)), st.integers(0, 2**16))
def test_a_fetch_cut_short_gives_its_whole_batches(drawn: tuple[Log, int], cut: int) -> None:
    """Brokers cut where the fetch is full."""
    log, at = drawn
    raw = fetch(log, at)
    raw = raw[: cut % len(raw)]
    records = read(fetched._Whole, raw, at)

    assert [*joined(taken(records)), ("next", records.next_fetch_offset)] == one_by_one(raw, at)


places = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255) | st.sampled_from([0, 1, 0x7F, 0x80, 255])))


def overwritten(raw: bytes, changes: list[tuple[int, int]]) -> bytes:
    """The bytes with some set to another value."""
    changed = bytearray(raw)
    for place, value in changes if raw else ():
        changed[place % len(raw)] = value
    return bytes(changed)


def assert_refused_or_right(raw: bytes, at: int) -> None:
    """What is given of bytes that nobody vouches for is what aiokafka gives."""
    records = read(fetched._Whole, raw, at, check_crcs=False)
    try:
        found = joined(taken(records))
    except (CorruptRecordException, UnsupportedCodecError):
        return
    try:
        assert found == one_by_one(raw, at, check_crcs=False)[:-1]
    except UnicodeDecodeError:  # of a header's name, which is nothing to us
        return


@given(logs(magics=(2,)), places)
def test_batches_that_lie_are_refused(drawn: tuple[Log, int], changes: list[tuple[int, int]]) -> None:
    """Any bytes overwritten, with no checksum looked at: refused, or what aiokafka makes of it."""
    log, at = drawn
    assert_refused_or_right(overwritten(fetch(log, at), changes), at)


@given(batches(7, 0), places.filter(bool), st.sampled_from([*ENCODED]))
def test_records_that_lie_are_refused(drawn: tuple[int, bytes], changes: list[tuple[int, int]], kind: int) -> None:
    """The same where the batch is in order and only its records are not, also behind a compression."""
    raw = drawn[1]
    assert_refused_or_right(packed(raw, overwritten(raw[RECORDS:], changes), kind), 7)


@given(batches(7, 0), st.integers(1, 2**16), st.sampled_from([*ENCODED]), st.binary(max_size=3))
def test_records_cut_short_or_followed_by_more_are_refused(
    drawn: tuple[int, bytes], cut: int, kind: int, more: bytes
) -> None:
    """A batch ends with its last record, to the byte."""
    raw = drawn[1]
    records = raw[RECORDS:]
    if struct.unpack_from(">h", raw, ATTRIBUTES)[0] & CONTROL:
        return
    for wrong in (records[: -1 - cut % len(records)] if records else b"\0", records + b"\0" + more):
        with pytest.raises(CorruptRecordException):
            taken(read(fetched._Whole, packed(raw, wrong, kind), 7))


def varint(value: int) -> bytes:
    """As the protocol writes a number."""
    left, out = (value << 1) ^ (value >> 63), bytearray()
    while left > 0x7F:
        out.append(0x80 | left & 0x7F)
        left >>= 7
    return bytes([*out, left])


def record(*fields: bytes) -> bytes:
    """A record of these fields after its attributes."""
    return varint(1 + sum(map(len, fields))) + b"\0" + b"".join(fields)


FAIR = (varint(0), varint(0), varint(1), b"k", varint(1), b"v", varint(0))
LYING: dict[str, bytes] = {
    "no record at all": b"",
    "a length of none": b"\0" + record(*FAIR),
    "a negative length": varint(-9) + record(*FAIR)[1:],
    "a length to the other end of memory": varint(2**63 - 1) + record(*FAIR)[1:],
    "a length that does not end": b"\x80" * 30,
    "a time of eleven bytes": record(b"\x80" * 10 + b"\0", *FAIR[1:]),
    "a key longer than the record": record(*FAIR[:2], varint(2**62), *FAIR[3:]),
    "a key that takes the value": record(*FAIR[:2], varint(4), *FAIR[3:]),
    "a value longer than the record": record(*FAIR[:4], varint(2**63 - 1), *FAIR[5:]),
    "more headers than bytes": record(*FAIR[:6], varint(2**60)),
    "headers below none": record(*FAIR[:6], varint(-1)),
    "a header without a name": record(*FAIR[:6], varint(1), varint(-1), varint(-1)),
    "a header cut off": record(*FAIR[:6], varint(1), varint(1)),
    "an offset before its batch": record(FAIR[0], varint(-1), *FAIR[2:]),
    "an offset after its batch": record(FAIR[0], varint(1), *FAIR[2:]),
    "bytes after the headers": record(*FAIR, b"\0"),
    "attributes of two bytes": varint(10) + b"\x80\0" + b"".join(FAIR),
}


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("records", LYING.values(), ids=LYING.keys())
def test_a_record_that_lies_is_refused(records: bytes, kind: int) -> None:
    """Each way in which a record may not be as it says; the sound one beside it is read."""
    raw = batch(0, 1)
    sound = read(fetched._Whole, packed(raw, record(*FAIR), kind), 0)

    assert [row[:3] for row in taken(sound)[0]] == [(0, b"k", b"v")]
    with pytest.raises(CorruptRecordException):
        taken(read(fetched._Whole, packed(raw, records, kind), 0))


@pytest.mark.parametrize(
    ("place", "form", "value"),
    [
        (COUNT, ">i", 4), (COUNT, ">i", 2), (COUNT, ">i", 0), (COUNT, ">i", -1), (COUNT, ">i", 2**31 - 1),
        (LENGTH, ">i", -1), (LENGTH, ">i", -(2**31)), (LENGTH, ">i", 0), (LENGTH, ">i", 13), (LENGTH, ">i", 48),
        (MAGIC, ">b", 0), (MAGIC, ">b", 1), (MAGIC, ">b", 3), (MAGIC, ">b", -1),
    ],
)  # fmt: skip
def test_a_head_that_lies_is_refused(place: int, form: str, value: int) -> None:
    """A number of records, a length or a version that cannot be; without a look at the checksum too."""
    raw = bytearray(batch(0, 3))
    struct.pack_into(form, raw, place, value)
    for check_crcs in (True, False):
        with pytest.raises(CorruptRecordException):
            taken(read(fetched._Whole, bytes(raw) + batch(3, 3), 0, check_crcs))


def test_batches_whose_offsets_fall_are_refused() -> None:
    """No checksum covers where a batch stands: a place before the end of the one before it is none in a log."""
    records = read(fetched._Whole, batch(0, 3) + batch(2, 3), 0)

    assert [row[0] for row in rows_of(next(records))] == [0, 1, 2]
    with pytest.raises(CorruptRecordException, match="offset"):
        next(records)


@pytest.mark.parametrize("kind", sorted({*range(1, 8)} - {*ENCODED}))
def test_a_compression_without_its_library_is_told(kind: int) -> None:
    """As aiokafka tells it; an unknown one too."""
    raw = bytearray(batch(0, 3))
    raw[ATTRIBUTES + 1] |= kind
    with pytest.raises(UnsupportedCodecError):
        taken(read(fetched._Whole, signed(raw), 0))


class Broker(Fetcher):
    """A fetcher whose fetches bring what lies in `answers`: an error's code, or the bytes of batches."""

    def __init__(self, answers: dict[TopicPartition, bytes | int], isolation_level: int = READ_UNCOMMITTED) -> None:
        self._records: dict[TopicPartition, object] = {}
        self._isolation_level = isolation_level
        self._check_crcs, self._prefetch_backoff, self._client_rack = True, 0, None
        self._key_deserializer = self._value_deserializer = None
        self._preferred_read_replica: dict[TopicPartition, object] = {}
        self._client = SimpleNamespace(send=self._send)
        self._answers = answers
        self.states = {tp: standing() for tp in answers}

    async def _send(self, node_id: int, request: object) -> object:
        topics = [
            (
                tp.topic,
                [(tp.partition, *((0, 9, 9, [], answer) if isinstance(answer, bytes) else (answer, -1, -1, [], b"")))],
            )
            for tp, answer in self._answers.items()
        ]
        return SimpleNamespace(API_VERSION=4, topics=topics)

    def bring(self) -> dict[TopicPartition, Any]:
        """One fetch; what is kept of it."""
        assignment = SimpleNamespace(active=True, state_value=self.states.__getitem__)
        request = SimpleNamespace(API_VERSION=4, topics=[(tp.topic, [(tp.partition, 0, 1)]) for tp in self._answers])
        asyncio.run(self._proc_fetch_request(assignment, 0, request))
        return self._records


def standing() -> SimpleNamespace:
    """A partition read from offset 0 on."""
    state = SimpleNamespace(paused=False, position=0, has_valid_position=True)
    state.consumed_to = lambda offset: setattr(state, "position", offset)
    return state


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka's fetcher as it comes, before and after each test."""
    monkeypatch.setattr(fetching, "MemoryRecords", MemoryRecords)


def test_only_the_topic_of_events_is_taken_out_whole() -> None:
    """Through the fetcher: pieces of events with the position moved, single records elsewhere, errors as they were."""
    most, broken = fetched.RECORDS_MAX, TopicPartition("live.events", 1)
    raw = batch(0, 2 * most + 200)
    fetcher = Broker({EVENTS: raw, OTHER: raw, broken: 29})
    fetched.take_whole(fetcher, EVENTS.topic)
    found = fetcher.bring()

    pieces = found[EVENTS].getall(2)
    assert [len(some.offsets) for some in pieces] == [most] * 2
    assert fetcher.states[EVENTS].position == 2 * most
    assert sum(len(some.offsets) for some in found[EVENTS].getall()) == 200
    assert fetcher.states[EVENTS].position == 2 * most + 200
    assert not found[EVENTS].has_more()
    assert [one.offset for one in found[OTHER].getall(2)] == [0, 1]
    assert type(found[broken]) is not FetchResult


def test_a_damaged_fetch_is_asked_for_again() -> None:
    """After the error nothing is held of it, and the partition stands where it stood."""
    bad = bytearray(batch(3, 3))
    bad[-1] ^= 1
    fetcher = Broker({EVENTS: batch(0, 3) + bytes(bad)})
    fetched.take_whole(fetcher, EVENTS.topic)
    held = fetcher.bring()[EVENTS]

    with pytest.raises(CorruptRecordException):
        held.getall()
    assert held.getall() == []
    assert not held.has_more()
    assert fetcher.states[EVENTS].position == 0


def test_a_paused_or_moved_partition_gives_nothing() -> None:
    """What was fetched for a position that is not the present one, or for a paused partition, is dropped."""
    for changed in ({"paused": True}, {"position": 7}):
        fetcher = Broker({EVENTS: batch(0, 3)})
        fetched.take_whole(fetcher, EVENTS.topic)
        held = fetcher.bring()[EVENTS]
        vars(fetcher.states[EVENTS]).update(changed)

        assert held.getall() == []
        assert not held.has_more()


def test_a_reader_of_transactions_is_refused() -> None:
    """Aborted records would be taken for good ones."""
    with pytest.raises(ValueError, match="uncommitted"):
        fetched.take_whole(Broker({}, READ_COMMITTED), EVENTS.topic)


@pytest.mark.parametrize(("version", "fine"), [("0.12.0", True), ("0.14.9", True), ("0.15.0", False), ("1.0", False)])
def test_an_unknown_client_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, version: str, fine: bool) -> None:
    """The inside of aiokafka is known for some versions; another one is named, and which to install."""
    monkeypatch.setattr(aiokafka, "__version__", version)
    if fine:
        fetched.check_client()
        return
    with pytest.raises(OperatorError, match=r"pip install 'aiokafka==0\.14\.\*'"):
        fetched.check_client()
