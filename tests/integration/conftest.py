"""Real servers for the tests of this folder: Redis, the embedded broker, Apache Kafka.

Servers live as long as the session; every test has its own topics and group, and an empty Redis.
"""

import asyncio
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from agents import embedded
from agents.settings import Settings
from agents.topics import create_topics
from tests.integration.kafka import server as kafka_server

HERE = Path(__file__).parent
_numbers = itertools.count(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything in this folder needs servers, and says so; faults take minutes, and run when they are named."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)
    if "faults" not in config.option.markexpr:
        faults = [item for item in items if item.get_closest_marker("faults")]
        items[:] = [item for item in items if item not in faults]
        config.hook.pytest_deselected(items=faults)


def required() -> bool:
    """Is a missing server a failure here?"""
    return os.environ.get("REQUIRE_SERVERS") == "1"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[embedded.Server]:
    """The embedded Redis, for tests that need its pid; most want `redis_url`."""
    with embedded.redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: embedded.Server) -> str:
    """A real, empty Redis."""
    with redis.Redis.from_url(redis_server.address) as client:
        client.flushall()
    return redis_server.address


@pytest.fixture(scope="session")
def tansu() -> Iterator[embedded.Server]:
    """The embedded broker."""
    with embedded.broker() as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[embedded.Server]:
    """Apache Kafka, one KRaft node."""
    if not kafka_server.present() and required():
        try:
            kafka_server.fetch()
        except (OSError, subprocess.SubprocessError) as error:
            pytest.fail(f"REQUIRE_SERVERS=1, and Apache Kafka cannot be fetched: {error}")
    if not kafka_server.present():
        how = "python -m tests.integration.kafka.server"
        pytest.skip(f"no Apache Kafka in {kafka_server.libs()}, or no java; `{how}` fetches it")
    with kafka_server.kafka() as server:
        yield server


@pytest.fixture(scope="session", params=["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> embedded.Server:
    """Either broker, one after the other: `broker.address` are the bootstrap servers."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, embedded.Server)
    return server


@pytest.fixture
def settings(broker: embedded.Server, redis_url: str) -> Settings:
    """Settings with topics (made, 2 partitions), a group and a Redis that no other test sees."""
    mine = f"t{os.getpid()}-{next(_numbers)}"
    made = Settings(
        kafka=broker.address,
        redis=redis_url,
        group=f"{mine}.group",
        events_topic=f"{mine}.events",
        rejected_topic=f"{mine}.rejected",
        prompts_topic=f"{mine}.prompts",
        partitions=2,
        session_timeout_s=4,
        rebalance_timeout_s=3,
        heartbeat_s=1,
        gateway_port=0,
        metrics_port=0,
    )
    topics = dict.fromkeys([made.events_topic, made.rejected_topic, made.prompts_topic], made.partitions)
    asyncio.run(create_topics(made.kafka, topics, made.replication))
    return made


@pytest.fixture
def topics(settings: Settings) -> tuple[str, str, str]:
    """The names of this test's events, rejected and prompts topics; they exist."""
    return settings.events_topic, settings.rejected_topic, settings.prompts_topic
