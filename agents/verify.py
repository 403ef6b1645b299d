"""A room's show recomputed from the retained log in a fresh core, and compared with what stands in Redis.

The log is the truth: the snapshot and the published numbers must be what its records give, and nothing else.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # the same
from redis.exceptions import RedisError

from agents.partition import TICK, TICK_KEY
from agents.settings import Settings, load_playbook, room_config
from agents.store import Store, line_fields, revive
from stream.errors import OperatorError
from stream.events import decode
from stream.prompts import Prompt
from stream.room import RoomState, Said

ANSWER_TIMEOUT_S = 10.0  # without a record from a log that is not at its end


class Record(NamedTuple):
    """One record of a partition."""

    offset: int
    arrived_ms: int
    key: bytes | None
    value: bytes | None


class Difference(NamedTuple):
    """Something that stands in Redis, and what the log gives."""

    what: str
    live: Any
    log: Any

    def line(self) -> str:
        """The difference in one line."""
        return f"{self.what}: live {_short(self.live)}, from the log {_short(self.log)}"


class Report(msgspec.Struct):
    """What was compared, and what differs. `begins` is the first offset still in the log."""

    room: str
    partition: int
    records: int = 0
    compared: int = 0
    prompts: int = 0
    begins: int = 0
    differences: list[Difference] = []

    def line(self) -> str:
        """The report in one line."""
        result = f"{len(self.differences)} differ" if self.differences else "all the same"
        cut = f"; the log begins at offset {self.begins}, what came before is not in it" if self.begins else ""
        return (
            f"room {self.room}: {self.compared:,} numbers and {self.prompts} prompts recomputed from {self.records:,} "
            f"records of partition {self.partition}: {result}{cut}"
        )


class Live(NamedTuple):
    """What stands in Redis of a room."""

    partition: int
    offset: int
    state: RoomState
    numbers: dict[str, bytes]
    entries: dict[str, tuple[str, bytes]]


async def verify(settings: Settings, room: str) -> Report:
    """Recompute `room` from the log and compare. Raises OperatorError for an unknown room, or when a server is away."""
    live = await _live(settings, room)
    check = _Check(settings, room, live)
    try:
        async with aclosing(records(settings, live.partition)) as log:
            async for record in log:
                if not check.take(record):
                    break
    except (KafkaError, OSError, TimeoutError) as error:
        raise OperatorError(
            f"the log of room {room!r} cannot be read from {settings.kafka} ({error or type(error).__name__}); "
            "start the broker, or set LIVEROOM_KAFKA to where it is"
        ) from None
    return check.report()


async def _live(settings: Settings, room: str) -> Live:
    store = Store(settings)
    try:
        partition = await store.partition_of(room, settings.partitions)
        blob = None if partition is None else await store.snapshot(room)
        if partition is None or blob is None:
            known = ", ".join((await store.rooms())[:20])
            raise OperatorError(f"no room {room!r} was saved; " + (f"name one of {known}" if known else "none is yet"))
        numbers, entries = await store.numbers(room), await store.entries(room)
    except (RedisError, OSError) as error:
        raise OperatorError(
            f"no Redis answers at {settings.redis} ({error}); start it, or set LIVEROOM_REDIS to where it is"
        ) from None
    finally:
        await store.close()
    state = _new(settings, room)
    return Live(partition, revive(state, blob), state, numbers, entries)


def _new(settings: Settings, room: str) -> RoomState:
    return RoomState(room, load_playbook(settings), room_config(settings))


async def records(settings: Settings, partition: int) -> AsyncGenerator[Record]:
    """Every retained record of a partition of the events topic, up to the end of the log as it is at the time."""
    tp = TopicPartition(settings.events_topic, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, enable_auto_commit=False, auto_offset_reset="earliest", group_id=None
    )
    try:
        await asyncio.wait_for(consumer.start(), ANSWER_TIMEOUT_S)
        consumer.assign([tp])
        consumer.seek(tp, 0)
        while True:
            fetched = await consumer.getmany(tp, timeout_ms=int(ANSWER_TIMEOUT_S * 1000), max_records=2_000)
            if not fetched.get(tp):
                return
            for record in fetched[tp]:
                yield Record(record.offset, record.timestamp, record.key, record.value)
            if fetched[tp][-1].offset + 1 >= (consumer.highwater(tp) or 0):
                return
    finally:
        await consumer.stop()


class Replay:
    """A fresh core that is fed with the records of a partition, as a worker feeds it."""

    def __init__(self, settings: Settings, room: str) -> None:
        self.state = _new(settings, room)
        self.said: list[Said] = []
        self._key = room.encode()
        self._begun = False

    def concerns(self, record: Record) -> bool:
        """May this record change the room?"""
        return _is_tick(record) or record.key in (None, self._key)

    def take(self, record: Record) -> bool:
        """Apply one record; whether it was the room's own. What cannot be applied is left, as a worker leaves it."""
        own = False
        with suppress(Exception):
            if _is_tick(record):
                if self._begun:  # a worker knows a room from its first event on
                    self.state.advance(record.arrived_ms)
            elif self.concerns(record):
                event = decode(record.value, record.key)
                own = event.room == self.state.room
                if own:
                    self._begun = True
                    self.state.apply(event, record.arrived_ms)
        self.said += [output for output in self.state.drain() if isinstance(output, Said)]
        return own


