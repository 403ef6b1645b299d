"""Replay through real brokers: everything arrives once, in order, at the right partition and time."""

import asyncio
import gzip
import math
import os
import signal
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]  # it ships no types

from agents import batches, embedded, replay, simulate
from agents.settings import Settings
from agents.topics import create_topics
from stream import events as ev
from stream.errors import OperatorError
from tests.integration.kafka import server as kafka_server

WAIT_S = 20.0
END_MS = 1_760_000_000_000


async def consume(settings: Settings, count: int) -> list[Any]:
    """The first `count` records of the events topic."""
    async with AIOKafkaConsumer(
        settings.events_topic, bootstrap_servers=settings.kafka, auto_offset_reset="earliest"
    ) as consumer:
        records: list[Any] = []
        deadline = time.monotonic() + WAIT_S
        while len(records) < count and time.monotonic() < deadline:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records += batch
        return records


def test_a_show_arrives_whole_and_in_order(settings: Settings, tmp_path: Path) -> None:
    """Three rooms from two files, one of them packed: each room's bytes come in their order, keyed by the room."""
    written = defaultdict(list)
    for name, seeds in (("a.ndjson", [1]), ("b.ndjson.gz", [2, 3])):
        shows: list[simulate.Arrival] = [
            arrival for seed in seeds for arrival in simulate.show(seed, 10, END_MS, f"房{seed}")
        ]
        lines = [record.value for record in replay.records_of(sorted(shows, key=lambda arrival: arrival.offset_ms))]
        for line in lines:
            written[ev.decode(line).room.encode()].append(line)
        data = b"".join(line + b"\n" for line in lines)
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    report = asyncio.run(replay.replay(settings, [tmp_path / "a.ndjson", tmp_path / "b.ndjson.gz"], math.inf))
    records = asyncio.run(consume(settings, report.sent))

    assert (report.sent, report.rooms, report.bad) == (sum(map(len, written.values())), 3, 0)
    read = defaultdict(list)
    for record in records:
        read[record.key].append(record.value)
    assert {key: len(values) for key, values in read.items()} == {key: len(values) for key, values in written.items()}
    assert read["房1".encode()] == written["房1".encode()]
    assert len({(record.key, record.partition) for record in records}) == 3


def test_other_producers_agree_on_the_partition(settings: Settings) -> None:
    """A room's events lie where any producer's default partitioner puts them: one room, one order."""
    rooms = [f"room-{n}" for n in range(20)]
    records = [replay.Record(0, room.encode(), b"{}") for room in rooms]

    async def both() -> None:
        await replay.produce(settings, records, math.inf)
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all") as producer:
            for room in rooms:
                await producer.send_and_wait(settings.events_topic, b"{}", key=room.encode())

    asyncio.run(both())
    found = asyncio.run(consume(settings, 40))

    assert len(found) == 40
    assert len({(record.key, record.partition) for record in found}) == 20
    assert len({record.partition for record in found}) == settings.partitions


def test_the_pace_is_that_of_the_recording(settings: Settings, tmp_path: Path) -> None:
    """At speed 10, events 10 s apart arrive a second apart, by the records' own timestamps."""
    lines = [b'{"type":"like","room":"r","ts":%d}' % (END_MS + 5_000 * n) for n in range(4)]
    (tmp_path / "slow.ndjson").write_bytes(b"\n".join(lines))
    told: list[replay.Progress] = []

    report = asyncio.run(replay.replay(settings, [tmp_path / "slow.ndjson"], 10.0, None, told.append))
    stamps = [record.timestamp for record in asyncio.run(consume(settings, 4))]

    assert report.sent == 4
    assert report.seconds >= 1.4
    assert stamps[-1] - stamps[1] >= 900  # the first may wait for its topic's leader
    assert told[-1] == replay.Progress(4, 1.0)


def test_the_largest_event_fits(settings: Settings, tmp_path: Path) -> None:
    """An event as large as the contract allows goes through, untouched, between small ones that get ids."""
    head, tail = b'{"type":"catalogue.set","room":"r","ts":%d,"products":[],"by":"' % END_MS, b'"}'
    large = head + b"x" * (ev.MAX_EVENT_BYTES - len(head) - len(tail)) + tail
    small = b'{"type":"like","room":"r","ts":%d}' % END_MS
    (tmp_path / "large.ndjson").write_bytes(b"\n".join([small, large, small]))

    report = asyncio.run(replay.replay(settings, [tmp_path / "large.ndjson"], math.inf))

    assert (report.sent, report.bad) == (3, 0)
    first, middle, last = asyncio.run(consume(settings, 3))
    assert middle.value == large
    assert [ev.decode(first.value).id, ev.decode(last.value).id] != [None, None]
    assert {len(first.value), len(last.value)} < set(range(len(small), len(small) + replay.ID_BYTES))


@pytest.mark.kafka
def test_a_missing_topic_is_the_operators(kafka: embedded.Server, tmp_path: Path) -> None:
    """A topic that nobody made is said within seconds (the embedded broker makes it when asked about it)."""
    (tmp_path / "one.ndjson").write_bytes(b'{"type":"like","room":"r","ts":%d}' % END_MS)
    elsewhere = Settings(kafka=kafka.address, events_topic="made.by.nobody")
    began = time.monotonic()

    with pytest.raises(OperatorError, match="has no topic"):
        asyncio.run(replay.replay(elsewhere, [tmp_path / "one.ndjson"]))

    assert time.monotonic() - began < 12


@pytest.mark.parametrize("kind", ["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_a_broker_that_goes_away_is_said(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the broker dies in mid-replay the error says how far it came, also where the client would try for ever."""
    if kind == "kafka":
        request.getfixturevalue("kafka")  # skips, or fails, where there is none; the one that dies is another
    monkeypatch.setattr(batches, "SEND_TIMEOUT_S", 3.0)
    lines = [b'{"type":"like","room":"r","ts":%d}' % (END_MS + 100 * n) for n in range(100_000)]
    (tmp_path / "long.ndjson").write_bytes(b"\n".join(lines))

    async def run(broker: embedded.Server) -> None:
        mine = Settings(kafka=broker.address)
        await create_topics(mine.kafka, {mine.events_topic: 1})
        seen: list[replay.Progress] = []

        def kill(progress: replay.Progress) -> None:
            if progress.sent and not seen:
                seen.append(progress)
                os.kill(broker.pid, signal.SIGKILL)

        await asyncio.wait_for(replay.replay(mine, [tmp_path / "long.ndjson"], 100.0, None, kill), 90)

    make = embedded.broker if kind == "tansu" else kafka_server.kafka
    with make() as broker, pytest.raises(OperatorError, match="stopped taking events after"):
        asyncio.run(run(broker))
