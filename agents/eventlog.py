"""The gateway's way into Kafka: events of a room, and dead letters, written and acknowledged by all replicas.

It connects by itself, and again after the broker was away; until then it says so instead of waiting.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Self

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.errors import KafkaError, KafkaTimeoutError  # type: ignore[import-untyped]  # the same
from aiokafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]  # the same

from agents.idempotence import abandon, started
from agents.settings import Settings
from agents.topics import create_topics
from stream.errors import OperatorError
from stream.events import MAX_EVENT_BYTES

logger = logging.getLogger(__name__)

WRITE_TIMEOUT_MS = 5_000  # a sender that waits longer should rather come back; what times out here was not taken
LINGER_MS = 5  # single events of many senders share a request
MAX_BATCH_BYTES = 1_040_000  # one event of MAX_EVENT_BYTES and its wrapping; brokers take 1,048,588 by default
FEW = 16  # up to here events join the shared batch; above, a body is a batch of its own at a tenth of the cost
RECONNECT_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # then every 5 s
PROBE_TIMEOUT_S = 3.0
REJECTED_PARTITIONS = 1  # dead letters are few, and read by people

assert MAX_BATCH_BYTES > MAX_EVENT_BYTES


class Written(NamedTuple):
    """Positions the brokers acknowledged, in order, and what went wrong with the others."""

    taken: list[int]
    problem: str | None


class DeadLetter(NamedTuple):
    """A record for the rejected topic."""

    value: bytes
    headers: list[tuple[str, bytes]]


class EventLog:
    """Writes records; use it as `async with`, and `connected` tells whether it can."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._partition_of = DefaultPartitioner()
        self._connecting: asyncio.Task[None] | None = None
        self._closing = False
        self._idempotent = False

    async def __aenter__(self) -> Self:
        self._connecting = asyncio.create_task(self._connect(), name="eventlog-connect")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True  # a cancellation alone can be lost: wait_for of Python 3.11 drops it for an error
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._producer is not None:
            await abandon(self._producer)
            self._producer = None

    @property
    def connected(self) -> bool:
        """Was the broker found once? It may be away again: see `trouble`."""
        return self._producer is not None

    async def write(self, room: str, values: Sequence[bytes], arrived_ms: int) -> Written:
        """Append events to the room's partition in order, and wait until the brokers have them."""
        producer = self._producer
        if producer is None:
            return Written([], self._away())
        if not values:
            return Written([], None)
        sent: list[tuple[range, asyncio.Future[object]]] = []
        problem: str | None = None
        try:
            await self._submit(producer, room.encode(), values, arrived_ms, sent)
        except KafkaError as error:
            problem = _words(error)
        taken: list[int] = []
        outcomes = await self._outcomes(producer, [future for _, future in sent])
        for (positions, _), failure in zip(sent, outcomes, strict=True):
            if failure is None:
                taken.extend(positions)
            else:
                problem = problem or _words(failure)
        return Written(taken, problem)

    async def _outcomes(
        self, producer: AIOKafkaProducer, sent: Sequence["asyncio.Future[object]"]
    ) -> list[BaseException | None]:
        """What became of each write. After one that failed an idempotent producer is replaced."""
        if not sent:
            return []
        limit_s = WRITE_TIMEOUT_MS / 1000 if self._idempotent else None  # the other kind gives up by itself
        _, waiting = await asyncio.wait(sent, timeout=limit_s)
        for future in waiting:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody asks any more
        found = [future.exception() if future.done() else KafkaTimeoutError() for future in sent]
        if self._idempotent and any(found):
            self._replace(producer)
        return found

    def _replace(self, failed: AIOKafkaProducer) -> None:
        """Begin to make another producer; meanwhile this one goes on with the partitions that have no trouble."""
        if failed is self._producer and self._connecting is not None and self._connecting.done():
            self._connecting = asyncio.create_task(self._connect(failed), name="eventlog-connect")

    async def _submit(
        self,
        producer: AIOKafkaProducer,
        key: bytes,
        values: Sequence[bytes],
        arrived_ms: int,
        sent: list[tuple[range, "asyncio.Future[object]"]],
    ) -> None:
        topic = self._settings.events_topic
        if len(values) <= FEW:
            for position, value in enumerate(values):
                future = await producer.send(topic, value, key=key, timestamp_ms=arrived_ms)
                sent.append((range(position, position + 1), future))
            return
        partitions = sorted(await producer.partitions_for(topic))
        partition = self._partition_of(key, partitions, partitions)
        start = 0
        while start < len(values):
            batch = producer.create_batch()
            end = start
            while end < len(values) and batch.append(timestamp=arrived_ms, key=key, value=values[end]) is not None:
                end += 1
            batch.close()
            sent.append((range(start, end), await producer.send_batch(batch, topic, partition=partition)))
            start = end

    async def bury(self, room: str, letters: Sequence[DeadLetter]) -> int:
        """Write dead letters, and tell how many could not be written."""
        producer = self._producer
        if producer is None:
            return len(letters)
        futures: list[asyncio.Future[object]] = []
        for letter in letters:
            try:
                futures.append(
                    await producer.send(
                        self._settings.rejected_topic, letter.value, key=room.encode(), headers=letter.headers
                    )
                )
            except KafkaError as error:
                logger.warning("dead letters of room %r not written: %s", room, _words(error))
                break
        outcomes = await self._outcomes(producer, futures)
        return len(letters) - outcomes.count(None)

    async def trouble(self) -> str | None:
        """Why nothing can be written now; None when all is well."""
        if self._producer is None:
            return self._away()
        client = self._producer.client
        try:
            answered = await asyncio.wait_for(client.force_metadata_update(), PROBE_TIMEOUT_S)
        except (TimeoutError, KafkaError):
            answered = False
        if not answered:
            return self._away()
        topic = self._settings.events_topic
        if not client.cluster.partitions_for_topic(topic):
            return f"the broker at {self._settings.kafka} has no topic {topic}"
        return None

    def _away(self) -> str:
        return f"no Kafka broker answers at {self._settings.kafka}"

    async def _connect(self, failed: AIOKafkaProducer | None = None) -> None:
        """Make a producer instead of the one that `failed`, or the first one, however long it takes."""
        attempt = 0
        while self._producer is failed and not self._closing:
            try:
                self._producer, self._idempotent = await self._start(first=failed is None)
            except (OperatorError, KafkaError, OSError, TimeoutError) as error:
                pause_s = RECONNECT_S[min(attempt, len(RECONNECT_S) - 1)]
                log = logger.warning if attempt in (0, len(RECONNECT_S)) else logger.debug
                log("not connected to Kafka, events are answered with 503: %s", error)
                if not self._closing:
                    await asyncio.sleep(pause_s)
                attempt += 1
        if failed is not None:
            await abandon(failed, flush_s=WRITE_TIMEOUT_MS / 1000)
        logger.debug("writing to %s at %s", self._settings.events_topic, self._settings.kafka)

    async def _start(self, first: bool) -> tuple[AIOKafkaProducer, bool]:
        settings = self._settings
        topics = {settings.events_topic: settings.partitions, settings.rejected_topic: REJECTED_PARTITIONS}
        if first:  # asking a broker about a topic may make it, with the broker's number of partitions instead of ours
            await create_topics(settings.kafka, topics, settings.replication)
        producer, idempotent = await started(partial(new_producer, settings))
        try:
            # Both at once: a client that knows one of them asks for that one only, and a record of the other waits for
            # a leader it never learns of.
            await producer.client.set_topics(list(topics))
        except BaseException:
            await abandon(producer)
            raise
        return producer, idempotent


def check_bootstrap(kafka: str) -> None:
    """Raises OperatorError unless `kafka` is host:port, several with commas: a typo is told at the start."""
    for address in kafka.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise OperatorError(
                f"{kafka!r} names no Kafka broker; set LIVEROOM_KAFKA to host:port, several with commas"
            )


def new_producer(settings: Settings, idempotent: bool = False) -> AIOKafkaProducer:
    """A producer that waits for all replicas, not yet started."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=idempotent,
        linger_ms=LINGER_MS,
        request_timeout_ms=WRITE_TIMEOUT_MS,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=MAX_BATCH_BYTES,
    )


def _words(error: BaseException) -> str:
    text = str(error)
    return text if text.startswith(type(error).__name__) else f"{type(error).__name__}: {text}".rstrip(": ")
