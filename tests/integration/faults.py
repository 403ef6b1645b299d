"""Rooms on the air, workers that die, and the oracle: what a fresh core makes of the very same log.

A stage has three partitions with two rooms on each. Its events come at a steady pace while a test does its worst.
"""

import asyncio
import contextlib
import heapq
import itertools
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import redis
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from agents import dry_run, embedded, replay, simulate, verify
from agents.settings import Settings, load_playbook
from agents.topics import create_topics
from stream import events as ev
from stream.room import RoomConfig
from tests.integration.workers import environment, numbers, wait_until

PARTITIONS = 3
END_MS = 1_760_000_000_000
READY_S = 60.0  # three starts at once on two busy cores
STOP_S = 40.0
SETTLE_S = 90.0
SESSION_S = 3
ROOT = Path(__file__).parents[2]
SUMS = ("joins", "leaves", "chats", "likes", "follows", "shares", "gifts", "clicks", "carts", "orders_paid", "gmv_paid")
CLOCK = "import time; real = time.time; began = real(); time.time = lambda: {}; from agents.cli import main; main()"
_numbers = itertools.count(1)


_sums: dict[int, dict[str, Any]] = {}  # by the identity of a show, which `_show` keeps alive


@cache
def _show(room: str, seed: int, minutes: int, events: int | None) -> list[simulate.Arrival]:
    """A simulated show, the same list for every stage that plays it."""
    return list(itertools.islice(simulate.show(seed, minutes, END_MS, room), events))


def room_names(a_partition: int = 2, partitions: int = PARTITIONS) -> list[str]:
    """Names of rooms, as many on each partition."""
    found: dict[int, list[str]] = {partition: [] for partition in range(partitions)}
    place = DefaultPartitioner()
    for number in itertools.count(1):
        name = f"room-{number}"
        held = found[place(name.encode(), list(found), list(found))]
        if len(held) < a_partition:
            held.append(name)
        if all(len(names) == a_partition for names in found.values()):
            return sorted(itertools.chain.from_iterable(found.values()))
    raise AssertionError


