"""What aiokafka has fetched, taken out as parallel lists of many records instead of one object for each.

The one place that knows the inside of aiokafka's fetcher. Reading on, pausing, seeking, losing a partition and
errors stay its business: only how the bytes of a fetch are unpacked is ours, and only of one topic.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import aiokafka  # type: ignore[import-untyped]  # aiokafka ships no types
import numpy as np
from aiokafka.consumer.fetcher import (  # type: ignore[import-untyped]  # the same
    READ_UNCOMMITTED,
    Fetcher,
    FetchResult,
    PartitionRecords,
)
from aiokafka.errors import CorruptRecordException  # type: ignore[import-untyped]  # the same

from stream.columns import Raws, joined
from stream.errors import OperatorError
from stream.loops import Ints

KNOWN = ("0.12", "0.13", "0.14")  # versions of aiokafka whose fetcher is as it is taken for here: read, and tested
RECORDS_MAX = 3000


class Records(NamedTuple):
    """Records of one partition in log order, as arrays; offsets, which may have holes, and times in ms."""

    raws: Raws
    offsets: Ints
    timestamps: Ints


def check_client() -> None:
    """Raises OperatorError where the installed aiokafka is none of those this module knows."""
    version = str(aiokafka.__version__)
    if ".".join(version.split(".")[:2]) not in KNOWN:
        raise OperatorError(
            f"aiokafka {version} is not one that this version reads records with; install aiokafka {KNOWN[0]} to "
            f"{KNOWN[-1]}, for example with pip install 'aiokafka=={KNOWN[-1]}.*'"
        )


def take_whole(fetcher: Fetcher, topic: str) -> None:
    """From now on `fetcher` answers with `Records` for the partitions of `topic`, as if each was one record.

    Raises ValueError for a fetcher that reads transactions: their aborted records are not looked for here.
    """
    if fetcher._isolation_level != READ_UNCOMMITTED:
        raise ValueError("only for a consumer that reads uncommitted records")
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


class _Whole(PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """The records of one fetch and partition, RECORDS_MAX at a time.

    `next_fetch_offset` is read by aiokafka after each step: whatever was left out before it is not in the log.
    """

    def _unpack_records(self) -> Iterator[Records]:
        some: _Lists = [], [], [], []
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            unpacked = [] if batch.is_control_batch else self._unread(batch)
            while unpacked:
                room = RECORDS_MAX - len(some[2])
                _add(unpacked[:room], some)
                self.next_fetch_offset = some[2][-1] + 1
                unpacked = unpacked[room:]
                if len(some[2]) == RECORDS_MAX:
                    yield _arrays(some)
                    some = [], [], [], []
            self.next_fetch_offset = batch.next_offset  # the last ones of a compacted batch may be gone
        if some[2]:
            yield _arrays(some)

    def _unread(self, batch: Iterable[Any]) -> list[Any]:
        """What is new of a batch: brokers send whole ones, also where we ask from their middle on."""
        records, floor = list(batch), self.next_fetch_offset
        if records and records[0].offset < floor:
            return [record for record in records if record.offset >= floor]
        return records


_Lists = tuple[list[bytes | None], list[bytes | None], list[int], list[int]]


def _add(records: list[Any], some: _Lists) -> None:
    some[0].extend([record.value for record in records])
    some[1].extend([record.key for record in records])
    some[2].extend([record.offset for record in records])
    some[3].extend([record.timestamp for record in records])


def _arrays(some: _Lists) -> Records:
    return Records(joined(some[0], some[1]), np.array(some[2]), np.array(some[3]))
