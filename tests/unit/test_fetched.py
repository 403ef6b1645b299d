"""Records taken out of a fetch whole: the same ones, at the same positions, as aiokafka takes out one by one."""

import asyncio
import struct
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
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
ATTRIBUTES, DELTA, CRC = 21, 23, 17  # where they stand in a batch of version 2
APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20


def batch(base: int, holes: list[int], attributes: int = 0, codec: int = 0, tail: int = 0) -> bytes:
    """A batch of version 2 from offset `base` on; `holes` are the offsets missing before each record."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    delta = -1
    for hole in holes:
        delta += 1 + hole
        key = None if delta % 5 == 3 else b"r%d" % delta
        value = None if delta % 7 == 3 else b"v%d" % (base + delta)
        builder.append(delta, 1_000 + 3 * delta, key, value, [("h", b"1")] if delta % 2 else [])
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, base)
    struct.pack_into(">h", raw, ATTRIBUTES, struct.unpack_from(">h", raw, ATTRIBUTES)[0] | attributes)
    struct.pack_into(">i", raw, DELTA, delta + tail)
    struct.pack_into(">I", raw, CRC, calc_crc32c(bytes(raw[ATTRIBUTES:])))
    return bytes(raw)


def legacy(base: int, count: int, magic: int, codec: int = 0) -> bytes:
    """Messages as brokers wrote them before version 2."""
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    first = 0 if magic and codec else base  # within a compressed message of version 1 offsets count from 0
    for offset in range(first, first + count):
        builder.append(offset, timestamp=1_000 + offset if magic else None, key=b"k", value=b"v%d" % offset)
    raw = bytearray(builder.build())
    if codec:
        struct.pack_into(">q", raw, 0, base + count - 1)  # as a broker does
    return bytes(raw)


def read(kind: Any, raw: bytes, at: int) -> PartitionRecords:
    """A fetch that began at offset `at`."""
    return kind(EVENTS, MemoryRecords(raw), [], at, None, None, True, READ_UNCOMMITTED)


def one_by_one(raw: bytes, at: int) -> list[tuple[Any, ...]]:
    """What aiokafka itself takes out, and where it reads on."""
    records = read(PartitionRecords, raw, at)
    found: list[tuple[Any, ...]] = [(one.offset, one.key, one.value, one.timestamp) for one in records]
    return [*found, ("next", records.next_fetch_offset)]


def taken(records: Iterable[fetched.Records]) -> list[list[tuple[Any, ...]]]:
    """Pieces as rows."""
    return [[*zip(some.offsets, some.keys, some.values, some.timestamps, strict=True)] for some in records]


Log = list[tuple[int, bytes]]
"""Batches as they lie in a log: the offset after each, and its bytes."""


def fetch(log: Log, at: int) -> bytes:
    """What a broker answers to a fetch from offset `at`: whole batches from the one on that holds it."""
    return b"".join(raw for after, raw in log if after > at)


@st.composite
def logs(draw: st.DrawFn) -> tuple[Log, int]:
    """A log of any batches, and an offset to read from."""
    first = base = draw(st.integers(0, 2**40))
    log: Log = []
    magic, codec = draw(st.sampled_from([0, 1, 2, 2, 2])), draw(st.sampled_from([0, 1]))
    for _ in range(draw(st.integers(1, 5))):
        if magic < 2:
            count = draw(st.integers(1, 12)) if codec else 1
            log.append((base + count, legacy(base, count, magic, codec)))
        else:
            holes, tail = draw(st.lists(st.sampled_from([0, 0, 0, 0, 1, 4]), max_size=12)), draw(st.integers(1, 3))
            tail = tail if not holes else draw(st.sampled_from([0, 0, 3]))  # compaction leaves empty ones of any length
            kind = draw(st.sampled_from([0, 0, APPEND_TIME, TRANSACTIONAL, TRANSACTIONAL | CONTROL]))
            count = len(holes) + sum(holes) + tail
            log.append((base + count, batch(base, holes, kind, codec, tail)))
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

    assert [*(row for piece in pieces for row in piece), ("next", records.next_fetch_offset)] == one_by_one(
        fetch(log, at), at
    )
    assert all(0 < len(piece) <= most for piece in pieces)
    assert all(len(piece) == most for piece in pieces[:-1])


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
            found += taken([some])[0]
            now_at = records.next_fetch_offset
            assert [*found, *one_by_one(fetch(log, now_at), now_at)[:-1]] == wanted


def test_a_damaged_batch_is_refused() -> None:
    """A flipped bit raises as it does with aiokafka, and the position stays before it."""
    good, bad = batch(0, [0] * 3), bytearray(batch(3, [0] * 3))
    bad[-1] ^= 1
    records = read(fetched._Whole, good + bytes(bad), 0)

    with pytest.raises(CorruptRecordException):
        list(records)
    assert records.next_fetch_offset == 3


class Broker:
    """A fetcher whose fetches bring what lies in `answers`."""

    def __init__(self, answers: dict[TopicPartition, object], isolation_level: int = READ_UNCOMMITTED) -> None:
        self._records: dict[TopicPartition, object] = {}
        self._isolation_level = isolation_level
        self._answers = answers

    async def _proc_fetch_request(self, assignment: object, node_id: int, request: object) -> bool:
        self._records |= self._answers
        return True


def result(tp: TopicPartition, state: SimpleNamespace, raw: bytes) -> FetchResult:
    """What a fetcher keeps of a partition's answer."""
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    return FetchResult(tp, assignment=assignment, partition_records=read(PartitionRecords, raw, 0), backoff=0)


def standing() -> SimpleNamespace:
    """A partition read from offset 0 on."""
    state = SimpleNamespace(paused=False, position=0)
    state.consumed_to = lambda offset: setattr(state, "position", offset)
    return state


def test_only_the_topic_of_events_is_taken_out_whole() -> None:
    """Through the fetcher: pieces of events with the position moved, single records elsewhere, errors as they were."""
    events, other, error = standing(), standing(), object()
    most = fetched.RECORDS_MAX
    raw = batch(0, [0] * (2 * most + 200))
    broken = TopicPartition("live.events", 1)
    fetcher = Broker({EVENTS: result(EVENTS, events, raw), OTHER: result(OTHER, other, raw), broken: error})
    fetched.take_whole(fetcher, EVENTS.topic)
    asyncio.run(fetcher._proc_fetch_request(None, 0, None))
    found: Any = fetcher._records

    pieces = found[EVENTS].getall(2)
    assert [len(some.offsets) for some in pieces] == [most] * 2
    assert events.position == 2 * most
    assert sum(len(some.offsets) for some in found[EVENTS].getall()) == 200
    assert events.position == 2 * most + 200
    assert not found[EVENTS].has_more()
    assert [one.offset for one in found[OTHER].getall(2)] == [0, 1]
    assert found[broken] is error


def test_a_paused_or_moved_partition_gives_nothing() -> None:
    """What was fetched for a position that is not the present one, or for a paused partition, is dropped."""
    for changed in ({"paused": True}, {"position": 7}):
        state = standing()
        fetcher = Broker({EVENTS: result(EVENTS, state, batch(0, [0] * 3))})
        fetched.take_whole(fetcher, EVENTS.topic)
        asyncio.run(fetcher._proc_fetch_request(None, 0, None))
        vars(state).update(changed)
        held: Any = fetcher._records[EVENTS]

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
