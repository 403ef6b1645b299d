"""Redis and Kafka that die, stall, forget or are cut off: the numbers and prompts are those of a quiet run."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agents import embedded
from stream.errors import OperatorError
from tests.integration.conftest import required
from tests.integration.faults import SESSION_S, Crew, Restarted, Stage, restarted
from tests.integration.kafka import server as kafka_server
from tests.integration.proxy import proxy

pytestmark = pytest.mark.faults
PLAY_S = 18


@contextmanager
def on_air(stage: Stage, tmp_path: Path, workers: int = 2, play_s: float = PLAY_S) -> Iterator[Crew]:
    """Workers at work and events on their way while the block runs; afterwards everything has come out right."""
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        crew.start(*range(workers))
        crew.ready(*range(workers))
        with stage.playing(play_s):
            stage.progressed(1_000)
            yield crew
        stage.wait_until_done()
        stage.check()


# --- Redis


@pytest.mark.parametrize("file", ["its", "older", "no"])
def test_redis_killed_and_restarted(tansu: embedded.Server, tmp_path: Path, file: str) -> None:
    """Redis killed, away while thousands of events come, and back with its file, an older one or none."""
    directory = tmp_path / "redis"
    directory.mkdir()
    aof, older = directory / "appendonly.aof", tmp_path / "older.aof"
    with restarted(lambda port: embedded.redis(port, directory, appendonly=True)) as server:
        stage = Stage(tansu.address, server.server.address, tmp_path)
        with on_air(stage, tmp_path) as crew:
            shutil.copy(aof, older)
            stage.progressed(2_000)
            server.kill()
            stage.wait_sent(5_000)
            if file == "older":
                shutil.copy(older, aof)
            elif file == "no":
                aof.unlink()
            server.start()
            stage.progressed(100)
            assert crew.alive() == [0, 1], crew.messages()
        _nobody_complains_of_holes(crew)


def test_redis_slow_then_silent_then_cut(tansu: embedded.Server, redis_url: str, tmp_path: Path) -> None:
    """Redis that takes its time, does not answer for longer than its timeouts, and is cut off."""
    with proxy(int(redis_url.rsplit(":", 1)[1].split("/")[0])) as line:
        stage = Stage(tansu.address, f"redis://127.0.0.1:{line.port}/0", tmp_path)
        with on_air(stage, tmp_path) as crew:
            line.delay_s = 0.3
            stage.wait_sent(6_000)
            line.delay_s, line.held = 0.0, True
            stage.wait_sent(12_000)
            line.sever()
            stage.wait_sent(4_000)
            line.mend()
            stage.progressed(100)
            assert crew.alive() == [0, 1], crew.messages()


def test_a_snapshot_nobody_can_read_is_set_aside(tansu: embedded.Server, redis_url: str, tmp_path: Path) -> None:
    """Of three rooms' snapshots one is garbage, one of a newer version, one of other series: all are rebuilt."""
    stage = Stage(tansu.address, redis_url, tmp_path, minutes=10)
    with Crew(stage.settings, tmp_path / "workers.log") as crew, stage.client() as client:
        stage.play(0)
        crew.start(0)
        crew.ready(0)
        stage.wait_until_done()
        crew.terminate(0)
        garbage, newer, damaged = stage.rooms[:3]
        client.set(f"liveroom:snapshot:{garbage}", b"garbage")
        whole = client.get(f"liveroom:snapshot:{newer}")
        assert whole is not None
        client.set(f"liveroom:snapshot:{newer}", whole[:2] + bytes([whole[2] + 1]) + whole[3:])
        client.set(f"liveroom:snapshot:{damaged}", whole[:-40])
        crew.start(0)
        crew.ready(0)
        stage.wait_until_done()
        stage.check()
        log = crew.log.read_text()

        for room in (garbage, newer, damaged):
            assert client.exists(f"liveroom:unreadable:{room}")
            assert f"it is kept as liveroom:unreadable:{room}, and the room is rebuilt from the log" in log


