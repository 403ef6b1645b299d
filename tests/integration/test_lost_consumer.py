"""Faust gives up on its consumer for good now and then; the worker makes another one and keeps its rooms."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agents import app as worker
from agents import embedded
from agents.transport import App
from tests.integration.faults import Stage
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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_consumer_that_crashed_is_followed_by_another(
    tansu: embedded.Server, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's Faust app crashes in the middle of a show: another one joins, and the room's numbers are right."""
    stage = Stage(tansu.address, redis_url, tmp_path, a_partition=1)
    made: list[App] = []
    with working_here(stage, made, monkeypatch) as loop, stage.playing(10):
        stage.progressed(2_000)
        asyncio.run_coroutine_threadsafe(made[0].crash(RuntimeError("a bug in Faust")), loop).result(START_S)
        wait_until(lambda: len(made) == 2, START_S, "another consumer")
        stage.progressed(2_000)
        stage.wait_until_done()
        stage.check()
