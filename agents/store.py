"""Redis: names of keys, and what is written together.

`liveroom:snapshot:<room>`, `liveroom:positions:<topic>`: where a worker goes on; always written together.
`liveroom:prompts:<room>` (stream), `liveroom:numbers:<room>` (hash), `liveroom:rooms` (hash): what screens read.
`liveroom:shows:<room>` (hash, by show): recaps of shows that are over.
`liveroom:fences:<topic>` (hash, by partition): who may write; a write of anybody else is refused.
"""

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import redis.asyncio as redis
import zstandard

from agents.settings import Settings
from stream import series
from stream.errors import SnapshotError
from stream.events import TAG_OF
from stream.numbers import KEYS, Number
from stream.recap import Recap
from stream.room import RoomState
from stream.view import Line

ROOMS = "liveroom:rooms"
PROMPTS_KEPT = 5_000  # entries a room's stream keeps; a show has some hundred
SHOWS_KEPT = 20  # recaps a room keeps in Redis; the exported files are the archive
SAID_KEPT = 4 * PROMPTS_KEPT  # which of them were said, kept longer: a rebuild may go further back than the stream
SNAPSHOT_VERSION = 6
_MAGIC = b"lr"
_encoder = msgspec.json.Encoder()
_FIELDS = {key: f"n:{key}" for key in KEYS}  # one string for all rooms
_COMPRESSION = 1  # of zstandard; a large room takes a quarter of zlib's time at its fastest, and is smaller


_LAYOUT = zlib.crc32(
    repr([[(name, n) for name, n in vars(series).items() if isinstance(n, int)], [*TAG_OF.values()]]).encode()
)
"""The meaning of a snapshot's columns: with other series its sums would be taken for those of another."""


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


def said_key(room: str) -> str:
    """What a room has said to screens, by what it is: for as long as SAID_KEPT entries."""
    return f"liveroom:said:{room}"


def fences_key(topic: str) -> str:
    """Who may write for each partition."""
    return f"liveroom:fences:{topic}"


def shows_key(room: str) -> str:
    """Where the recaps of a room's past shows stand."""
    return f"liveroom:shows:{room}"


def line_fields(line: Line) -> dict[str, bytes]:
    """A line as the fields of the room's hash: `n:<key>`, `p:<product>`, `s:<part>`, `worst` and `worst_show`."""
    return number_fields(line.numbers) | other_fields(line)


def number_fields(numbers: Mapping[str, Number]) -> dict[str, bytes]:
    """Numbers of the room as fields of its hash."""
    encode = _encoder.encode
    return {_FIELDS[key]: encode(number) for key, number in numbers.items()}


def other_fields(line: Line) -> dict[str, bytes]:
    """A line as fields of the room's hash, but for the numbers of the room."""
    encode = _encoder.encode
    fields = {"at_ms": str(line.at_ms).encode(), "worst": encode(line.worst), "worst_show": encode(line.worst_show)}
    for product, numbers in line.products.items():
        fields[f"p:{product}"] = encode(numbers)
    for part, numbers in line.splits.items():
        fields[f"s:{part}"] = encode(numbers)
    return fields


class Snapshot(NamedTuple):
    """A room's state and the offset of the last record it holds."""

    room: str
    offset: int
    state: bytes


class Fence(NamedTuple):
    """Who may write for a partition: one worker, in one generation of its consumer group."""

    generation: int
    owner: str

    def __str__(self) -> str:
        return f"{self.generation} {self.owner}"

    @classmethod
    def read(cls, text: bytes) -> "Fence":
        """A fence as it stands in Redis."""
        generation, _, owner = text.decode().partition(" ")
        return cls(int(generation), owner)


class Entry(NamedTuple):
    """Something for the stream of a room; `what` names it, so that it is said once under whatever entry id."""

    id: str
    kind: str
    what: str
    data: bytes


class Refused(Exception):
    """Somebody else may write for this partition now, or Redis is not the one we wrote to last."""


