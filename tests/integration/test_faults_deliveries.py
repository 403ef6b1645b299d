"""What comes twice, late or half answered counts once; and how soon a worker with many rooms is back."""

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents import embedded, replay, verify
from agents.settings import Settings
from stream import events as ev
from tests.integration.faults import PARTITIONS, ROOT, Crew, Stage
from tests.integration.proxy import proxy
from tests.integration.test_faults_servers import broker_behind
from tests.integration.workers import environment, wait_until

pytestmark = pytest.mark.faults
GATEWAY_READY_S = 30.0
POST_TIMEOUT_S = 20.0


def test_what_comes_twice_counts_once(tansu: embedded.Server, redis_url: str, tmp_path: Path) -> None:
    """One event in ten again, up to a minute later, in a feed that is out of order already."""
    stage = Stage(tansu.address, redis_url, tmp_path)
    chance = random.Random(7)
    again = [
        replay.Record(record.at_ms + chance.randint(0, 60_000), record.key, record.value)
        for show in stage.shows.values()
        for record in replay.records_of(show)
        if chance.random() < 0.1
    ]
    stage.repeats = sorted(again, key=lambda record: record.at_ms)
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        crew.start(0)
        crew.ready(0)
        stage.play(10)
        stage.wait_until_done()
    stage.check()


@contextmanager
def gateway(settings: Settings, log: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A gateway in a process of its own, and its address."""
    said = log.with_suffix(".out")
    with log.open("ab") as messages, said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents", "gateway"],
            env=environment(settings),
            stdout=out,
            stderr=messages,
            cwd=ROOT,
        )
    try:
        wait_until(lambda: said.read_text() or process.poll() is not None, GATEWAY_READY_S, f"a gateway; see {log}")
        yield process, said.read_text().split()[-1]
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(GATEWAY_READY_S)


def post(url: str, room: str, body: bytes, key: str) -> dict[str, Any] | None:
    """What the gateway answers, None where it does not."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    request = urllib.request.Request(f"{url}/v1/rooms/{room}/events", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=POST_TIMEOUT_S) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found
    except OSError:
        return None


def test_a_gateway_killed_between_accepting_and_answering(redis_url: str, tmp_path: Path) -> None:
    """Batches of events without ids, their gateway killed once Kafka has them: sent again, they count once."""
    target = embedded.free_port()
    with proxy(target) as line, broker_behind(line.port, target):
        stage = Stage(f"127.0.0.1:{line.port}", redis_url, tmp_path, minutes=10, a_partition=1, events=2_000)
        batches = list(_batches(stage, 250))
        with Crew(stage.settings, tmp_path / "workers.log") as crew:
            crew.start(0)
            crew.ready(0)
            waiting = list(batches)
            while waiting:
                with gateway(stage.settings, tmp_path / "gateway.log") as (process, url):
                    for done, (room, key, body) in enumerate(waiting):
                        if done == 7:
                            _kill_before_the_answer(process, line, url, room, key, body)
                            break
                        wait_until(lambda u=url, r=room, b=body, k=key: post(u, r, b, k), 60.0, "an answer")
                    else:
                        done = len(waiting)
                    waiting = waiting[done:]
            stage.wait_until_done()
            stage.check()
        twice = [id_ for id_, count in logged_ids(stage).items() if count > 1]
        assert len(twice) >= 250, "no gateway was killed in time: nothing was proved"


def _batches(stage: Stage, size: int) -> Iterator[tuple[str, str, bytes]]:
    """(room, idempotency key, body) of all shows, in turn; each event sent once, and none with an id."""
    seen: set[tuple[str, type, str | None]] = set()
    feeds: dict[str, list[ev.RoomEvent]] = {room: [] for room in stage.rooms}
    for room, show in stage.shows.items():
        for arrival in show:
            name = room, type(arrival.event), arrival.event.id
            if name not in seen:
                feeds[room].append(arrival.event)
            seen.add(name)
    for start in range(0, max(map(len, feeds.values())), size):
        for room, events in feeds.items():
            some = [msgspec.structs.replace(event, id=None) for event in events[start : start + size]]
            if some:
                yield room, f"{room}-{start}", b"[" + b",".join(map(ev.encode, some)) + b"]"


def _kill_before_the_answer(
    process: "subprocess.Popen[bytes]", line: Any, url: str, room: str, key: str, body: bytes
) -> None:
    """Post, let the events reach the broker and no acknowledgement come back, then SIGKILL."""
    before = line.asked
    line.held = True
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(post(url, room, body, key)))
    thread.start()
    wait_until(lambda: line.asked >= before + len(body), 10.0, "the events on their way to the broker")
    process.kill()
    process.wait(10)
    thread.join(POST_TIMEOUT_S)
    line.mend()
    assert answers == [None]


def logged_ids(stage: Stage) -> Counter[str]:
    """How often each id stands in the log."""

    async def read() -> Counter[str]:
        found: Counter[str] = Counter()
        for partition in range(PARTITIONS):
            async with aclosing(verify.records(stage.settings, partition)) as log:
                async for record in log:
                    event = msgspec.json.decode(record.value or b"{}")
                    if event.get("id"):
                        found[event["room"] + event["type"] + event["id"]] += 1
        return found

    return asyncio.run(read())


def test_a_worker_with_100_rooms_is_back_soon(broker: embedded.Server, redis_url: str, tmp_path: Path) -> None:
    """A worker with 102 rooms is killed; how long its successor takes to be where the log ends is printed."""
    stage = Stage(broker.address, redis_url, tmp_path, minutes=10, a_partition=34, events=600)
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        crew.start(0)
        crew.ready(0)
        stage.play(0)
        stage.wait_until_done()
        crew.kill(0)
        began = time.monotonic()
        crew.start(1)
        crew.ready(1)
        loaded_s = time.monotonic() - began
        caught_up_s = stage.wait_until_done() + loaded_s
        stage.check(every=7)
        loads = [text for text in crew.log.read_text().splitlines() if " rooms in " in text][-PARTITIONS:]
    print(f"\n102 rooms: joined and loaded {loaded_s:.1f} s after the kill, saved at the log's end {caught_up_s:.1f} s")
    print("\n".join(text.split("agents.rooms: ")[-1] for text in loads))
