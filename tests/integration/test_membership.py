"""A worker's place in its group: a consumer that crashed is replaced, and a group that counts anew is believed."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from agents import app as worker
from agents import embedded
from agents.transport import App
from tests.integration.faults import Crew, Stage
from tests.integration.workers import wait_until

START_S = 40.0


@contextmanager
def working_here(stage: Stage, made: list[App], monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    """A worker in a thread while the block runs; `made` gets every Faust app it makes. Its loop."""
    make = worker._app

    def noted(*args: Any) -> App:
        made.append(make(*args))
        return made[-1]

    monkeypatch.setattr(worker, "_app", noted)
    monkeypatch.setattr(worker, "AGAIN_S", (0.1,))
    loop, stop, ready, failed = asyncio.new_event_loop(), asyncio.Event(), threading.Event(), []

    def work() -> None:
        try:
            loop.run_until_complete(worker.run(stage.settings, stop, lambda _: ready.set()))
        except BaseException as error:
            failed.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    try:
        assert ready.wait(START_S), f"the worker did not start: {failed}"
        yield loop
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(START_S)
        assert not thread.is_alive(), "the worker did not stop"
    assert not failed, failed


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_consumer_that_crashed_is_followed_by_another(
    tansu: embedded.Server, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's Faust app crashes in the middle of a show: another one joins, and the room's numbers are right."""
    stage = Stage(tansu.address, redis_url, tmp_path, a_partition=1)
    made: list[App] = []
    with working_here(stage, made, monkeypatch) as loop:
        with stage.playing(10):
            stage.progressed(2_000)
            asyncio.run_coroutine_threadsafe(made[0].crash(RuntimeError("a bug in Faust")), loop).result(START_S)
            wait_until(lambda: len(made) == 2, START_S, "another consumer")
            stage.progressed(2_000)
        stage.wait_until_done()
        stage.check()


async def committed(stage: Stage) -> dict[int, int]:
    """The offsets the group has committed, by partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.settings.kafka)
    await admin.start()
    try:
        topic, count = stage.settings.events_topic, stage.settings.partitions
        asked = [TopicPartition(topic, number) for number in range(count)]  # Tansu's answer for "all" is cut short
        found = await admin.list_consumer_group_offsets(stage.settings.group, partitions=asked)
    finally:
        await admin.close()
    return {tp.partition: held.offset for tp, held in found.items()}


@pytest.mark.faults
def test_a_group_that_counts_anew_is_believed(broker: embedded.Server, redis_url: str, tmp_path: Path) -> None:
    """Redis remembers a generation of long ago; the broker confirms ours, and the rooms are fed."""
    stage = Stage(broker.address, redis_url, tmp_path, a_partition=1, events=1_000)
    with stage.client() as client:
        for partition in range(stage.settings.partitions):
            client.hset(f"liveroom:fences:{stage.settings.events_topic}", str(partition), "999 somebody")
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        crew.start(0)
        stage.play(0)
        crew.ready(0)
        stage.wait_until_done()
    stage.check()
    assert "the group counts anew; taken over from 999 somebody" in crew.log.read_text()
    assert sum(asyncio.run(committed(stage)).values()) >= stage.count, "lag tools see no progress"