def pack(snapshot: Snapshot) -> bytes:
    """A snapshot as stored: magic, version, zstandard over [layout of the sums, offset, state]."""
    body = msgspec.msgpack.encode([_LAYOUT, snapshot.offset, snapshot.state])
    return (
        _MAGIC + bytes([SNAPSHOT_VERSION]) + zstandard.ZstdCompressor(_COMPRESSION, write_checksum=True).compress(body)
    )


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
        layout, offset, state = msgspec.msgpack.decode(zstandard.decompress(blob[3:]), type=tuple[int, int, bytes])
    except (zstandard.ZstdError, msgspec.DecodeError, MemoryError) as error:  # a damaged header may state any size
        raise SnapshotError(
            f"the snapshot of room {room!r} is damaged ({error}); delete {snapshot_key(room)} to rebuild it"
        ) from None
    if layout != _LAYOUT:
        raise SnapshotError(
            f"the snapshot of room {room!r} counts other series than this worker; "
            f"run the version that wrote it, or delete {snapshot_key(room)} to rebuild the room from the log"
        )
    return Snapshot(room, offset, state)


def revive(state: RoomState, blob: bytes) -> int:
    """Let a new room go on from a packed snapshot of it; the offset of the last record it holds. Raises SnapshotError.

    What was written by anything may lie in Redis, so that reading it may fail in any way.
    """
    snapshot = unpack(state.room, blob)
    try:
        state.restore(snapshot.state)
    except Exception as error:
        raise SnapshotError(
            f"the snapshot of room {state.room!r} is damaged ({error!r}); "
            f"delete {snapshot_key(state.room)} to rebuild it from the log"
        ) from error
    return snapshot.offset


# Each script runs whole or not at all, also in the append-only file. ARGV[1] is the partition, ARGV[2] the fence.
_CLAIM = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then
  local generation, owner = held:match('^(%S+) (.*)$')
  if owner ~= ARGV[3] and tonumber(generation) >= tonumber(ARGV[2]) and held ~= ARGV[4] then return {0, held} end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return {1, held}
"""
_FENCED = "if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end\n"
_SAVE = (
    _FENCED
    + """
local stands = redis.call('HGET', KEYS[2], ARGV[1]) or '-1'
if not ARGV[3]:find(',' .. stands .. ',', 1, true) then return 0 end
for i = 4, #KEYS do
  redis.call('SADD', KEYS[3], ARGV[2 * i - 3])
  redis.call('SET', KEYS[i], ARGV[2 * i - 2])
end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[4]) end
return 1
"""
)
_ASIDE = (
    _FENCED
    + """
redis.call('RENAME', KEYS[3], KEYS[4])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
"""
)
_SAY = (
    _FENCED
    + """
local forgotten = -1
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then
  forgotten = tonumber(redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2])
end
for i = 5, #ARGV, 4 do
  local id, what = ARGV[i], ARGV[i + 2]
  local ms = tonumber(id:match('^%d+'))
  if ms > forgotten and not redis.call('ZSCORE', KEYS[3], what) then
    local fields = {'MAXLEN', '~', ARGV[3], id, 'kind', ARGV[i + 1], 'data', ARGV[i + 3]}
    local added = redis.pcall('XADD', KEYS[2], unpack(fields))
    if type(added) == 'table' and added.err then
      if not added.err:find('equal or smaller') then return added end
      local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1][1]
      local last_ms, n = last:match('^(%d+)-(%d+)$')
      fields[4] = last_ms .. '-' .. string.format('%.0f', tonumber(n) + 1)
      redis.call('XADD', KEYS[2], unpack(fields))
    end
    redis.call('ZADD', KEYS[3], ms, what)
  end
end
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -tonumber(ARGV[4]) - 1)
return 1
"""
)
_PUBLISH = (
    _FENCED
    + """
local gone = tonumber(ARGV[5])
if gone < 0 then
  redis.call('DEL', KEYS[2])
  gone = 0