class Stage:
    """Topics, a group and simulated shows of their own on given servers."""

    def __init__(
        self,
        broker: str,
        redis_url: str,
        scratch: Path,
        minutes: int = 10,
        a_partition: int = 2,
        events: int | None = None,
        replication: int = 1,
    ) -> None:
        mine = f"f{os.getpid()}-{next(_numbers)}"
        self.settings = Settings(
            kafka=broker,
            redis=redis_url,
            group=f"{mine}.group",
            events_topic=f"{mine}.events",
            rejected_topic=f"{mine}.rejected",
            prompts_topic=f"{mine}.prompts",
            partitions=PARTITIONS,
            replication=replication,
            session_timeout_s=SESSION_S,
            rebalance_timeout_s=3,
            heartbeat_s=1,
            snapshot_s=1,
            publish_ms=300,
            gateway_port=0,
            metrics_port=0,
        )
        self.scratch = scratch
        self.minutes = minutes
        self.rooms = room_names(a_partition)
        self.shows = {room: _show(room, seed, minutes, events) for seed, room in enumerate(self.rooms, start=1)}
        self.whole = events is None
        self.repeats: Sequence[replay.Record] = ()  # delivered a second time, in order of time
        self.count = sum(map(len, self.shows.values()))
        self.sent = 0  # of them, acknowledged by the broker; told twice a second
        wanted = {
            self.settings.events_topic: PARTITIONS,
            self.settings.rejected_topic: 1,
            self.settings.prompts_topic: 1,
        }
        asyncio.run(create_topics(broker, wanted, replication))

    def records(self) -> Iterator[replay.Record]:
        """The events of all rooms as they arrive."""
        feeds = [*map(replay.records_of, self.shows.values()), self.repeats]
        return heapq.merge(*feeds, key=lambda record: record.at_ms)

    def play(self, seconds: float, hurry: threading.Event | None = None) -> None:
        """Send everything, in about `seconds`; 0, or once `hurry` is set: as fast as it goes."""
        records = list(self.records())
        feed = iter(records)
        self.sent = 0
        if seconds:
            self._send(_until(hurry, feed), self.minutes * 60 / seconds)
        self._send(feed, math.inf)
        assert self.sent == len(records)

    def _send(self, records: Iterable[replay.Record], speed: float) -> None:
        before = self.sent

        def tell(sent: int) -> None:
            self.sent = before + sent

        sent, _ = asyncio.run(replay.produce(self.settings, records, speed, tell))
        tell(sent)

    def wait_sent(self, by: int, timeout_s: float = 60.0) -> None:
        """Wait until so many more events are in the log."""
        goal = self.sent + by
        wait_until(lambda: self.sent >= goal, timeout_s, f"{goal} events sent")

    @contextlib.contextmanager
    def playing(self, seconds: float) -> Iterator[threading.Thread]:
        """`play` beside the block; the block's end waits for its own.

        What is left when the block is through comes at the same pace for as long as a session, then all at once: so
        `seconds` may be what a busy machine needs, and costs a quiet one nothing.
        """
        failed: list[BaseException] = []
        hurry = threading.Event()

        def work() -> None:
            try:
                self.play(seconds, hurry)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, name="play")
        thread.start()
        try:
            yield thread
            thread.join(SESSION_S)
        finally:
            hurry.set()
            thread.join(seconds + SETTLE_S)
        assert not thread.is_alive(), "the events were not sent in time"
        if failed:
            raise failed[0]

    # --- what stands in Redis

    @contextlib.contextmanager
    def client(self) -> Iterator["redis.Redis[bytes]"]:
        with redis.Redis.from_url(self.settings.redis, socket_timeout=5) as connection:
            yield connection

    def wait_until_done(self, timeout_s: float = SETTLE_S) -> float:
        """Every room has closed its last second and was saved since; how long that took."""
        began = time.monotonic()
        with self.client() as client:
            for room in self.rooms:
                end_ms = max(arrival.event.ts for arrival in self.shows[room])
                wait_until(lambda r=room, end=end_ms: _at_ms(client, r) > end, timeout_s, f"the end of {room}")
        ends = self.end_offsets()
        wait_until(lambda: self.saved(ends), timeout_s, f"positions beyond {ends}")
        return time.monotonic() - began

    def saved(self, ends: dict[int, int]) -> bool:
        """Has every partition been saved up to there?"""
        with self.client() as client:
            held = client.hgetall(f"liveroom:positions:{self.settings.events_topic}")
        positions = {int(partition): int(offset) for partition, offset in held.items()}
        return all(positions.get(partition, 0) >= end for partition, end in ends.items())

    def progressed(self, by: int = 1, timeout_s: float = 40.0) -> None:
        """Wait until the saved positions have moved on by so many records."""
        before = self.positions()
        wait_until(lambda: self.positions() >= before + by, timeout_s, f"{by} more records saved after {before}")

    def positions(self) -> int:
        """The sum of the saved positions: how far the workers are."""
        with self.client() as client:
            return sum(map(int, client.hvals(f"liveroom:positions:{self.settings.events_topic}")))

    def end_offsets(self) -> dict[int, int]:
        """The end of each partition: the high watermark of a fetch, the only figure that every broker has right."""

        async def ask() -> dict[int, int]:
            return {partition: await _end(self.settings, partition) for partition in range(PARTITIONS)}

        return asyncio.run(ask())

    # --- the oracle

    def check(self, every: int = 1) -> None:
        """Nothing lost, nothing twice: numbers and prompts of every room are those of a fresh core over the same log,
        the sums those of the events that were sent, and the prompts topic holds each prompt. With `every`, of each so
        many rooms one is looked at.
        """
        said = self._check_rooms(self.rooms[::every])
        found = set(asyncio.run(self._prompts_in_kafka())) if said else set()  # an empty log is waited for in vain
        missing = said - found
        assert not missing, f"prompts not in Kafka: {missing}"
        assert said or not self.whole, "the shows had no prompts: they prove nothing"

    def _check_rooms(self, rooms: Sequence[str]) -> set[str]:
        prompts: set[str] = set()
        with self.client() as client:
            for room in rooms:
                report = asyncio.run(verify.verify(self.settings, room))
                lines = "\n".join(difference.line() for difference in report.differences[:20])
                assert not report.differences, f"{report.line()}\n{lines}"
                assert report.begins == 0
                found = numbers(client, room)
                wanted = self.sums(room)
                live = {name: found[f"{name}_show"]["value"] for name in SUMS}
                assert live == wanted, f"{room}: live sums differ from the events sent"
                entries = [fields for _, fields in client.xrange(f"liveroom:prompts:{room}")]
                issued = [
                    (data["id"], data["state"])
                    for fields in entries
                    if fields[b"kind"] in (b"prompt", b"past")
                    for data in [msgspec.json.decode(fields[b"data"])]
                ]
                assert len(issued) == len(set(issued)), f"{room}: a prompt is on the screen twice"
                prompts |= {id_ for id_, _ in issued}
        return prompts

    def sums(self, room: str) -> dict[str, Any]:
        """The sums of the show as the core alone makes them of the events sent."""
        key = id(self.shows[room])
        if key not in _sums:
            out = self.scratch / f"dry-{room}"
            values = (ev.encode(arrival.event) for arrival in self.shows[room])
            dry_run.dry_run(values, out, load_playbook(self.settings), RoomConfig(line_every_s=600))
            last = msgspec.json.decode((out / "numbers.ndjson").read_bytes().splitlines()[-1])["numbers"]
            _sums[key] = {name: last[f"{name}_show"]["value"] for name in SUMS}
        return _sums[key]

    async def _prompts_in_kafka(self) -> list[str]:
        topic = msgspec.structs.replace(self.settings, events_topic=self.settings.prompts_topic)
        async with aclosing(verify.records(topic, 0)) as log:
            return [msgspec.json.decode(record.value)["id"] async for record in log if record.value]


