"""Kafka as it is run for real: three nodes, each with a copy of everything, of which one dies on the air."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import required
from tests.integration.faults import Stage
from tests.integration.kafka import server as kafka_server
from tests.integration.kafka.cluster import Cluster, cluster
from tests.integration.test_faults_servers import on_air
from tests.integration.workers import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.kafka]
OFFSETS = "__consumer_offsets"  # whoever leads it coordinates the groups
FAILOVER_S = 60.0  # the others give a node up after 9 s
PLAY_S = 30.0


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes of this test alone."""
    if not kafka_server.present() and not required():
        pytest.skip("no Apache Kafka here")
    with cluster(tmp_path / "kafka") as made:
        yield made


def test_the_leader_is_killed(nodes: Cluster, redis_url: str, tmp_path: Path) -> None:
    """The node that coordinates the group and leads events is killed in mid-replay; later it comes back."""
    stage = Stage(nodes.address, redis_url, tmp_path, replication=3)
    topics = stage.settings.events_topic, stage.settings.prompts_topic, OFFSETS
    with on_air(stage, tmp_path, play_s=PLAY_S) as crew:
        assert [nodes.copies(topic) for topic in topics] == [3, 3, 3]
        leader = nodes.leaders(OFFSETS)[0]
        assert leader in nodes.leaders(stage.settings.events_topic).values()
        ends = stage.end_offsets()

        nodes.kill(leader)
        began = time.monotonic()
        beyond = {partition: end + 1 for partition, end in ends.items()}
        wait_until(lambda: stage.saved(beyond), FAILOVER_S, "all partitions written and saved again")
        recovered_s = time.monotonic() - began
        nodes.start(leader)
        wait_until(lambda: all(nodes.in_sync(topic) == 3 for topic in topics), FAILOVER_S, "all copies in sync")
        assert crew.alive() == [0, 1], crew.messages()
    print(f"\nleader and coordinator killed: all partitions written and saved again after {recovered_s:.1f} s")
