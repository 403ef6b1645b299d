"""Events of a recording on their way into `live.events`, in batches filled by hand.

`send` for each event would cost several times the rest of a replay. What the client repeats because an answer was lost
counts once: the broker drops it where it can; else rooms know it by its id, since a batch spans but little room time.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # the same
from aiokafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]  # the same

from agents.idempotence import abandon, started
from agents.settings import Settings
from stream.dedupe import DEDUPE_S
from stream.errors import OperatorError
from stream.events import MAX_EVENT_BYTES

BATCH_BYTES = 256_000  # a quarter of what a broker takes at most, so that the next fills while one is under way
BATCH_SPAN_MS = DEDUPE_S * 500  # half of what a room remembers; the other half is for the time until the repeat
LINGER_S = 0.05  # an event waits at most so long for others to share its batch
CONNECT_TIMEOUT_S = 8.0
SEND_TIMEOUT_S = 20.0  # a broker may restart within it
ROOMS_MAX = 1_000_000  # rooms whose partition is remembered; more are sent, but not told apart in the report

_partition = DefaultPartitioner()


class _Open(NamedTuple):
    """A batch that is being filled, with events of before `until_ms`."""

    batch: Any
    until_ms: int


@dataclass(slots=True)
class Writer:
    """A producer, and the batch of each partition that is being filled."""

    producer: Any
    topic: str
    partitions: list[int]
    partition_of: dict[bytes, int] = field(default_factory=dict)
    batches: dict[int, _Open] = field(default_factory=dict)
    under_way: deque[tuple[asyncio.Future[Any], int]] = field(default_factory=deque)
    acknowledged: int = 0
    flushed: float = field(default_factory=time.monotonic)

    @classmethod
    async def connect(cls, settings: Settings) -> "Writer":
        """Raises OperatorError when the broker or the topic is missing."""
        try:
            producer, _ = await asyncio.wait_for(started(partial(_new_producer, settings)), CONNECT_TIMEOUT_S)
        except (KafkaError, OSError, TimeoutError, ValueError, OverflowError) as error:
            raise OperatorError(
                f"no Kafka broker answers at {settings.kafka} ({str(error) or type(error).__name__}); "
                "start it, or set LIVEROOM_KAFKA to where it is"
            ) from None
        topic = settings.events_topic
        try:
            partitions = await asyncio.wait_for(producer.partitions_for(topic), CONNECT_TIMEOUT_S)
        except (KafkaError, TimeoutError):
            await producer.stop()
            raise OperatorError(f"{settings.kafka} has no topic {topic}; start a worker, which makes it") from None
        return cls(producer, topic, sorted(partitions))

    async def add(self, at_ms: int, key: bytes, value: bytes) -> None:
        """Write soon; `at_ms` never falls. Waits while the broker is behind. Raises KafkaError when it is away."""
        partition = self.partition_of.get(key)
        if partition is None:
            partition = _partition(key, self.partitions, self.partitions)
            if len(self.partition_of) < ROOMS_MAX:
                self.partition_of[key] = partition
        held = self.batches.get(partition)
        if held is None or at_ms >= held.until_ms or held.batch.append(timestamp=None, key=key, value=value) is None:
            if held is not None:
                await self._send(partition)
            batch = self.producer.create_batch()
            batch.append(timestamp=None, key=key, value=value)  # an empty one takes any size
            self.batches[partition] = _Open(batch, at_ms + BATCH_SPAN_MS)
        if time.monotonic() - self.flushed > LINGER_S:
            await self.flush()

    async def flush(self) -> None:
        """Hand every open batch over; the acknowledgements may still be out."""
        for partition in list(self.batches):
            await self._send(partition)
        await asyncio.sleep(0)  # the sender is a task of this loop
        self.flushed = time.monotonic()
        while self.under_way and self.under_way[0][0].done():
            await self._acknowledge()

    async def finish(self) -> None:
        """Returns when the broker has everything. Raises KafkaError or TimeoutError."""
        await self.flush()
        while self.under_way:
            await self._acknowledge()

    async def close(self) -> None:
        """Let go of the broker; what is still under way is given up."""
        for waiting, _ in self.under_way:
            waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # the first error was enough
        await abandon(self.producer)

    async def _send(self, partition: int) -> None:
        """A full batch waits here until the one before it is taken: the file is read no faster than the broker eats."""
        batch, _ = self.batches.pop(partition)
        waiting = await self.producer.send_batch(batch, self.topic, partition=partition)
        self.under_way.append((waiting, batch.record_count()))

    async def _acknowledge(self) -> None:
        waiting, count = self.under_way.popleft()
        # An idempotent producer never gives up. Twice the time: one that does says more.
        await asyncio.wait_for(waiting, 2 * SEND_TIMEOUT_S)
        self.acknowledged += count


def _new_producer(settings: Settings, idempotent: bool) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=idempotent,
        max_batch_size=BATCH_BYTES,
        max_request_size=2 * MAX_EVENT_BYTES,
        request_timeout_ms=int(SEND_TIMEOUT_S * 1000),
    )
