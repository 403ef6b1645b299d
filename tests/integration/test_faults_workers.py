"""Workers that die, leave and sleep, in processes of their own: the numbers and prompts are those of a quiet run."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import embedded
from tests.integration.faults import SESSION_S, Crew, Stage

pytestmark = pytest.mark.faults


@pytest.fixture
def stage(broker: embedded.Server, redis_url: str, tmp_path: Path) -> Stage:
    """Six rooms on three partitions, 60,000 events."""
    return Stage(broker.address, redis_url, tmp_path)


@pytest.fixture
def crew(stage: Stage, tmp_path: Path) -> Iterator[Crew]:
    """Workers to be."""
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        yield crew


def test_kill_9_of_one_of_three_workers_ten_times(stage: Stage, crew: Crew) -> None:
    """Ten workers killed while 60,000 events come: nothing is lost, nothing doubled."""
    crew.start(0, 1, 2)
    crew.ready(0, 1, 2)
    with stage.playing(45):
        for killed in range(10):
            stage.progressed(1_000)
            crew.kill(killed % 3)
            crew.start(killed % 3)
    crew.ready(0, 1, 2)
    print(f"\nkill -9 ten times: all caught up {stage.wait_until_done():.1f} s after the last event")
    stage.check()


def test_a_rolling_restart_loses_no_second(stage: Stage, crew: Crew) -> None:
    """Three workers are told to stop and started again, one after the other, while events come."""
    crew.start(0, 1, 2)
    crew.ready(0, 1, 2)
    with stage.playing(30):
        for number in (0, 1, 2):
            stage.progressed(1_000)
            crew.terminate(number)
            crew.start(number)
            crew.ready(number)
    stage.wait_until_done()
    stage.check()


def test_a_worker_that_slept_does_not_write_over_its_heir(stage: Stage, crew: Crew) -> None:
    """A worker stopped for longer than its session and woken again finds its partitions taken, and yields."""
    crew.start(0, 1)
    crew.ready(0, 1)
    with stage.playing(30):
        for number in (0, 1):
            stage.progressed(1_000)
            crew.pause(number)
            slept_until = time.monotonic() + SESSION_S + 3
            stage.progressed(1_500)
            while time.monotonic() < slept_until:
                stage.progressed(10)
            crew.resume(number)
    stage.wait_until_done()
    stage.check()
