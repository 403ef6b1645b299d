"""The rooms a worker owns: feeds them the records of their partitions, carries away what they say, saves them.

It decides nothing: every decision is the core's. Nothing here awaits between a record and the room it belongs to,
so what is saved is always a whole number of records.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import RedisError

from agents.settings import Settings
from agents.store import Snapshot, Store, unpack
from agents.telemetry import Telemetry
from stream.errors import RejectedEvent, SnapshotError
from stream.events import decode
from stream.numbers import Number
from stream.playbook import Playbook
from stream.prompts import OfferProgress, Prompt, PromptState
from stream.room import RoomConfig, RoomState, Said, ShowEnded

logger = logging.getLogger(__name__)

TICK_KEY = b"~clock"
TICK = b'{"type":"clock.tick","room":"~clock"}'
"""Time itself is in the log: one such record a second and partition, so that a replay decides as the first run did."""
OUTBOX_MAX = 20_000  # what rooms said and nobody has taken yet; beyond it the worker stops reading
RETRY_S = (0.1, 0.3, 1.0, 2.0, 5.0)  # then every 5 s
SAVE_SHARE = 0.05  # of the worker's time that saving may take

Send = Callable[[str, bytes | None, bytes | None, list[tuple[str, bytes]], int | None], Awaitable[None]]
"""Write one record (topic, key, value, headers, partition) and return when all replicas have it."""


class DeadLetter(NamedTuple):
    """A record nobody can take, and why."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    rejected: RejectedEvent


class Kept:
    """A room and what this process remembers of it."""

    __slots__ = ("offset", "published", "published_at_ms", "saved_closed", "saved_offset", "state")

    def __init__(self, state: RoomState, offset: int) -> None:
        self.state = state
        self.offset = offset
        self.saved_offset = offset
        self.saved_closed = state.closed
        self.published: dict[str, bytes] = {}
        self.published_at_ms = 0


class Partition:
    """One partition: the next offset to read, and its rooms."""

    __slots__ = ("next_offset", "number", "rooms", "saved_next")

    def __init__(self, number: int, next_offset: int) -> None:
        self.number = number
        self.next_offset = next_offset
        self.saved_next = -1
        self.rooms: dict[str, Kept] = {}


