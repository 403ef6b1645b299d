"""The embedded servers and the real Kafka: they answer, they keep what they should, and nothing outlives us."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]  # it ships no types

from agents import embedded
from agents.settings import Settings
from agents.topics import create_topics
from stream.errors import OperatorError

WAIT_S = 15.0


def test_a_record_comes_back(settings: Settings) -> None:
    """What was written is read again, with its key."""

    async def roundtrip() -> tuple[bytes | None, bytes | None]:
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all") as producer:
            await producer.send_and_wait(settings.events_topic, b"value", key=b"room")
        async with AIOKafkaConsumer(
            settings.events_topic, bootstrap_servers=settings.kafka, auto_offset_reset="earliest"
        ) as consumer:
            record = await asyncio.wait_for(consumer.getone(), WAIT_S)
            return record.key, record.value

    assert asyncio.run(roundtrip()) == (b"room", b"value")


def test_topics_are_made_once(settings: Settings) -> None:
    """A topic that exists keeps its partitions; the answer says how many they are."""
    wanted = {settings.events_topic: 7, f"{settings.events_topic}.more": 3}

    first = asyncio.run(create_topics(settings.kafka, wanted))

    assert first == {settings.events_topic: 2, f"{settings.events_topic}.more": 3}
    assert asyncio.run(create_topics(settings.kafka, wanted)) == first


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no port:at all"])
def test_a_missing_broker_is_the_operators(address: str) -> None:
    """A wrong address is an error that names the setting, within seconds."""
    began = time.monotonic()

    with pytest.raises(OperatorError, match="LIVEROOM_KAFKA"):
        asyncio.run(create_topics(address, {"x": 1}))

    assert time.monotonic() - began < 10


@pytest.mark.parametrize("turn", ["first", "second"])
def test_redis_starts_empty(redis_url: str, turn: str) -> None:
    """No test finds what another left."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", turn)


def test_redis_keeps_nothing_by_default(tmp_path: Path) -> None:
    """Without `appendonly` a restart in the same directory finds nothing, and no file."""
    assert _written_then_read(tmp_path, appendonly=False) is None
    assert list(tmp_path.iterdir()) == []


def test_redis_keeps_what_was_appended(tmp_path: Path) -> None:
    """With `appendonly` a restart in the same directory finds what was written."""
    assert _written_then_read(tmp_path, appendonly=True) == b"1"


def _written_then_read(directory: Path, appendonly: bool) -> object:
    with (
        embedded.redis(directory=directory, appendonly=appendonly) as server,
        redis.Redis.from_url(server.address) as client,
    ):
        client.set("kept", "1")
    with (
        embedded.redis(directory=directory, appendonly=appendonly) as server,
        redis.Redis.from_url(server.address) as client,
    ):
        return client.get("kept")


@pytest.mark.parametrize("start", [embedded.broker, embedded.redis])
def test_a_taken_port_is_said(start: Callable[..., AbstractContextManager[embedded.Server]]) -> None:
    """When the port is another's, the error shows the server's own words and what to do."""
    with socket.socket() as other:
        other.bind((embedded.LOOPBACK, 0))
        other.listen()

        with pytest.raises(OperatorError, match=r"(?is)did not start.*address.*in use.*LIVEROOM_"):
            start(port=other.getsockname()[1], timeout_s=5).__enter__()


def test_servers_end_with_the_block() -> None:
    """After the block neither process nor port is left."""
    with embedded.broker() as broker, embedded.redis() as store:
        pids = [broker.pid, store.pid]
        assert all(map(psutil.pid_exists, pids))

    assert not any(map(psutil.pid_exists, pids))
    assert not broker.log.parent.exists()


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM])
def test_servers_die_with_their_parent(deadly: signal.Signals) -> None:
    """A parent that is killed, even outright, leaves no server behind, nor what it wrote."""
    script = (
        "import sys, threading\n"
        "from agents import embedded\n"
        "with embedded.broker() as a, embedded.redis() as b:\n"
        "    print(a.pid, b.pid, a.log.parent, b.log.parent, flush=True)\n"
        "    threading.Event().wait(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=_env()) as parent:
        assert parent.stdout is not None
        *pids, one, other = parent.stdout.readline().split()
        servers, written = [psutil.Process(int(pid)) for pid in pids], [Path(one), Path(other)]
        assert len(servers) == 2
        assert all(path.is_dir() for path in written)
        parent.send_signal(deadly)
        parent.wait(WAIT_S)

    deadline = time.monotonic() + WAIT_S
    while any(map(_alive, servers)) or any(path.exists() for path in written):
        assert time.monotonic() < deadline, "a server, or its scratch directory, outlived its parent"
        time.sleep(0.05)


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)  # nobody reaps orphans in some containers
    except psutil.NoSuchProcess:
        return False


def _env() -> dict[str, str]:
    root = str(Path(__file__).parent.parent.parent)
    return dict(os.environ) | {"PYTHONPATH": root}
