"""Workers that die, leave and sleep, in processes of their own: the numbers and prompts are those of a quiet run."""

import time
from pathlib import Path

import pytest

from agents import embedded
from tests.integration.faults import END_MS, SESSION_S, Crew, Stage
from tests.integration.workers import numbers

pytestmark = pytest.mark.faults
BACK_AFTER_S = 12  # from the start of Python on: when the worker has its rooms


def test_kill_9_of_one_of_three_workers_ten_times(broker: embedded.Server, redis_url: str, tmp_path: Path) -> None:
    """Ten workers killed while 60,000 events come: nothing is lost, nothing doubled."""
    stage = Stage(broker.address, redis_url, tmp_path, minutes=15)
    assert stage.count >= 60_000
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        crew.start(0, 1, 2)
        crew.ready(0, 1, 2)
        with stage.playing(50):
            for killed in range(10):
                stage.progressed(300)
                crew.kill(killed % 3)
                crew.start(killed % 3)
            crew.ready(0, 1, 2)
        print(f"\nkill -9 ten times: all caught up {stage.wait_until_done():.1f} s after the last event")
    stage.check()


def test_a_rolling_restart_loses_no_second(tansu: embedded.Server, redis_url: str, tmp_path: Path) -> None:
    """Three workers are told to stop and started again, one after the other, while events come."""
    stage = Stage(tansu.address, redis_url, tmp_path)
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        crew.start(0, 1, 2)
        crew.ready(0, 1, 2)
        with stage.playing(75):  # longer than three starts take on a busy machine
            for number in (0, 1, 2):
                stage.progressed(1_000)
                crew.terminate(number)
                crew.start(number)
                crew.ready(number)
        stage.wait_until_done()
    stage.check()


def test_a_worker_that_slept_does_not_write_over_its_heir(
    broker: embedded.Server, redis_url: str, tmp_path: Path
) -> None:
    """A worker stopped for longer than its session and woken again finds its partitions taken, and yields."""
    stage = Stage(broker.address, redis_url, tmp_path)
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        crew.start(0, 1)
        crew.ready(0, 1)
        with stage.playing(35):
            for number in (0, 1):
                stage.progressed(1_000)
                crew.pause(number)
                slept_until = time.monotonic() + SESSION_S + 3
                stage.progressed(1_500)
                while time.monotonic() < slept_until:
                    stage.progressed(1)
                crew.resume(number)
        stage.wait_until_done()
    stage.check()


def test_workers_whose_clocks_disagree(tansu: embedded.Server, redis_url: str, tmp_path: Path) -> None:
    """One worker is an hour ahead, one steps back by an hour, on a broker without a clock of its own: no room minds."""
    stage = Stage(tansu.address, redis_url, tmp_path)
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        crew.start(0, clock="real() + 3600")
        crew.start(1, clock=f"real() - 3600 * (real() - began > {BACK_AFTER_S})")
        back_at = time.monotonic() + BACK_AFTER_S + 1
        crew.ready(0, 1)
        with stage.playing(35):
            stage.progressed(5_000)
            while time.monotonic() < back_at:
                stage.progressed(1)
            stage.progressed(2_000)
            crew.kill(1)
            crew.start(1, clock="real() - 3600")
            crew.ready(1)
            stage.progressed(2_000)
        stage.wait_until_done()
        stage.check()
        with stage.client() as client:
            ahead = [numbers(client, room)["at_ms"] - END_MS for room in stage.rooms]
    assert max(ahead) < 120_000, "a room went by the clock of a worker"
