"""The rooms a worker owns: feeds them the records of their partitions, hands on what they say, saves them.

It decides nothing: every decision is the core's. Nothing here awaits between a record and the room it belongs to,
so what is saved is always a whole number of records. A partition is only worth what Redis lets us write for it: one
that is lost, to another worker or to an older Redis, is loaded again from what stands there and from the log.
"""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any, Protocol

import msgspec
import numpy as np
from redis.exceptions import RedisError

from agents import heap
from agents.fetched import Records
from agents.outbox import Outbox, Record, Send
from agents.partition import NEVER_SAVED, TICK, TICK_KEY, Kept, Partition
from agents.published import NOTHING, change
from agents.settings import Settings, room_config
from agents.shares import between_ticks, shared_out
from agents.store import Fence, Refused, Snapshot, Store, pack, revive
from agents.telemetry import Telemetry
from agents.ticks import Ticks
from agents.transport import Batch
from stream.errors import OperatorError, RejectedEvent, SnapshotError
from stream.playbook import Playbook
from stream.prompts import Prompt
from stream.room import RoomState, Said, ShowEnded

logger = logging.getLogger(__name__)

RETRY_S = (0.1, 0.3, 1.0, 2.0)  # then every 2 s
PUBLISH_SHARE = 0.1  # of the worker's time that making lines may take; writing them to Redis costs about as much again
PUBLISH_SHARE_BEHIND = 0.03  # while it is far behind the log: numbers on screens are history then, events come first
FAR_BEHIND = 5_000  # records: half a second of the largest room
SAVE_SHARE = 0.05  # of the worker's time that making snapshots may take
SAVE_BYTES = 4_000_000  # written at once; Redis serves nobody else meanwhile
BEHIND = 10  # records the log is ahead of us; a few ticks are no sign of catching up


class Group(Protocol):
    """What the rooms must know of the consumer group."""

    def generation(self) -> int:
        """The newest one that we belong to."""

    async def recognised(self, partition: int, offset: int) -> bool:
        """Does the coordinator hold that we own this partition, in that generation? Raises when it does not answer."""


