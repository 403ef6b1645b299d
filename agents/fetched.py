"""What aiokafka has fetched, as columns that say where in its bytes the records lie: no object is made for a record.

The one place that knows the inside of aiokafka's fetcher. Reading on, pausing, seeking, losing a partition and
errors stay its business, as do checksums, codecs and batches older than version 2: only how the records of a newer
batch are unpacked is ours, and only of one topic.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import aiokafka  # type: ignore[import-untyped]  # aiokafka ships no types
import numpy as np
from aiokafka import codec
from aiokafka.consumer import fetcher as fetching  # type: ignore[import-untyped]  # the same
from aiokafka.consumer.fetcher import (  # type: ignore[import-untyped]  # the same
    READ_UNCOMMITTED,
    Fetcher,
    FetchResult,
    PartitionRecords,
)
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError  # type: ignore[import-untyped]  # the same
from aiokafka.record.memory_records import MemoryRecords  # type: ignore[import-untyped]  # the same

from agents import layout
from stream.columns import Raws
from stream.errors import OperatorError
from stream.loops import Ints

KNOWN = ("0.12", "0.13", "0.14")  # versions of aiokafka whose fetcher is as it is taken for here: read, and tested
RECORDS_MAX = 10_000  # applied without a pause: some 25 ms. The more, the better a room's share fits the caches

_CODECS = {
    1: ("gzip", codec.has_gzip, codec.gzip_decode),
    2: ("snappy", codec.has_snappy, codec.snappy_decode),
    3: ("lz4", codec.has_lz4, codec.lz4_decode),
    4: ("zstd", codec.has_zstd, codec.zstd_decode),
}


class Records(NamedTuple):
    """Records of one partition in log order, as columns.

    `keys` and `values` are (n, 2): [start, end) in `data`, (-1, -1) for null. One byte more, of any kind, follows the
    last of them in `data`. `offsets` rise and may have holes; `timestamps` are ms, -1 where a record has none.
    """

    data: bytes
    keys: Ints
    values: Ints
    offsets: Ints
    timestamps: Ints

    @property
    def raws(self) -> Raws:
        """The records without their places in the log."""
        return Raws(self.data, self.values, self.keys)


def check_client() -> None:
    """Raises OperatorError where the installed aiokafka is none of those this module knows."""
    version = str(aiokafka.__version__)
    if ".".join(version.split(".")[:2]) not in KNOWN:
        raise OperatorError(
            f"aiokafka {version} is not one that this version reads records with; install aiokafka {KNOWN[0]} to "
            f"{KNOWN[-1]}, for example with pip install 'aiokafka=={KNOWN[-1]}.*'"
        )


def rehearse() -> None:
    """Compile the loops that every fetch passes, or find them on disk."""
    _walked(b"\0", layout.batches(_numbers(b"\0")), 0)


def take_whole(fetcher: Fetcher, topic: str) -> None:
    """From now on `fetcher` answers with `Records` for the partitions of `topic`, as if each was one record.

    To be called before anything is fetched. In the module of aiokafka's fetcher MemoryRecords is replaced by one that
    keeps its bytes: all fetchers of the process are given it, and go on as they were. Raises ValueError for a fetcher
    that reads transactions: their aborted records are not looked for here.
    """
    if fetcher._isolation_level != READ_UNCOMMITTED:
        raise ValueError("only for a consumer that reads uncommitted records")
    fetching.MemoryRecords = Kept
    proceed = fetcher._proc_fetch_request

    async def proceed_whole(*request: Any) -> bool:
        woke: bool = await proceed(*request)
        # Nothing awaits between the answer's arrival among the fetched and here: nobody has read of it.
        for tp, result in fetcher._records.items():
            if tp.topic == topic and type(result) is FetchResult:
                _replace(result)
        return woke

    fetcher._proc_fetch_request = proceed_whole


def _replace(result: FetchResult) -> None:
    held = result._partition_records
    if held is None or type(held) is _Whole:
        return
    result._partition_records = _Whole(
        held._tp, held._records, (), held.next_fetch_offset, None, None, held._check_crcs, held._isolation_level
    )


class Kept(MemoryRecords):  # type: ignore[misc]  # aiokafka ships no types
    """The batches of a fetch, with the bytes that they lie in."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class _Whole(PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """The records of one fetch and partition, as many whole batches at a time as have RECORDS_MAX records, or parts.

    `next_fetch_offset` is read by aiokafka after each step: whatever was left out before it is not in the log.
    """

    def _unpack_records(self) -> Iterator[Records]:
        for batches in _runs(layout.batches(_numbers(self._records.data))):
            if batches[0, layout.MAGIC] == layout.BROKEN:
                raise CorruptRecordException(f"Invalid length, version or offset of a batch - {self._tp}")
            some, after = self._new(batches) if batches[0, layout.MAGIC] == layout.NEW else self._old(batches)
            n = len(some.offsets)
            for first in range(0, n, RECORDS_MAX):
                end = first + RECORDS_MAX
                # The last records of a compacted batch may be gone.
                self.next_fetch_offset = after if end >= n else int(some.offsets[end - 1]) + 1
                yield Records(some.data, *(column[first:end] for column in some[1:])) if n > RECORDS_MAX else some
            self.next_fetch_offset = after

    def _checked(self, batches: Ints) -> Iterator[Any]:
        """The same as aiokafka's own; it takes all of a fetch for the version of the first, so not more than these."""
        records = MemoryRecords(self._records.data[batches[0, layout.BEGIN] : batches[-1, layout.END]])
        while records.has_next():
            batch = records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            yield batch

    def _new(self, batches: Ints) -> tuple[Records, int]:
        """What is new of them, and where to read on: brokers send whole ones, also where we ask from their middle."""
        for _ in self._checked(batches) if self._check_crcs else ():
            pass
        data = self._records.data
        if batches[:, layout.CODEC].any():
            data, batches = _plain(data, batches)
        return _walked(data, batches, self.next_fetch_offset)

    def _old(self, batches: Ints) -> tuple[Records, int]:
        """The same of batches older than version 2, one object a record."""
        kept, after = [], self.next_fetch_offset
        for batch in self._checked(batches):
            for record in batch:
                if record.offset >= after:
                    kept.append(record)
                    after = record.offset + 1
            after = max(after, batch.next_offset)
        fields = [text for record in kept for text in (record.key, record.value)]
        ends = np.cumsum([len(text or b"") for text in fields], dtype=np.int64).reshape(-1, 2)
        starts = ends - np.array([len(text or b"") for text in fields], np.int64).reshape(-1, 2)
        spans = np.stack((starts, ends), axis=2)
        spans[np.array([text is None for text in fields], bool).reshape(-1, 2)] = -1
        offsets = np.array([record.offset for record in kept], np.int64)
        timestamps = np.array([-1 if record.timestamp is None else record.timestamp for record in kept], np.int64)
        data = b"".join([text or b"" for text in fields]) + b"\0"
        return Records(data, spans[:, 0].copy(), spans[:, 1].copy(), offsets, timestamps), after