def _until(hurry: threading.Event | None, records: Iterator[replay.Record]) -> Iterator[replay.Record]:
    """Records while there is no hurry; what is not taken stays in `records`."""
    for record in records:
        yield record
        if hurry is not None and hurry.is_set():
            return


def _at_ms(client: "redis.Redis[bytes]", room: str) -> int:
    return int(client.hget(f"liveroom:numbers:{room}", "at_ms") or 0)


async def _end(settings: Settings, partition: int) -> int:
    tp = TopicPartition(settings.events_topic, partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False, group_id=None)
    await asyncio.wait_for(consumer.start(), 15)
    try:
        consumer.assign([tp])
        consumer.seek(tp, 0)
        await consumer.getmany(tp, timeout_ms=5_000, max_records=1)
        return consumer.highwater(tp) or 0
    finally:
        await consumer.stop()


class Crew:
    """Workers by number, each a process; what is not stopped by the test is stopped at the end."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings = settings
        self.log = log
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._said: dict[int, Path] = {}

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, *numbers: int, clock: str = "") -> None:
        """Start workers; `clock` is an expression of what `real()`, their own clock, must show."""
        command = ["-c", CLOCK.format(clock), "-v", "worker"] if clock else ["-m", "agents", "-v", "worker"]
        for number in numbers:
            said = self._said[number] = self.log.with_name(f"worker-{number}-{next(_numbers)}.out")
            with self.log.open("ab") as messages, said.open("wb") as out:
                self._processes[number] = subprocess.Popen(
                    [sys.executable, *command],
                    env=environment(self.settings),
                    stdout=out,
                    stderr=messages,
                    cwd=ROOT,
                )

    def ready(self, *numbers: int) -> None:
        """Wait until these workers say so."""
        for number in numbers:
            process, said = self._processes[number], self._said[number]
            wait_until(lambda p=process, s=said: s.read_text() or p.poll() is not None, READY_S, f"worker {number}")
            assert said.read_text(), f"worker {number} ended with {process.poll()}; {self.messages()}"

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self._processes[number].kill()
        self._processes[number].wait(STOP_S)

    def terminate(self, number: int) -> None:
        """SIGTERM, and wait for the polite end."""
        process = self._processes[number]
        process.terminate()
        code = process.wait(STOP_S)
        assert code == 0, f"worker {number} ended with {code}; {self.messages()}"

    def pause(self, number: int) -> None:
        """SIGSTOP."""
        self._processes[number].send_signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """SIGCONT."""
        self._processes[number].send_signal(signal.SIGCONT)

    def alive(self) -> list[int]:
        """The workers that run."""
        return [number for number, process in self._processes.items() if process.poll() is None]

    def messages(self) -> str:
        """The end of what the workers logged."""
        return self.log.read_text()[-4_000:]


class Restarted:
    """A server that a test kills and starts again on its port."""

    def __init__(self, make: Callable[[int], AbstractContextManager[embedded.Server]]) -> None:
        self._make = make
        self._context: AbstractContextManager[embedded.Server] | None = None
        self._port = 0

    def start(self) -> embedded.Server:
        """Start it; from the second time on, on the port of the first."""
        self._context = self._make(self._port)
        self.server = self._context.__enter__()
        self._port = self.server.port
        return self.server

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.server.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """Stop it, if it runs."""
        context, self._context = self._context, None
        if context is not None:
            context.__exit__(None, None, None)


@contextlib.contextmanager
def restarted(make: Callable[[int], AbstractContextManager[embedded.Server]]) -> Iterator[Restarted]:
    """A server of this test alone, started."""
    server = Restarted(make)
    server.start()
    try:
        yield server
    finally:
        server.stop()