class _Check:
    """Follows the log up to where the snapshot stands, and on to where the published numbers stand."""

    def __init__(self, settings: Settings, room: str, live: Live) -> None:
        self._live = live
        self._replay = Replay(settings, room)
        self._report = Report(room, live.partition)
        self._stood = False
        self._published_ms = int(live.numbers.get("at_ms", b"0"))
        self._nearest: list[Difference] | None = None

    def take(self, record: Record) -> bool:
        """One record of the log; whether more are wanted."""
        report, replay = self._report, self._replay
        if not report.records:
            report.begins = record.offset
        report.records += 1
        if not self._stood and self._beyond(record):
            self._stand()
        if self._stood and (self._nearest == [] or replay.state.at_ms > self._published_ms):
            return False
        replay.take(record)
        if replay.concerns(record) and replay.state.at_ms == self._published_ms and self._nearest != []:
            found = list(self._published())
            if self._nearest is None or len(found) < len(self._nearest):
                self._nearest = found
        return True

    def _beyond(self, record: Record) -> bool:
        """Was the snapshot taken before this record?"""
        if record.offset <= self._live.offset:
            return False
        if _is_tick(record):
            return record.arrived_ms > self._live.state.clock.arrived_ms
        return record.key in (None, self._live.state.room.encode())

    def _stand(self) -> None:
        self._stood = True
        live, log, found = self._live.state, self._replay.state, self._report.differences
        for name, one, other in _numbers(live, log):
            self._report.compared += 1
            if one != other:
                found.append(Difference(name, one, other))
        one, other = (msgspec.to_builtins(state.recap()) if state.show else {} for state in (live, log))
        found += [
            Difference(f"recap {key}", one.get(key), other.get(key)) for key in other if one.get(key) != other[key]
        ]
        found += self._prompts()

    def _prompts(self) -> list[Difference]:
        """What the room had said when it was saved stands in its stream, each once, in the same words."""
        entries = self._live.entries
        oldest = min(map(_entry_id, entries), default=(0, 0))
        wanted = {said.id: said.what for said in self._replay.said if _entry_id(said.id) >= oldest}
        self._report.prompts = sum(isinstance(what, Prompt) for what in wanted.values())
        found = []
        for id_, what in wanted.items():
            data = msgspec.json.encode(what)
            if id_ not in entries:
                found.append(Difference(f"entry {id_}", None, data))
            elif entries[id_][1] != data:
                found.append(Difference(f"entry {id_}", entries[id_][1], data))
        newest = max(map(_entry_id, wanted), default=(0, 0))
        for id_, (_, data) in entries.items():
            if id_ not in wanted and _entry_id(id_) <= newest:
                found.append(Difference(f"entry {id_}", data, None))
        return found

    def _published(self) -> list[Difference]:
        fields, live = line_fields(self._replay.state.line()), self._live.numbers
        return [
            Difference(f"published {key}", live.get(key), fields.get(key))
            for key in sorted(fields.keys() | live.keys())
            if fields.get(key) != live.get(key)
        ]

    def report(self) -> Report:
        if not self._stood:
            self._stand()
        self._report.differences += self._nearest or []
        return self._report


def _numbers(live: RoomState, log: RoomState) -> list[tuple[str, Any, Any]]:
    """Every number of the room and its products as (name, live, from the log)."""
    one, other = live.view().line(every_product=True), log.view().line(every_product=True)
    names = sorted(one.numbers.keys() | other.numbers.keys())
    rows: list[tuple[str, Any, Any]] = [("at_ms", one.at_ms, other.at_ms)]
    rows += [(name, one.numbers.get(name), other.numbers.get(name)) for name in names]
    for product in sorted(one.products.keys() | other.products.keys()):
        held, given = one.products.get(product, {}), other.products.get(product, {})
        rows += [(f"{product} {name}", held.get(name), given.get(name)) for name in sorted(held.keys() | given.keys())]
    return rows


def _is_tick(record: Record) -> bool:
    return record.key == TICK_KEY and record.value == TICK


def _entry_id(text: str) -> tuple[int, int]:
    milliseconds, _, n = text.partition("-")
    return int(milliseconds), int(n)


def _short(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
    return text if len(text) < 200 else text[:200] + "..."
