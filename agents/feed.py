"""What the gateway reads from Redis: rooms, numbers, and the stream of each room, fanned out to any number of clients.

One blocking read serves all rooms. An entry is offered to a client only if its audience may see it: a viewer's client
gets the named fields of public offers and nothing else. A client too slow for its queue is dropped.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agents.entries import Audience, Entry, EntryId, clock, has_ended, open_entries, read_entry, read_id
from agents.store import ROOMS, numbers_key, prompts_key
from stream.errors import OperatorError

logger = logging.getLogger(__name__)

MAX_CLIENTS = 1_000  # open streams of one gateway; each is a socket and a queue
QUEUE_FRAMES = 256  # a client that is four minutes of clock ticks behind is gone
BACKLOG = 200  # entries looked through for prompts still open, and the most that are repeated on resuming
BLOCK_MS = 250  # how long a room's first client may wait to be part of the blocking read
READ_ENTRIES = 100  # well below QUEUE_FRAMES: a burst must not fill the queue of a client that keeps up
TICK_S = 1.0
HEARTBEAT_S = 10.0  # proxies and browsers then know that the line is alive
RETRY_MS = 1_000
REDIS_PAUSE_S = 1.0
REDIS_TIMEOUT_S = 3.0


class Full(Exception):
    """MAX_CLIENTS streams are open."""


@dataclass(slots=True)
class _Watch:
    """A room somebody looks at: `position` is the last entry that was fanned out."""

    position: EntryId
    clients: "set[Client]" = field(default_factory=set)
    now_ms: int | None = None
    ended: bool = False


@dataclass(slots=True, eq=False)
class Client:
    """One open stream; `cut` ends its connection."""

    room: str
    audience: Audience
    cut: Callable[[], None]
    watch: _Watch
    frames: asyncio.Queue[tuple[EntryId | None, bytes] | None] = field(
        default_factory=lambda: asyncio.Queue(QUEUE_FRAMES)
    )

    def end(self) -> None:
        """No more frames: the stream ends after those that wait, or at once if it is full."""
        try:
            self.frames.put_nowait(None)
        except asyncio.QueueFull:
            self.cut()


class Feed:
    """Reads Redis for everybody; use it as `async with`."""

    def __init__(self, url: str, dropped: Callable[[], None]) -> None:
        self._url = url
        try:  # a socket timeout must outlast the blocking read
            # Any: what redis-py says its commands return differs between its versions
            self._redis: Any = Redis.from_url(
                url, protocol=2, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
            )
        except ValueError as error:
            raise OperatorError(
                f"{_without_password(url)!r} is no address of a Redis ({error}); mend LIVEROOM_REDIS"
            ) from None
        self._dropped = dropped
        self._watches: dict[str, _Watch] = {}
        self._watched = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Raises OperatorError when no Redis answers."""
        if trouble := await self.trouble():
            await self._redis.aclose()
            raise OperatorError(f"{trouble}; start it, or set LIVEROOM_REDIS to where it is")
        for work in (self._follow, self._tick):
            self._tasks.append(asyncio.create_task(self._forever(work), name=f"feed-{work.__name__}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()

    async def trouble(self) -> str | None:
        """Why Redis cannot be read; None when all is well."""
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                await self._ask("PING")
        except (RedisError, OSError, TimeoutError) as error:
            return f"no Redis answers at {_without_password(self._url)} ({error or type(error).__name__})"
        return None

    async def _ask(self, *command: str | int) -> Any:
        return await self._redis.execute_command(*command)

    # --- asked once

    async def rooms(self) -> list[msgspec.Raw]:
        """What is known of every room, by room id."""
        known = await self._ask("HGETALL", ROOMS)
        return [msgspec.Raw(described) for _, described in sorted(known.items())]

    async def knows(self, room: str) -> bool:
        return bool(await self._ask("HEXISTS", ROOMS, room))

    async def numbers(self, room: str) -> dict[str, Any]:
        """The room's latest numbers in the record's shape; values stay undecoded."""
        parts: dict[str, dict[str, msgspec.Raw]] = {"n": {}, "p": {}, "s": {}}
        record: dict[str, Any] = {"room": room, "at_ms": None, "worst": [], "worst_show": []}
        for name, value in (await self._ask("HGETALL", numbers_key(room))).items():
            kind, _, key = name.decode().partition(":")
            if kind in parts:
                parts[kind][key] = msgspec.Raw(value)
            elif kind in record:
                record[kind] = msgspec.Raw(value)
        return record | {"numbers": parts["n"], "products": parts["p"], "splits": parts["s"]}

    async def clock_ms(self, room: str) -> int | None:
        """The end of the newest second whose numbers are published."""
        at_ms = await self._ask("HGET", numbers_key(room), "at_ms")
        return None if at_ms is None else int(at_ms)

    # --- streams

    @property
    def clients(self) -> Mapping[Audience, int]:
        """Open streams by audience."""
        count: dict[Audience, int] = {"host": 0, "producer": 0, "public": 0}
        for watch in self._watches.values():
            for client in watch.clients:
                count[client.audience] += 1
        return count

    def end_all(self) -> None:
        """End every stream: the gateway stops."""
        for watch in self._watches.values():
            for client in watch.clients:
                client.end()

    @contextlib.asynccontextmanager
    async def client(self, room: str, audience: Audience, cut: Callable[[], None]) -> AsyncIterator[Client]:
        """A client of `room` while the block runs. Raises Full."""
        newest = await self._newest(room)
        if sum(self.clients.values()) >= MAX_CLIENTS:
            raise Full
        watch = self._watches.setdefault(room, _Watch(newest))
        client = Client(room, audience, cut, watch)
        watch.clients.add(client)
        self._watched.set()
        try:
            yield client
        finally:
            watch.clients.discard(client)
            if not watch.clients and self._watches.get(room) is watch:
                del self._watches[room]
            if not self._watches:
                self._watched.clear()

    async def stream(self, client: Client, last: EntryId | None) -> AsyncGenerator[bytes]:
        """The bytes of an event stream: what was missed since entry `last`, or what is open, then what comes.

        Entries that arrive while the past is read wait in the queue, so nothing falls between, and nothing comes twice.
        """
        now_ms = await self.clock_ms(client.room)
        ended = has_ended(await self._ask("HGET", ROOMS, client.room))
        yield b"retry: %d\n\n" % RETRY_MS + clock(now_ms, ended)
        past, top = await self._past(client, last, now_ms)
        for entry in past:
            yield entry.frame(now_ms)
        # From here on a client resumes after everything it was told, even where its own last entry is older.
        yield clock(now_ms, ended, top)
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    item = await client.frames.get()
            except TimeoutError:
                yield b": alive\n\n"
                continue
            if item is None:
                return
            id_, frame = item
            if id_ is None or id_ > top:
                yield frame

    async def _past(self, client: Client, last: EntryId | None, now_ms: int | None) -> tuple[list[Entry], EntryId]:
        key = prompts_key(client.room)
        newest_first = await self._ask("XREVRANGE", key, "+", "-", "COUNT", BACKLOG)
        if not newest_first:
            return [], (0, 0)
        top, oldest = read_id(newest_first[0][0]), read_id(newest_first[-1][0])
        entries = [entry for entry in map(read_entry, reversed(newest_first)) if entry is not None]
        seen = [entry for entry in entries if entry.shown_to(client.audience)]
        if last is None or last > top or (last < oldest and len(newest_first) == BACKLOG):
            # A new client, or one whose past is not kept any more: a room that began anew, a stream that was trimmed.
            return open_entries(seen, now_ms), top
        return [entry for entry in seen if entry.id > last], top

    async def _newest(self, room: str) -> EntryId:
        found = await self._ask("XREVRANGE", prompts_key(room), "+", "-", "COUNT", 1)
        return read_id(found[0][0]) if found else (0, 0)

    # --- background

    async def _forever(self, work: Callable[[], Any]) -> None:
        """Redis away is a pause, not an end: streams stay open, and their clocks stand."""
        away = False
        while True:
            await self._watched.wait()
            try:
                await work()
                away = False
            except (RedisError, OSError) as error:
                if not away:
                    logger.warning("Redis away, streams wait: %s", error)
                away = True
                await asyncio.sleep(REDIS_PAUSE_S)

    async def _follow(self) -> None:
        """One blocking read of all watched rooms, and its entries to the clients."""
        rooms = list(self._watches)
        keys = [prompts_key(room) for room in rooms]
        positions = ["{}-{}".format(*self._watches[room].position) for room in rooms]
        found = await self._ask("XREAD", "COUNT", READ_ENTRIES, "BLOCK", BLOCK_MS, "STREAMS", *keys, *positions)
        by_key = dict(zip((key.encode() for key in keys), rooms, strict=True))
        for key, raw_entries in found:
            watch = self._watches.get(by_key[key])
            if watch is None:
                continue
            for raw in raw_entries:
                id_ = read_id(raw[0])
                if id_ > watch.position:  # the watch may be newer than the question
                    watch.position = id_
                    self._fan_out(watch, read_entry(raw))

    def _fan_out(self, watch: _Watch, entry: Entry | None) -> None:
        if entry is None:
            return
        frame = entry.frame(watch.now_ms)
        seen_by: dict[Audience, bool] = {}
        for client in list(watch.clients):
            audience = client.audience
            if audience not in seen_by:
                seen_by[audience] = entry.shown_to(audience)
            if seen_by[audience]:
                self._offer(client, entry.id, frame)

    def _offer(self, client: Client, id_: EntryId | None, frame: bytes) -> None:
        try:
            client.frames.put_nowait((id_, frame))
        except asyncio.QueueFull:
            if client in client.watch.clients:
                client.watch.clients.discard(client)  # its block ends when the cut connection is noticed
                self._dropped()
                logger.warning("dropped a slow %s client of room %r", client.audience, client.room)
                client.cut()

    async def _tick(self) -> None:
        """The rooms' clocks to the clients, once a second; and a stream that began anew is noticed."""
        began = time.monotonic()
        rooms = list(self._watches)
        before = {room: self._watches[room].position for room in rooms}
        async with self._redis.pipeline(transaction=False) as pipeline:
            for room in rooms:
                pipeline.execute_command("HGET", numbers_key(room), "at_ms")
                pipeline.execute_command("HGET", ROOMS, room)
                pipeline.execute_command("XREVRANGE", prompts_key(room), "+", "-", "COUNT", 1)
            answers = await pipeline.execute()
        for place, room in enumerate(rooms):
            watch = self._watches.get(room)
            if watch is None:
                continue
            at_ms, described, newest = answers[3 * place : 3 * place + 3]
            watch.now_ms = None if at_ms is None else int(at_ms)
            watch.ended = has_ended(described)
            tick = clock(watch.now_ms, watch.ended)
            for client in list(watch.clients):
                self._offer(client, None, tick)
            if before[room] > (read_id(newest[0][0]) if newest else (0, 0)):
                # The stream is another one now: its clients begin anew as well.
                watch.position = (0, 0)
                for client in list(watch.clients):
                    client.end()
        await asyncio.sleep(max(0.0, TICK_S - (time.monotonic() - began)))


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