def _numbers(data: bytes) -> layout.Bytes:
    return np.frombuffer(data, np.uint8)


def _runs(batches: Ints) -> Iterator[Ints]:
    """Batches of one version that follow each other and have RECORDS_MAX records at most; one that has more, alone."""
    first, held, before = 0, 0, None
    for row, (magic, count) in enumerate(batches[:, (layout.MAGIC, layout.COUNT)].tolist()):
        if row > first and (magic != before or held + count > RECORDS_MAX):
            yield batches[first:row]
            first, held = row, 0
        held, before = held + count, magic
    if first < len(batches):
        yield batches[first:]


def _plain(data: bytes, batches: Ints) -> tuple[bytes, Ints]:
    """The same batches without compression: the bytes of their records alone, and where they lie in these."""
    parts = [
        _unpacked(data[start:end], kind)
        for start, end, kind in batches[:, (layout.START, layout.END, layout.CODEC)].tolist()
    ]
    batches = batches.copy()
    batches[:, layout.END] = np.cumsum([len(part) for part in parts])
    batches[:, layout.START] = batches[:, layout.END] - [len(part) for part in parts]
    return b"".join(parts), batches


def _unpacked(records: bytes, kind: int) -> bytes:
    if not kind or not records:
        return records
    name, present, decode = _CODECS.get(kind, (f"{kind:#04x}", bool, bytes))
    if not present():
        raise UnsupportedCodecError(f"Libraries for {name} compression codec not found")
    try:
        return bytes(decode(records))
    except MemoryError:
        raise
    except Exception as error:  # each codec has errors of its own
        raise CorruptRecordException(f"Records that {name} cannot unpack: {error!r}") from error


def _walked(data: bytes, batches: Ints, floor: int) -> tuple[Records, int]:
    """The records of plain batches from offset `floor` on, and where to read on."""
    *columns, last, wrong = layout.walk(_numbers(data), batches, floor - 1)
    if wrong >= 0:
        raise CorruptRecordException(f"Invalid records in the batch at offset {batches[wrong, layout.BASE]}")
    return Records(data, *columns), last + 1
