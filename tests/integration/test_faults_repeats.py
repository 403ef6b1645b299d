"""Answers of the broker that are lost in mid-replay: what the Kafka client then repeats counts once."""

import asyncio
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from agents import embedded, replay
from stream import events as ev
from tests.integration.conftest import required
from tests.integration.faults import Crew, Stage
from tests.integration.kafka import server as kafka_server
from tests.integration.proxy import Proxy, proxy
from tests.integration.test_faults_deliveries import logged_ids
from tests.integration.test_faults_servers import broker_behind
from tests.integration.workers import wait_until

pytestmark = pytest.mark.faults
REQUEST_BYTES_MIN = 10_000  # whatever asks for more than this writes events
CUTS_MIN = 4
QUIET_S = 0.3  # nothing more was asked for so long: the broker has the whole request
REPLAY_S = 90.0


@contextmanager
def kafka_behind(port: int, target: int) -> Iterator[embedded.Server]:
    """Apache Kafka on `target` that tells its clients to come to `port`."""
    if not kafka_server.present() and not required():
        pytest.skip("no Apache Kafka here")
    with kafka_server.kafka(target, advertised_port=port) as server:
        yield server


@pytest.mark.parametrize("kind", ["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_batches_whose_answers_are_lost_count_once(kind: str, redis_url: str, tmp_path: Path) -> None:
    """A recording without ids, as fast as it goes; again and again the line is cut when the broker has the batches.

    The rooms are so quiet that, by size alone, a batch would reach back further than rooms remember ids.
    """
    target = embedded.free_port()
    behind = broker_behind if kind == "tansu" else kafka_behind
    with proxy(target) as line, behind(line.port, target):
        stage = Stage(f"127.0.0.1:{line.port}", redis_url, tmp_path, minutes=15)
        recording = _thinned(stage, tmp_path / "show.ndjson")
        cuts = _replay_with_cuts(stage, recording, line)
        assert cuts >= CUTS_MIN, "the line was hardly cut: nothing is proved"
        with Crew(stage.settings, tmp_path / "workers.log") as crew:
            crew.start(0)
            crew.ready(0)
            stage.wait_until_done()
            stage.check()
        ids = logged_ids(stage)
        twice = sum(times - 1 for times in ids.values())
        print(f"\n{kind}: {cuts} cuts, {len(ids):,} events, {twice:,} of them in the log twice")
        assert len(ids) == stage.count
        assert (twice > 0) == (kind == "tansu")  # Apache Kafka itself drops what its client repeats


def _thinned(stage: Stage, path: Path) -> Path:
    """Leave a sixth of the stage's events, each once, and write them without ids, as a recording."""
    for room, show in stage.shows.items():
        once = {(type(arrival.event), arrival.event.id): arrival for arrival in reversed(show)}
        stage.shows[room] = list(reversed(once.values()))[::6]
    stage.count, stage.whole = sum(map(len, stage.shows.values())), False
    events = (ev.decode(record.value) for record in stage.records())
    path.write_bytes(b"\n".join(ev.encode(msgspec.structs.replace(event, id=None)) for event in events))
    return path


def _replay_with_cuts(stage: Stage, recording: Path, line: Proxy) -> int:
    """Replay; of every other request the answer is kept back, and the line is cut. Returns how often."""
    reports: list[replay.ReplayReport] = []
    thread = threading.Thread(
        target=lambda: reports.append(asyncio.run(replay.replay(stage.settings, [recording], math.inf)))
    )
    begun, cuts = line.asked, 0
    line.hold_at = begun + REQUEST_BYTES_MIN
    thread.start()
    while thread.is_alive():
        thread.join(0.02)
        if line.asked >= line.hold_at:
            _wait_for_quiet(line)
            line.sever()
            time.sleep(0.1)
            line.mend()
            size, begun = line.asked - begun, line.asked
            line.hold_at = begun + size + REQUEST_BYTES_MIN  # it comes again whole, and gets through
            cuts += 1
    assert [report.sent for report in reports] == [stage.count]
    return cuts


def _wait_for_quiet(line: Proxy) -> None:
    asked, since = line.asked, time.monotonic()

    def quiet() -> bool:
        nonlocal asked, since
        if line.asked != asked:
            asked, since = line.asked, time.monotonic()
        return time.monotonic() - since > QUIET_S

    wait_until(quiet, REPLAY_S, "the end of a request")