class Rooms:
    """Every room of every partition this worker owns."""

    def __init__(self, settings: Settings, playbook: Playbook, store: Store, send: Send, telemetry: Telemetry) -> None:
        self.settings = settings
        self.playbook = playbook
        self.store = store
        self.telemetry = telemetry
        self.partitions: dict[int, Partition] = {}
        self._save_s = 0.0
        self._send = send
        self._outbox: deque[tuple[int, str, Any]] = deque()
        self._taken = 0  # outbox entries ever put in, and carried away
        self._carried = 0
        self._wake = asyncio.Event()
        self._room_left = asyncio.Event()
        self._room_left.set()
        self._saving = asyncio.Lock()
        self._config = RoomConfig(
            lateness_ms=settings.lateness_ms,
            language=settings.language,
            online_source=settings.online_source or None,
            sources=frozenset(filter(None, settings.sources.split(","))),
        )

    def states(self) -> list[RoomState]:
        """Every room held."""
        return [kept.state for partition in self.partitions.values() for kept in partition.rooms.values()]

    # --- ownership

    async def positions(self, partitions: Collection[int]) -> dict[int, int]:
        """After an assignment: drop what is no longer ours, load what is new, and say where to read on.

        A partition kept through the rebalance goes on from memory, unless another worker has since saved a newer
        position. Waits for Redis as long as it takes.
        """
        for number in [number for number in self.partitions if number not in partitions]:
            del self.partitions[number]
        saved = await self._patiently(self.store.positions)
        for number in partitions:
            held = self.partitions.get(number)
            if held is not None and held.next_offset >= saved.get(number, 0):
                continue
            self.partitions[number] = await self._patiently(partial(self._load, number, saved.get(number, 0)))
        return {number: self.partitions[number].next_offset for number in partitions}

    async def _load(self, number: int, position: int) -> Partition:
        partition = Partition(number, position)
        for room, blob in await self.store.snapshots(number):
            try:
                snapshot = unpack(room, blob)
                state = RoomState(room, self.playbook, self._config)
                state.restore(snapshot.state)
            except (SnapshotError, msgspec.DecodeError, msgspec.ValidationError, KeyError, ValueError) as error:
                aside = await self.store.set_aside(room)
                logger.error("%s; it is kept as %s, and partition %d is rebuilt from the log", error, aside, number)
                return Partition(number, 0)
            partition.rooms[room] = Kept(state, snapshot.offset)
        partition.saved_next = position
        logger.info("partition %d: %d rooms, from offset %d", number, len(partition.rooms), position)
        return partition

    async def _patiently(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Call until Redis answers."""
        attempt = 0
        while True:
            try:
                result = await call()
                self.telemetry.redis_up.set(1)
                return result
            except (RedisError, OSError) as error:
                self.telemetry.redis_up.set(0)
                pause_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                if attempt in (0, 4) or attempt % 12 == 0:
                    logger.warning("Redis does not answer (%s); trying again every few seconds", error)
                attempt += 1
                await asyncio.sleep(pause_s)

    # --- records in

    def take(
        self,
        number: int,
        values: list[bytes | None],
        keys: list[bytes | None],
        offsets: list[int],
        arrivals_ms: list[int],
    ) -> None:
        """Apply records of one partition, in log order; those applied before are skipped.

        Never raises for what a record says.
        """
        partition = self.partitions.get(number)
        if partition is None:
            return
        touched: dict[str, Kept] = {}
        applied = 0
        for value, key, offset, arrived_ms in zip(values, keys, offsets, arrivals_ms, strict=True):
            if offset < partition.next_offset:
                continue
            partition.next_offset = offset + 1
            if key == TICK_KEY and value == TICK:
                self._tick(partition, arrived_ms, touched)
                continue
            try:
                event = decode(value, key)
                kept = partition.rooms.get(event.room)
                if kept is None:
                    kept = partition.rooms[event.room] = Kept(
                        RoomState(event.room, self.playbook, self._config), offset - 1
                    )
                if offset <= kept.offset:
                    continue
                kept.offset = offset
                touched[event.room] = kept
                kept.state.apply(event, arrived_ms)
                applied += 1
            except RejectedEvent as rejected:
                self._reject(DeadLetter(key, value, number, offset, rejected))
        self.telemetry.events.inc(applied)
        self._gather(touched.values())

    async def tick(self, key: bytes, value: bytes) -> None:
        """Write the passing of time into the log of each partition; without a broker there is nothing to tell."""
        sends = [self._send(self.settings.events_topic, key, value, [], number) for number in self.partitions]
        for result in await asyncio.gather(*sends, return_exceptions=True):
            if isinstance(result, Exception):
                logger.debug("a tick was not written: %r", result)

    def _tick(self, partition: Partition, now_ms: int, touched: dict[str, Kept]) -> None:
        for room, kept in partition.rooms.items():
            kept.state.advance(now_ms)
            touched[room] = kept

    def _reject(self, letter: DeadLetter) -> None:
        self.telemetry.rejected.labels(letter.rejected.reason).inc()
        self._put(letter.partition, "", letter)

    def _gather(self, touched: Iterable[Kept]) -> None:
        for kept in touched:
            for output in kept.state.drain():
                self._put(0, kept.state.room, output)
                if isinstance(output, Said) and isinstance(output.what, Prompt):
                    self.telemetry.prompts.labels(kept.state.room, output.what.play, output.what.audience).inc()

    def _put(self, partition: int, room: str, what: Any) -> None:
        self._outbox.append((partition, room, what))
        self._taken += 1
        self._wake.set()
        if len(self._outbox) >= OUTBOX_MAX:
            self._room_left.clear()

    async def wait_for_space(self) -> None:
        """Returns at once unless what rooms said has piled up; then when it was carried away."""
        await self._room_left.wait()

    # --- out

    async def carry(self) -> None:
        """Forever: take what rooms said to Redis and Kafka, in order, again and again until it is there."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            attempt = 0
            while self._outbox:
                some = [self._outbox[i] for i in range(min(500, len(self._outbox)))]
                try:
                    await self._deliver(some)
                except Exception as error:  # whatever it is, what was said must not be lost
                    if isinstance(error, RedisError):
                        self.telemetry.redis_up.set(0)
                    if attempt % 12 == 0:
                        logger.warning("cannot deliver %d outputs yet: %r", len(self._outbox), error)
                    await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                    attempt += 1
                    continue
                for _ in some:
                    self._outbox.popleft()
                self._carried += len(some)
                if len(self._outbox) < OUTBOX_MAX // 2:
                    self._room_left.set()

    async def _deliver(self, some: list[tuple[int, str, Any]]) -> None:
        entries = []
        sends: list[Awaitable[None]] = []
        for _, room, what in some:
            if isinstance(what, DeadLetter):
                sends.append(self._send_dead(what))
            elif isinstance(what, ShowEnded):
                await self.store.keep_show(what.recap)
            elif isinstance(what, Said):
                data = msgspec.json.encode(what.what)
                entries.append((room, what.id, _kind(what.what), data))
                if isinstance(what.what, Prompt):
                    sends.append(self._send(self.settings.prompts_topic, room.encode(), data, [], None))
        if entries:
            await self.store.say(entries)
            self.telemetry.redis_up.set(1)
        if sends:
            await asyncio.gather(*sends)

    async def _send_dead(self, letter: DeadLetter) -> None:
        headers = [
            ("reason", letter.rejected.reason.encode()),
            ("detail", letter.rejected.detail.encode()),
            ("topic", self.settings.events_topic.encode()),
            ("partition", str(letter.partition).encode()),
            ("offset", str(letter.offset).encode()),
        ]
        await self._send(self.settings.rejected_topic, letter.key, letter.value or b"", headers, None)

    async def settled(self) -> None:
        """Returns when everything said until now has been carried away."""
        goal = self._taken
        while self._carried < goal:
            self._wake.set()
            await asyncio.sleep(0.005)

    # --- saving and publishing

    async def save(self, partitions: Collection[int] | None = None) -> None:
        """Write positions and changed rooms. What those states have said is delivered first."""
        async with self._saving:
            began = time.perf_counter()
            for number in list(self.partitions if partitions is None else partitions):
                partition = self.partitions.get(number)
                if partition is None or partition.next_offset == partition.saved_next:
                    continue
                position = partition.next_offset  # rooms saved below may stand further on; they skip what they hold
                marks, snapshots = [], []
                for kept in list(partition.rooms.values()):
                    state = kept.state
                    if kept.offset == kept.saved_offset and state.closed == kept.saved_closed:
                        continue
                    marks.append((kept, kept.offset, state.closed))
                    snapshots.append(Snapshot(state.room, kept.offset, state.snapshot()))
                    await asyncio.sleep(0)
                await self.settled()
                if self.partitions.get(number) is not partition:
                    continue  # moved away meanwhile; its new owner goes on from the last save
                await self.store.save(number, position, snapshots)
                partition.saved_next = position
                for kept, offset, closed in marks:
                    kept.saved_offset, kept.saved_closed = offset, closed
            self._save_s = time.perf_counter() - began
            self.telemetry.saved(self._save_s)

    async def save_forever(self) -> None:
        """Save every `snapshot_s` seconds, less often when saving takes more than its share of the time."""
        while True:
            await asyncio.sleep(max(self.settings.snapshot_s, self._save_s / SAVE_SHARE))
            try:
                await self.save()
                self.telemetry.redis_up.set(1)
            except (RedisError, OSError) as error:
                self.telemetry.redis_up.set(0)
                logger.warning("cannot save now (%s); the rooms go on, and are saved when Redis answers", error)

    async def publish_forever(self) -> None:
        """Every `publish_ms`: the numbers that changed, of the rooms that closed a second since."""
        while True:
            await asyncio.sleep(self.settings.publish_ms / 1000)
            try:
                await self.publish()
            except (RedisError, OSError) as error:
                self.telemetry.redis_up.set(0)
                logger.debug("cannot publish numbers now: %s", error)

    async def publish(self) -> None:
        """Write the latest numbers of every room that moved."""
        for partition in list(self.partitions.values()):
            for kept in list(partition.rooms.values()):
                state = kept.state
                if state.show is None or state.at_ms == kept.published_at_ms:
                    continue
                fields = _fields(state)
                changed = {name: value for name, value in fields.items() if kept.published.get(name) != value}
                gone = [name for name in kept.published if name not in fields]
                about = {
                    "room": state.room,
                    "show_ms": state.show.show_ms,
                    "title": state.show.title,
                    "ended": state.show.ended_ms is not None,
                    "at_ms": state.at_ms,
                }
                at_ms = state.at_ms
                await self.store.publish(state.room, changed, gone, msgspec.json.encode(about))
                kept.published = fields
                kept.published_at_ms = at_ms


def _kind(what: Prompt | PromptState | OfferProgress) -> str:
    if isinstance(what, Prompt):
        return "prompt"
    return "state" if isinstance(what, PromptState) else "offer"


def _fields(state: RoomState) -> dict[str, bytes]:
    """A room's latest numbers as the fields of its hash."""
    encode: Callable[[Any], bytes] = msgspec.json.encode
    line = state.line()
    fields = {"at_ms": str(line.at_ms).encode()}
    number: Number
    for key, number in line.numbers.items():
        fields[f"n:{key}"] = encode(number)
    for product, numbers in line.products.items():
        fields[f"p:{product}"] = encode(numbers)
    return fields