class Rooms:
    """Every room of every partition this worker owns."""

    def __init__(
        self,
        settings: Settings,
        playbook: Playbook,
        store: Store,
        send: Send,
        telemetry: Telemetry,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.playbook = playbook
        self.store = store
        self.telemetry = telemetry
        self.partitions: dict[int, Partition] = {}
        self.group: Group
        self.outbox = Outbox(settings, store, send, telemetry)
        self.ticks = Ticks(self._told)
        self.broken: OperatorError | None = None  # the log is not the one we read before
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._now = now
        self._save_s = 0.0
        self._publish_s = 0.0
        self._send = send
        self._saving = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._config = room_config(settings)

    def states(self) -> list[RoomState]:
        """Every room held and ours."""
        held = [partition for partition in self.partitions.values() if not partition.lost]
        return [kept.state for partition in held for kept in partition.rooms.values()]

    # --- ownership

    def owned(self, partitions: Collection[int]) -> None:
        """The group has given us these partitions; whatever else is held here is not ours any more."""
        gone = [number for number in self.partitions if number not in partitions]
        for number in gone:
            self.partitions.pop(number).lost = True
        if gone:
            heap.thaw()

    def astray(self, partitions: Collection[int]) -> list[int]:
        """Of these partitions of ours, those that must be placed: not loaded, lost, or read with a hole."""
        return [
            number for number in partitions if (held := self.partitions.get(number)) is None or held.lost or held.hole
        ]

    async def positions(self, partitions: Collection[int]) -> dict[int, int]:
        """Take these partitions over, as far as we may, and say where to read on.

        One that nobody else has written for since we did goes on from memory. Waits for Redis as long as it takes.
        """
        found: dict[int, int] = {}
        for number in partitions:
            async with self._loading:
                held = await self._patiently(partial(self._take_over, number))
            if held is not None:
                held.hole = False
                found[number] = held.next_offset
        return found

    async def _take_over(self, number: int) -> Partition | None:
        fence = Fence(self.group.generation(), self._owner)
        done, before = await self.store.claim(number, fence)
        held = self.partitions.get(number)
        if not done and before is not None:
            position = (await self.store.positions()).get(number, 0)
            if not await self._recognised(number, position):
                logger.info("partition %d is another worker's (%s); waiting for our next generation", number, before)
                return None
            # The group counts from the beginning again, as after a week without members, or it is another group.
            done, before = await self.store.claim(number, fence, instead_of=before)
            if not done:
                return None
            logger.warning("partition %d: the group counts anew; taken over from %s", number, before)
        if held is not None and not held.lost and before is not None and before.owner == self._owner:
            held.fence = fence
            return held
        if held is not None:
            held.lost = True  # what it still had to say, the one loaded now says again
            heap.thaw()
        try:
            self.partitions[number] = await self._load(number, fence)
        except Refused:
            return None
        return self.partitions[number]

    async def _recognised(self, number: int, position: int) -> bool:
        try:
            return await self.group.recognised(number, position)
        except Exception as error:  # whatever it is: who is not recognised does not write
            logger.warning("the coordinator does not say whose partition %d is: %r", number, error)
            return False

    async def _load(self, number: int, fence: Fence) -> Partition:
        began = time.perf_counter()
        position = (await self.store.positions()).get(number, NEVER_SAVED)
        partition = Partition(number, max(0, position), fence)
        partition.saved_next = position
        for room, blob in await self.store.snapshots(number):
            await asyncio.sleep(0)
            state = RoomState(room, self.playbook, self._config)
            try:
                offset = revive(state, blob)
            except SnapshotError as error:
                aside = await self.store.set_aside(number, fence, room)
                logger.error("%s; it is kept as %s, and the room is rebuilt from the log", error, aside)
                partition.next_offset, partition.saved_next = 0, NEVER_SAVED
                continue
            partition.rooms[room] = Kept(state, offset)
            partition.hear(state.clock.arrived_ms)
        seconds = time.perf_counter() - began
        rooms = len(partition.rooms)
        logger.info("partition %d: %d rooms in %.2f s, from offset %d", number, rooms, seconds, partition.next_offset)
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
                if attempt in (0, 4) or attempt % 30 == 0:
                    logger.warning("Redis does not answer (%s); trying again every few seconds", error)
                attempt += 1
                await asyncio.sleep(pause_s)

    # --- records in

    def take(self, number: int, batch: Batch) -> None:
        """Apply records of one partition, in log order; those applied before are skipped.

        Never raises for what a record says.
        """
        partition = self.partitions.get(number)
        if partition is None or partition.lost or partition.hole:
            return  # to be placed first; then they come again
        if batch.start > partition.next_offset:
            logger.info("partition %d: read again from %d, since %d", number, partition.next_offset, batch.start)
            partition.hole = True
            return
        records = batch.records
        last, last_ms = int(records.offsets[-1]), int(records.timestamps[-1])
        if records.offsets[0] < batch.start:
            self._shrunk(partition, batch)
            return
        touched: dict[str, Kept] = {}
        first = int(np.searchsorted(records.offsets, partition.next_offset))
        for part in between_ticks(records.raws, first):
            self._apply(partition, records, part, touched)
            if part.stop < len(records.offsets):
                self.ticks.mark(partition, int(records.timestamps[part.stop]))
        partition.next_offset = max(partition.next_offset, last + 1)
        partition.hear(last_ms)
        partition.behind = batch.highwater - partition.next_offset
        behind = partition.behind > BEHIND
        self._gather(partition, touched.values(), self._now() * 1000 - last_ms if behind else 0)

    def _apply(self, partition: Partition, records: Records, part: slice, touched: dict[str, Kept]) -> None:
        """Apply the events of a part of some records, those of each room together."""
        raws, offsets, arrived = records.raws.part(part), records.offsets[part], records.timestamps[part]
        applied = 0

        def bury(place: int, fault: Exception) -> None:
            self._bury(partition, int(offsets[place]), raws.key(place), raws.value(place), fault)

        for room, came, found in shared_out(raws, bury):
            kept = partition.rooms.get(room)
            if kept is None:
                kept = Kept(RoomState(room, self.playbook, self._config), int(offsets[found[0]]) - 1)
                partition.rooms[room] = kept
            new = np.flatnonzero(offsets[found] > kept.offset)
            events, places = (came, found) if len(new) == len(found) else (came.part(new), found[new])
            if not len(places):
                continue
            touched[room] = kept
            self.ticks.tell(kept)
            kept.offset = int(offsets[places[-1]])
            faults = kept.state.apply_all(events, arrived[places])
            for place, fault in faults:
                bury(int(places[place]), fault)
            applied += len(events) - len(faults)
        self.telemetry.events.inc(applied)

    def _bury(
        self, partition: Partition, offset: int, key: bytes | None, value: bytes | None, fault: Exception
    ) -> None:
        """A record that nobody can take goes to the dead letters."""
        if not isinstance(fault, RejectedEvent):  # ours, not the sender's: the other rooms must not stand still for it
            logger.error("record %d of partition %d could not be applied", offset, partition.number, exc_info=fault)
            fault = RejectedEvent("invalid", f"our own fault: {fault!r}")
        self.telemetry.rejected.labels(fault.reason).inc()
        self.outbox.bury(partition, offset, key, value, fault)

    def _shrunk(self, partition: Partition, batch: Batch) -> None:
        """The broker had nothing at our position and began anew: going on would skip what has come since."""
        topic = self.settings.events_topic
        partition.lost = True
        self.broken = OperatorError(
            f"partition {partition.number} of {topic} ends before offset {batch.start}, up to which its "
            f"rooms are saved: the topic was made anew or has lost records. If the log is right as it is, delete the "
            f"Redis keys liveroom:positions:{topic}, liveroom:members:{topic}:* and liveroom:snapshot:*, and start "
            "the workers again"
        )

    def _told(self, partition: Partition, kept: Kept, tick_ms: int) -> None:
        """A room has heard of a tick. How old that is by now says the log's clock, unless we are behind the log."""
        now_ms = self._now() * 1000 if partition.behind > BEHIND else partition.now_ms() or 0
        self._gather(partition, (kept,), now_ms - tick_ms)

    def _gather(self, partition: Partition, touched: Iterable[Kept], age_ms: float) -> None:
        """Hand on what the rooms say about records that are `age_ms` old; a prompt no longer valid is recorded only."""
        for kept in touched:
            room = kept.state.room
            for output in kept.state.drain():
                if isinstance(output, ShowEnded):
                    self.outbox.keep(partition, output.recap)
                elif isinstance(output, Said):
                    past = False
                    if isinstance(output.what, Prompt):
                        past = age_ms >= output.what.expires_ms - output.what.issued_ms
                        self.telemetry.prompts.labels(room, output.what.play, output.what.audience).inc()
                    self.outbox.say(partition, room, output, past)

    async def tick(self) -> None:
        """Write the passing of time into the log of each partition with rooms.

        By the log's own clock, as far as the broker does not use its own. Without a broker there is nobody to tell.
        """
        topic = self.settings.events_topic
        sends = [
            self._send(Record(topic, TICK_KEY, TICK, (), partition.number, partition.now_ms()))
            for partition in self.partitions.values()
            if partition.rooms and not partition.lost
        ]
        for result in await asyncio.gather(*sends, return_exceptions=True):
            if isinstance(result, Exception):
                logger.debug("a tick was not written: %r", result)

    # --- saving and publishing

    async def save(self, partitions: Collection[int] | None = None) -> None:
        """Write positions and changed rooms. What those states have said is delivered first."""
        async with self._saving:
            began = time.perf_counter()
            self._save_s = 0.0
            for number in list(self.partitions if partitions is None else partitions):
                partition = self.partitions.get(number)
                if partition is None or partition.lost or partition.next_offset == partition.saved_next:
                    continue
                try:
                    await self._save(partition)
                except Refused:
                    partition.lost = True
                    logger.warning("partition %d: not ours to save any more, or Redis is an older one", number)
            self.telemetry.saved(time.perf_counter() - began)

    async def _save(self, partition: Partition) -> None:
        position = partition.next_offset  # rooms saved below may stand further on; they skip what they hold
        marks, blobs = [], {}
        for kept in list(partition.rooms.values()):
            self.ticks.tell_and_say(partition, kept)  # the position is beyond the tick, and nobody reads it again
            if kept.changed():
                began = time.thread_time()  # a process that was stopped meanwhile has not worked for so long
                marks.append((kept, kept.offset, kept.state.closed))
                blobs[kept.state.room] = pack(Snapshot(kept.state.room, kept.offset, kept.state.snapshot()))
                self._save_s += time.thread_time() - began
                await asyncio.sleep(0)
        await self.outbox.settled()
        if self.partitions.get(partition.number) is not partition or partition.lost:
            return  # moved away meanwhile; its new owner goes on from the last save
        before = {partition.saved_next, *partition.unsure}
        some: dict[str, bytes] = {}
        for room, blob in blobs.items():
            some[room] = blob
            if sum(map(len, some.values())) > SAVE_BYTES:
                # Ahead of their position, which only moves with the last of them: they skip what they hold.
                await self.store.save(partition.number, partition.fence, before, None, some)
                some = {}
        partition.unsure.add(position)
        await self.store.save(partition.number, partition.fence, before, position, some)
        partition.unsure.clear()
        partition.saved_next = position
        for kept, offset, closed in marks:
            kept.saved_offset, kept.saved_closed = offset, closed

    async def save_forever(self) -> None:
        """Save every `snapshot_s` seconds, less often when snapshots take more than their share of the time."""
        while True:
            await asyncio.sleep(max(self.settings.snapshot_s, self._save_s / SAVE_SHARE))
            try:
                await self.save()
                self.telemetry.redis_up.set(1)
            except (RedisError, OSError) as error:
                self.telemetry.redis_up.set(0)
                logger.warning("cannot save now (%s); the rooms go on, and are saved when Redis answers", error)
            except Exception:  # our own fault: unsaved rooms cost time after a restart, a dead worker the whole show
                logger.exception("cannot save; the rooms go on")

    async def publish_forever(self) -> None:
        """Every `publish_ms`, less often where it takes more than its share: numbers of the rooms that moved."""
        while True:
            rested_s = 0.0
            while (left_s := self.publish_rest_s() - rested_s) > 0:  # a worker that has caught up rests no longer
                pause_s = min(self.settings.publish_ms / 1000, left_s)
                await asyncio.sleep(pause_s)
                rested_s += pause_s
            self._publish_s = 0.0
            try:
                await self.publish()
            except (RedisError, OSError) as error:
                self.telemetry.redis_up.set(0)
                logger.debug("cannot publish numbers now: %s", error)

    def publish_rest_s(self) -> float:
        """How long after numbers were published the next ones may be, as far behind the log as we are now."""
        behind = any(partition.behind > FAR_BEHIND for partition in self.partitions.values() if not partition.lost)
        share = PUBLISH_SHARE_BEHIND if behind else PUBLISH_SHARE
        return max(self.settings.publish_ms / 1000, self._publish_s / share)

    async def publish(self) -> None:
        """Write the latest numbers of every room that moved."""
        for partition in list(self.partitions.values()):
            for kept in list(partition.rooms.values()):
                if partition.lost or kept.state.show is None or kept.state.at_ms == kept.published_at_ms:
                    continue
                try:
                    await self._publish(partition, kept)
                except Refused:
                    partition.lost = True
                except (RedisError, OSError):
                    raise
                except Exception:  # our own fault: the other rooms must not stand still for it
                    logger.exception("the numbers of room %r cannot be published", kept.state.room)

    async def _publish(self, partition: Partition, kept: Kept) -> None:
        state = kept.state
        assert state.show is not None
        began = time.thread_time()
        differs = change(kept.published, state.view())
        about = {
            "room": state.room,
            "show_ms": state.show.show_ms,
            "title": state.show.title,
            "ended": state.show.ended_ms is not None,
            "at_ms": state.at_ms,
        }
        at_ms = state.at_ms
        encoded = msgspec.json.encode(about)
        self._publish_s += time.thread_time() - began
        kept.published = NOTHING  # whether a write that fails was done is not known
        await self.store.publish(partition.number, partition.fence, state.room, differs.fields, differs.gone, encoded)
        kept.published = differs.after
        kept.published_at_ms = at_ms
