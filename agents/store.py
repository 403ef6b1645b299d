"""Redis: names of keys, and what is written together.

`liveroom:snapshot:<room>`, `liveroom:positions:<topic>`: where a worker goes on; always written in one MULTI.
`liveroom:prompts:<room>` (stream), `liveroom:numbers:<room>` (hash), `liveroom:rooms` (hash): what screens read.
`liveroom:shows:<room>` (hash, by show): recaps of shows that are over.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import redis.asyncio as redis

from agents.settings import Settings
from stream.errors import SnapshotError
from stream.recap import Recap

ROOMS = "liveroom:rooms"
PROMPTS_KEPT = 5_000  # entries a room's stream keeps; a show has some hundred
SHOWS_KEPT = 20  # recaps a room keeps in Redis; the exported files are the archive
SNAPSHOT_VERSION = 1
_MAGIC = b"lr"
_COMPRESSION = 1  # zlib level: at 6 a large room takes four times as long for a tenth less


def snapshot_key(room: str) -> str:
    """Where a room's state stands."""
    return f"liveroom:snapshot:{room}"


def positions_key(topic: str) -> str:
    """Where the next offset of each partition stands."""
    return f"liveroom:positions:{topic}"


def members_key(topic: str, partition: int) -> str:
    """Which rooms a partition holds."""
    return f"liveroom:members:{topic}:{partition}"


def numbers_key(room: str) -> str:
    """Where a room's latest numbers stand."""
    return f"liveroom:numbers:{room}"


def prompts_key(room: str) -> str:
    """The stream of what a room says to screens."""
    return f"liveroom:prompts:{room}"


def shows_key(room: str) -> str:
    """Where the recaps of a room's past shows stand."""
    return f"liveroom:shows:{room}"


class Snapshot(NamedTuple):
    """A room's state and the offset of the last record it holds."""

    room: str
    offset: int
    state: bytes


def pack(snapshot: Snapshot) -> bytes:
    """A snapshot as stored: magic, version, zlib over [offset, state]."""
    body = msgspec.msgpack.encode([snapshot.offset, snapshot.state])
    return _MAGIC + bytes([SNAPSHOT_VERSION]) + zlib.compress(body, _COMPRESSION)


def unpack(room: str, blob: bytes) -> Snapshot:
    """The snapshot behind `pack`. Raises SnapshotError saying what is wrong with it."""
    if blob[:2] != _MAGIC or len(blob) < 4:
        raise SnapshotError(f"the snapshot of room {room!r} is not one of liveroom's; delete {snapshot_key(room)}")
    if blob[2] != SNAPSHOT_VERSION:
        raise SnapshotError(
            f"the snapshot of room {room!r} has version {blob[2]}, this worker reads {SNAPSHOT_VERSION}; "
            f"run the version that wrote it, or delete {snapshot_key(room)} to rebuild the room from the log"
        )
    try:
        offset, state = msgspec.msgpack.decode(zlib.decompress(blob[3:]), type=tuple[int, bytes])
    except (zlib.error, msgspec.DecodeError) as error:
        raise SnapshotError(
            f"the snapshot of room {room!r} is damaged ({error}); delete {snapshot_key(room)} to rebuild it"
        ) from None
    return Snapshot(room, offset, state)


class Store:
    """One connection pool; every method is one round trip."""

    def __init__(self, settings: Settings) -> None:
        # Any: what redis-py says its commands return differs between its versions 5 to 8
        self._redis: Any = redis.Redis.from_url(
            settings.redis, socket_timeout=5.0, socket_connect_timeout=2.0, health_check_interval=15
        )
        self._topic = settings.events_topic

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def ping(self) -> None:
        """Raises redis.RedisError or OSError when Redis does not answer."""
        await self._redis.ping()

    async def positions(self) -> dict[int, int]:
        """The next offset of each partition that was ever saved."""
        held: dict[bytes, bytes] = await self._redis.hgetall(positions_key(self._topic))
        return {int(partition): int(offset) for partition, offset in held.items()}

    async def snapshots(self, partition: int) -> list[tuple[str, bytes]]:
        """The stored snapshots of a partition's rooms, still packed."""
        members: set[bytes] = await self._redis.smembers(members_key(self._topic, partition))
        rooms = sorted(member.decode() for member in members)
        if not rooms:
            return []
        blobs = await self._redis.mget([snapshot_key(room) for room in rooms])
        return [(room, blob) for room, blob in zip(rooms, blobs, strict=True) if blob is not None]

    async def save(self, partition: int, position: int, snapshots: Iterable[Snapshot]) -> None:
        """A partition's position and its changed rooms, all or nothing."""
        async with self._redis.pipeline(transaction=True) as pipe:
            for snapshot in snapshots:
                pipe.set(snapshot_key(snapshot.room), pack(snapshot))
                pipe.sadd(members_key(self._topic, partition), snapshot.room)
            pipe.hset(positions_key(self._topic), str(partition), position)
            await pipe.execute()

    async def set_aside(self, room: str) -> str:
        """Move an unreadable snapshot out of the way; returns where it now stands."""
        aside = f"liveroom:unreadable:{room}"
        await self._redis.rename(snapshot_key(room), aside)
        return aside

    async def say(self, entries: Iterable[tuple[str, str, str, bytes]]) -> None:
        """Append (room, entry id, kind, data) to the rooms' streams; an entry already there stays alone."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for room, entry_id, kind, data in entries:
                pipe.xadd(
                    prompts_key(room), {"kind": kind, "data": data}, id=entry_id, maxlen=PROMPTS_KEPT, approximate=True
                )
            for result in await pipe.execute(raise_on_error=False):
                if isinstance(result, redis.ResponseError) and "equal or smaller" in str(result):
                    continue  # said before a restart
                if isinstance(result, Exception):
                    raise result

    async def publish(self, room: str, changed: Mapping[str, bytes], gone: Collection[str], about: bytes) -> None:
        """The latest numbers of a room, as far as they changed, and what the room is."""
        async with self._redis.pipeline(transaction=True) as pipe:
            if gone:
                pipe.hdel(numbers_key(room), *gone)
            pipe.hset(numbers_key(room), mapping=dict(changed))
            pipe.hset(ROOMS, room, about)
            await pipe.execute()

    async def keep_show(self, recap: Recap) -> None:
        """The recap of a show that is over; the oldest beyond SHOWS_KEPT go."""
        key = shows_key(recap.room)
        await self._redis.hset(key, str(recap.show_ms), zlib.compress(msgspec.json.encode(recap)))
        shows = sorted(int(show) for show in await self._redis.hkeys(key))
        if len(shows) > SHOWS_KEPT:
            await self._redis.hdel(key, *[str(show) for show in shows[:-SHOWS_KEPT]])

    async def show(self, room: str, show_ms: int) -> Recap | None:
        """The recap of a past show."""
        blob: Any = await self._redis.hget(shows_key(room), str(show_ms))
        return None if blob is None else msgspec.json.decode(zlib.decompress(blob), type=Recap)

    async def shows(self, room: str) -> list[int]:
        """Beginnings of the past shows of a room, oldest first."""
        return sorted(int(show) for show in await self._redis.hkeys(shows_key(room)))

    async def snapshot(self, room: str) -> bytes | None:
        """One room's stored snapshot, packed."""
        blob: bytes | None = await self._redis.get(snapshot_key(room))
        return blob

    async def rooms(self) -> list[str]:
        """Every room ever published."""
        return sorted(room.decode() for room in await self._redis.hkeys(ROOMS))
