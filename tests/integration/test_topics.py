"""Topics as they are made, and what a start says about topics that are not as they must be."""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec

from agents import embedded
from agents.settings import Settings
from agents.topics import RETENTION_MS, create_topics, misfits, safe
from tests.integration.workers import environment

ROOT = Path(__file__).parents[2]


def test_our_own_topics_are_safe_and_others_are_named(broker: embedded.Server, settings: Settings) -> None:
    """Of a topic we made nothing is unsafe; one kept for a minute by the writers' clocks is named, with what to do."""
    odd = f"{settings.events_topic}.odd"
    unsafe = {"retention.ms": "60000", "message.timestamp.type": "CreateTime"}
    asyncio.run(create_topics(settings.kafka, {odd: 1}, config=unsafe))

    assert asyncio.run(misfits(settings.kafka, [settings.events_topic])) == []
    retention, clock = asyncio.run(misfits(settings.kafka, [odd]))
    assert retention.startswith(f"topic {odd} has retention.ms=60000: a show that is longer")
    assert retention.endswith(f"--topic {odd} --add-config retention.ms={RETENTION_MS}")
    assert "message.timestamp.type=CreateTime" in clock


def test_what_is_acknowledged_outlives_a_broker_where_there_are_three() -> None:
    """One broker needs itself, three need two in step."""
    assert [safe(replication)["min.insync.replicas"] for replication in (1, 2, 3)] == ["1", "1", "2"]


def test_a_worker_refuses_another_number_of_partitions(settings: Settings) -> None:
    """A worker set to 5 partitions on a topic of 2 ends with 1 and says which setting to change."""
    wrong = msgspec.structs.replace(settings, partitions=5)
    found = subprocess.run(
        [sys.executable, "-m", "agents", "worker"],
        env=environment(wrong),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert found.returncode == 1
    assert f"topic {settings.events_topic} has 2 partitions, not 5; set LIVEROOM_PARTITIONS to 2" in found.stderr
