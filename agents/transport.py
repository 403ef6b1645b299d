"""A Faust transport that hands over the records of one fetch together, and starts from positions of our own.

Faust's own way costs about 180 us a record before any work is done. Here the records of one partition of the
events topic become one message whose value is a `Batch`; other topics pass untouched. URL scheme: `joined://`.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple, cast

import faust
from aiokafka.errors import (  # type: ignore[import-untyped]  # aiokafka ships no types
    CommitFailedError,
    IllegalStateError,
    KafkaError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition  # type: ignore[import-untyped]  # the same
from faust.transport.drivers import TRANSPORTS, aiokafka
from faust.types import TP

from agents.fetched import Records, take_whole

logger = logging.getLogger(__name__)

SCHEME = "joined"
FETCH_MAX_WAIT_MS = 50  # 20 empty fetches a second and broker; measured: 14 ms from POST to prompt, 704 with Faust's

Positions = Callable[[Collection[int]], Awaitable[Mapping[int, int]]]


class Batch(NamedTuple):
    """Records of one partition in log order; offsets may have holes.

    Complete from `start` on: an offset between `start` and the last one that is not here is not in the log either.
    The log went up to `highwater` when they were fetched.
    """

    start: int
    highwater: int
    records: Records


class _Joined:
    """Stands in for the consumer record of a batch; its offset is the last one's."""

    __slots__ = (
        "checksum",
        "headers",
        "key",
        "offset",
        "partition",
        "serialized_key_size",
        "serialized_value_size",
        "timestamp",
        "timestamp_type",
        "topic",
        "value",
    )

    def __init__(self, tp: TP, batch: Batch) -> None:
        self.topic = tp.topic
        self.partition = tp.partition
        self.offset = int(batch.records.offsets[-1])
        self.timestamp = int(batch.records.timestamps[-1])
        self.timestamp_type = 0  # nobody asks
        self.headers = ()
        self.key = None
        self.checksum = None
        self.serialized_key_size = self.serialized_value_size = 0
        self.value = batch


class _Thread(aiokafka.AIOKafkaConsumerThread):
    """The thread that talks to Kafka. Seeks are made here too, so that each fetch knows from where on it is complete.

    Faust drops fetched records at several moments of a rebalance and trusts a later seek to bring them again. Here
    a batch that does not join what was applied shows itself, whatever became of the one before it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next: dict[tuple[str, int], int] = {}

    def place(self, tp: TP, offset: int) -> None:
        """Read on from `offset`; nothing where the partition is no longer ours."""
        consumer = self._ensure_consumer()
        if tp in consumer.assignment():
            consumer.seek(tp, offset)
            self._next[tp.topic, tp.partition] = offset

    async def on_start(self) -> None:
        """The client is started; nothing is fetched before the group has given us partitions."""
        await super().on_start()
        take_whole(self._ensure_consumer()._fetcher, cast("App", self.app).events_topic)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Another generation: the client itself starts each partition at what was committed, until we place it."""
        self._next.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        fetched = await super()._fetch_records(*args, **kwargs)
        topic = cast("App", self.app).events_topic  # nothing awaits between the fetcher's answer and here
        return {tp: self._join(tp, some) if tp.topic == topic else some for tp, some in fetched.items()}

    def _join(self, tp: TP, fetched: list[Records]) -> list[_Joined]:
        joined = []
        start = self._next.get((tp.topic, tp.partition), int(fetched[0].offsets[0]))
        highwater = self._ensure_consumer().highwater(tp) or 0
        for records in fetched:
            joined.append(_Joined(tp, Batch(start, highwater, records)))
            start = int(records.offsets[-1]) + 1
        self._next[tp.topic, tp.partition] = start
        return joined

    async def _commit(self, offsets: Any) -> bool:
        # Our positions stand in Redis; a commit that fails costs nobody more than a stale figure of a lag tool.
        try:
            ours = {tp: offset for tp, offset in offsets.items() if tp in self.assignment()}
            self.tp_last_committed_at.update(dict.fromkeys(ours, time.monotonic()))
            await self._ensure_consumer().commit(_plain(ours))
        except KafkaError as error:
            logger.debug("offsets not committed: %r", error)
            return False
        except Exception as error:  # Faust would end the consumer for it
            logger.warning("offsets not committed: %r", error)
            return False
        return True

    def _create_worker_consumer(self, transport: Any) -> Any:
        # Faust asks brokers to hold an empty fetch for 1.5 s; the embedded one sleeps half of that whatever comes in.
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        return consumer

    async def recognised(self, offsets: Mapping[TP, int]) -> bool:
        """Does the group's coordinator take a commit from us, in our generation? Raises KafkaError if it is away."""
        try:
            await self._ensure_consumer().commit(_plain(offsets))
        except (CommitFailedError, IllegalStateError):
            return False
        return True


def _plain(offsets: Mapping[TP, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    """Offsets as aiokafka wants them: a TP of Faust's own looks the same, and is refused."""
    return {TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}


class Consumer(aiokafka.Consumer):
    """Joins what was fetched, and seeks to the positions that the app's `positions` states."""

    app: "App"
    _thread: _Thread

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # Every message of the events topic would leave one, and gaps in interval trees cost more than all else here.
        if tp.topic != self.app.events_topic:
            # Faust counts the delivered offset itself as part of the gap before it; then a commit never gets past it.
            await super()._add_gap(tp, offset_from, offset_to - 1)

    def _new_offset(self, tp: TP) -> int | None:
        """What to commit of a partition: of the events topic, which one agent reads in order, up to the newest done."""
        if tp.topic != self.app.events_topic:
            return super()._new_offset(tp)
        done = self._acked[tp]
        if not done:
            return None
        newest = max(done)
        done.clear()
        self._acked_index[tp].clear()
        return newest + 1

    async def perform_seek(self) -> None:
        """Faust asks for committed offsets after each assignment; ours stand with the snapshots."""
        ours = self.events_partitions()
        self.app.owned(ours)
        await self.place(ours)

    async def place(self, partitions: Collection[int]) -> None:
        """Read each of these partitions of ours on from where the app's `positions` says."""
        positions = await self.app.positions(partitions)
        for partition, offset in positions.items():
            tp = TP(self.app.events_topic, partition)
            self._committed_offset[tp] = offset or None
            await self.seek(tp, offset)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._read_offset[partition] = offset or None  # before the first record of the new place can come
        await self._thread.call_thread(self._thread.place, partition, offset)  # type: ignore[arg-type]  # may be sync

    def events_partitions(self) -> set[int]:
        """The partitions of the events topic that the group has given us."""
        return {tp.partition for tp in self.assignment() if tp.topic == self.app.events_topic}

    async def recognised(self, partition: int, offset: int) -> bool:
        """Is this partition ours in the eyes of the group's coordinator, at this moment? Raises KafkaError."""
        tp = TP(self.app.events_topic, partition)
        answer: bool = await self._thread.call_thread(self._thread.recognised, {tp: offset})
        return answer


class Transport(aiokafka.Transport):
    """Registered for `joined://`."""

    Consumer = Consumer


class App(faust.App):
    """A Faust app whose events come joined; set these before it starts.

    `owned` is told the partitions after each assignment, then `positions` is asked where to read them from.
    """

    events_topic: str
    owned: Callable[[Collection[int]], None]
    positions: Positions
    consumer: Consumer

    async def on_first_start(self) -> None:
        """Faust makes a directory for tables here; we have none, and a worker that is killed could not remove it."""


TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"