end
for i = 6, 5 + gone do redis.call('HDEL', KEYS[2], ARGV[i]) end
for i = 6 + gone, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
return 1
"""
)
_KEEP_SHOW = (
    _FENCED
    + """
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
local shows = redis.call('HKEYS', KEYS[2])
table.sort(shows, function(a, b) return tonumber(a) < tonumber(b) end)
for i = 1, #shows - tonumber(ARGV[5]) do redis.call('HDEL', KEYS[2], shows[i]) end
return 1
"""
)
_SCRIPTS = (_CLAIM, _SAVE, _ASIDE, _SAY, _PUBLISH, _KEEP_SHOW)


class Store:
    """One connection pool; every method is one round trip."""

    def __init__(self, settings: Settings) -> None:
        # Any: what redis-py says its commands return differs between its versions 5 to 8
        self._redis: Any = redis.Redis.from_url(
            settings.redis, socket_timeout=5.0, socket_connect_timeout=2.0, health_check_interval=15
        )
        self._topic = settings.events_topic
        self._fences = fences_key(settings.events_topic)
        self._scripts = {text: self._redis.register_script(text) for text in _SCRIPTS}

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

    async def claim(self, partition: int, fence: Fence, instead_of: Fence | None = None) -> tuple[bool, Fence | None]:
        """Become the one who may write for a partition: (done, whose it was).

        Refused when another worker holds it in the same or a later generation, unless that is `instead_of`.
        """
        before = "" if instead_of is None else str(instead_of)
        done, held = await self._run(_CLAIM, [self._fences], partition, fence.generation, fence.owner, before)
        return bool(done), Fence.read(held) if held else None

    async def save(
        self,
        partition: int,
        fence: Fence,
        before: Collection[int],
        position: int | None,
        snapshots: Mapping[str, bytes],
    ) -> None:
        """A partition's position, unless None, and packed snapshots of its rooms, all or nothing.

        `before` are the positions that may stand there: what was saved last, and what may or may not have been saved.
        -1 is none. Raises Refused.
        """
        keys = [self._fences, positions_key(self._topic), members_key(self._topic, partition)]
        keys += [snapshot_key(room) for room in snapshots]
        stands = ",".join(["", *map(str, before), ""])
        rooms = [part for snapshot in snapshots.items() for part in snapshot]
        place = "" if position is None else position
        if not await self._run(_SAVE, keys, partition, str(fence), stands, place, *rooms):
            raise Refused

    async def set_aside(self, partition: int, fence: Fence, room: str) -> str:
        """Move an unreadable snapshot out of the way, and its partition's position with it; returns where it stands.

        A worker that dies before the room is rebuilt is followed by one that rebuilds it. Raises Refused.
        """
        aside = f"liveroom:unreadable:{room}"
        keys = [self._fences, positions_key(self._topic), snapshot_key(room), aside]
        if not await self._run(_ASIDE, keys, partition, str(fence)):
            raise Refused
        return aside

    async def say(self, partition: int, fence: Fence, room: str, entries: Sequence[Entry]) -> None:
        """Append to a room's stream what was not said before. Raises Refused."""
        keys = [self._fences, prompts_key(room), said_key(room)]
        words = [part for entry in entries for part in (entry.id, entry.kind, entry.what, entry.data)]
        if not await self._run(_SAY, keys, partition, str(fence), PROMPTS_KEPT, SAID_KEPT, *words):
            raise Refused

    async def publish(
        self,
        partition: int,
        fence: Fence,
        room: str,
        changed: Mapping[str, bytes],
        gone: Collection[str] | None,
        about: bytes,
    ) -> None:
        """The latest numbers of a room, as far as they changed, and what the room is. Raises Refused.

        `gone` None is whatever stands there: nothing of it is kept.
        """
        keys = [self._fences, numbers_key(room), ROOMS]
        fields = [part for field in changed.items() for part in field]
        count, names = (-1, ()) if gone is None else (len(gone), gone)
        if not await self._run(_PUBLISH, keys, partition, str(fence), room, about, count, *names, *fields):
            raise Refused

    async def keep_show(self, partition: int, fence: Fence, recap: Recap) -> None:
        """The recap of a show that is over; the oldest beyond SHOWS_KEPT go. Raises Refused."""
        keys = [self._fences, shows_key(recap.room)]
        blob = zlib.compress(msgspec.json.encode(recap))
        if not await self._run(_KEEP_SHOW, keys, partition, str(fence), recap.show_ms, blob, SHOWS_KEPT):
            raise Refused

    async def _run(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        return await self._scripts[script](keys=keys, args=arguments)

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

    async def partition_of(self, room: str, partitions: int) -> int | None:
        """The partition whose worker saved this room."""
        for partition in range(partitions):
            if await self._redis.sismember(members_key(self._topic, partition), room):
                return partition
        return None

    async def numbers(self, room: str) -> dict[str, bytes]:
        """The published numbers of a room: `at_ms`, `n:<number>`, `p:<product>`."""
        held: dict[bytes, bytes] = await self._redis.hgetall(numbers_key(room))
        return {name.decode(): value for name, value in held.items()}

    async def entries(self, room: str) -> dict[str, tuple[str, bytes]]:
        """What a room's stream holds, by entry id: (kind, data)."""
        entries = await self._redis.xrange(prompts_key(room))
        return {id_.decode(): (fields[b"kind"].decode(), fields[b"data"]) for id_, fields in entries}

    async def rooms(self) -> list[str]:
        """Every room ever published."""
        return sorted(room.decode() for room in await self._redis.hkeys(ROOMS))