# --- Kafka


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Restarted]:
    """A Kafka of this test alone, whose log outlives it."""
    if not kafka_server.present() and not required():
        pytest.skip("no Apache Kafka here")
    directory = tmp_path / "kafka"
    directory.mkdir()
    with restarted(partial(kafka_server.kafka, directory=directory)) as server:
        yield server


@pytest.mark.kafka
def test_kafka_killed_and_restarted(own_kafka: Restarted, redis_url: str, tmp_path: Path) -> None:
    """Kafka killed while events come: producers and workers find it again by themselves."""
    stage = Stage(own_kafka.server.address, redis_url, tmp_path)
    with on_air(stage, tmp_path) as crew:
        own_kafka.kill()
        own_kafka.start()
        stage.progressed(2_000, 60)
        assert crew.alive() == [0, 1], crew.messages()


@pytest.mark.kafka
def test_a_broker_that_stalls(own_kafka: Restarted, redis_url: str, tmp_path: Path) -> None:
    """The broker stands still for longer than a session, and goes on as if nothing had been."""
    broker = own_kafka.server
    stage = Stage(broker.address, redis_url, tmp_path)
    with on_air(stage, tmp_path) as crew:
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            until = time.monotonic() + SESSION_S + 4
            while time.monotonic() < until:
                assert crew.alive() == [0, 1], crew.messages()
                time.sleep(0.2)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        stage.progressed(2_000, 60)
        assert crew.alive() == [0, 1], crew.messages()


@contextmanager
def broker_behind(port: int, target: int) -> Iterator[embedded.Server]:
    """The embedded broker on `target` that tells its clients to come to `port`."""

    def command(on: int, _: Path) -> list[str]:
        own, told = f"tcp://127.0.0.1:{on}", f"tcp://127.0.0.1:{port}"
        urls = ["--listener-url", own, "--advertised-listener-url", told]
        return [embedded.broker_binary(), "broker", *urls, "--storage-engine", "memory://tansu/"]

    def answers(on: int) -> bool:
        return embedded.answers_metadata(on) or True  # it names the other port, so False here

    with embedded.serve("broker", command, answers, port=target) as server:
        yield server


def test_the_line_to_the_broker_is_cut(redis_url: str, tmp_path: Path) -> None:
    """Connections to the broker are cut in the middle of requests, twice, and answers withheld in between."""
    target = embedded.free_port()
    with proxy(target) as line, broker_behind(line.port, target):
        stage = Stage(f"127.0.0.1:{line.port}", redis_url, tmp_path)
        with on_air(stage, tmp_path) as crew:
            for _ in range(2):
                line.held = True
                _stand(crew, 2.0)
                line.sever()
                _stand(crew, SESSION_S + 1.0)
                line.mend()
                stage.progressed(2_000, 60)
            assert crew.alive() == [0, 1], crew.messages()


def test_a_worker_that_is_told_to_stop_while_kafka_is_away_ends(redis_url: str, tmp_path: Path) -> None:
    """A consumer in mid-fetch whose broker dies cannot be stopped: the worker waits for it so long, and no longer."""
    with restarted(embedded.broker) as broker:
        stage = Stage(broker.server.address, redis_url, tmp_path)
        with Crew(stage.settings, tmp_path / "workers.log") as crew:
            crew.start(0)
            crew.ready(0)
            with pytest.raises(OperatorError, match="stopped taking events"):
                _stop_without(broker, stage, crew)


def _stop_without(broker: Restarted, stage: Stage, crew: Crew) -> None:
    with stage.playing(PLAY_S):
        stage.progressed(1_000)
        broker.kill()
        crew.terminate(0)


def _stand(crew: Crew, seconds: float) -> None:
    """Let time pass; every worker must outlive it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert crew.alive() == [0, 1], crew.messages()
        time.sleep(0.1)


def _nobody_complains_of_holes(crew: Crew) -> Any:
    assert "ends before offset" not in crew.log.read_text(), crew.messages()
