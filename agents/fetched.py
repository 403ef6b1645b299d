"""What aiokafka has fetched, taken out as parallel lists of many records instead of one object for each.

The one place that knows the inside of aiokafka's fetcher. Reading on, pausing, seeking, losing a partition and
errors stay its business: only how the bytes of a fetch are unpacked is ours, and only of one topic.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import aiokafka  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.consumer.fetcher import (  # type: ignore[import-untyped]  # the same
    READ_UNCOMMITTED,
    Fetcher,
    FetchResult,
    PartitionRecords,
)
from aiokafka.errors import CorruptRecordException  # type: ignore[import-untyped]  # the same

from stream.errors import OperatorError

KNOWN = ("0.12", "0.13", "0.14")  # versions of aiokafka whose fetcher is as it is taken for here: read, and tested
RECORDS_MAX = 3000


class Records(NamedTuple):
    """Records of one partition in log order, as parallel lists; offsets may have holes."""

    values: list[bytes | None]
    keys: list[bytes | None]
    offsets: list[int]
    timestamps: list[int]


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
        some = Records([], [], [], [])
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            unpacked = [] if batch.is_control_batch else self._unread(batch)
            while unpacked:
                room = RECORDS_MAX - len(some.offsets)
                _add(unpacked[:room], some)
                self.next_fetch_offset = some.offsets[-1] + 1
                unpacked = unpacked[room:]
                if len(some.offsets) == RECORDS_MAX:
                    yield some
                    some = Records([], [], [], [])
            self.next_fetch_offset = batch.next_offset  # the last ones of a compacted batch may be gone
        if some.offsets:
            yield some

    def _unread(self, batch: Iterable[Any]) -> list[Any]:
        """What is new of a batch: brokers send whole ones, also where we ask from their middle on."""
        records, floor = list(batch), self.next_fetch_offset
        if records and records[0].offset < floor:
            return [record for record in records if record.offset >= floor]
        return records


def _add(records: list[Any], some: Records) -> None:
    some.values.extend([record.value for record in records])
    some.keys.extend([record.key for record in records])
    some.offsets.extend([record.offset for record in records])
    some.timestamps.extend([record.timestamp for record in records])
