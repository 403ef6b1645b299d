"""Kafka as it is run for real: three nodes, each with a copy of everything, of which one dies on the air."""

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from tests.integration.conftest import required
from tests.integration.faults import PARTITIONS, Stage
from tests.integration.kafka import server as kafka_server
from tests.integration.kafka.cluster import Cluster, cluster
from tests.integration.test_faults_deliveries import gateway, logged_ids, post
from tests.integration.test_faults_servers import on_air
from tests.integration.workers import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.kafka]
OFFSETS = "__consumer_offsets"  # whoever leads it coordinates the groups
FAILOVER_S = 60.0  # the others give a node up after 9 s
PLAY_S = 20.0


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes; a test leaves all of them running."""
    if not kafka_server.present() and not required():
        pytest.skip("no Apache Kafka here")
    with cluster(tmp_path_factory.mktemp("kafka")) as made:
        yield made


def test_the_leader_is_killed(nodes: Cluster, redis_url: str, tmp_path: Path) -> None:
    """The node that coordinates the group and leads events is killed in mid-replay; later it comes back."""
    stage = Stage(nodes.address, redis_url, tmp_path, replication=3)
    topics = stage.settings.events_topic, stage.settings.prompts_topic, OFFSETS
    with on_air(stage, tmp_path, play_s=PLAY_S) as crew:
        assert [nodes.copies(topic) for topic in topics] == [3, 3, 3]
        leader = nodes.leaders(OFFSETS)[0]
        assert leader in nodes.leaders(stage.settings.events_topic).values()

        nodes.kill(leader)
        began = time.monotonic()
        wait_until(lambda: not _leads(nodes, leader, topics), FAILOVER_S, "other leaders")
        elected_s = time.monotonic() - began
        beyond = {partition: end + 1 for partition, end in stage.end_offsets().items()}
        wait_until(lambda: stage.saved(beyond), FAILOVER_S, "all partitions written and saved again")
        recovered_s = time.monotonic() - began
        nodes.start(leader)
        wait_until(lambda: all(nodes.in_sync(topic) == 3 for topic in topics), FAILOVER_S, "all copies in sync")
        assert crew.alive() == [0, 1], crew.messages()
    print(
        f"\nleader and coordinator killed: others elected after {elected_s:.1f} s, "
        f"all partitions written and saved again after {recovered_s:.1f} s"
    )


def _leads(nodes: Cluster, leader: int, topics: Iterable[str]) -> bool:
    try:
        return any(leader in nodes.leaders(topic).values() for topic in topics)
    except KafkaError:  # it was the dead one that was asked
        return True


def test_a_gateway_goes_on_when_a_partition_has_its_leader_again(
    nodes: Cluster, redis_url: str, tmp_path: Path
) -> None:
    """Without copies a partition is away with its node, so long that writes fail; the others are not. It comes back.

    A producer that the broker knows by an id is of no use after such a failure.
    """
    stage = Stage(nodes.address, redis_url, tmp_path, a_partition=1, events=1)
    topic, tried = stage.settings.events_topic, itertools.count()
    away, *others = stage.rooms
    taken: list[str] = []

    def told(room: str) -> bool:
        key = f"try-{next(tried)}"
        answer = post(url, room, b'{"type":"like"}', key)
        taken.extend([f"{room}like{key}#0"] if answer else [])
        return answer is not None

    with gateway(stage.settings, tmp_path / "gateway.log") as (_, url):
        wait_until(lambda: all(told(room) for room in stage.rooms), FAILOVER_S, "a gateway that takes events")
        partition = DefaultPartitioner()(away.encode(), list(range(PARTITIONS)), list(range(PARTITIONS)))
        leader = nodes.leaders(topic)[partition]

        nodes.kill(leader)
        wait_until(lambda: not _leads(nodes, leader, [topic]), FAILOVER_S, "a partition without a leader")
        for _ in range(2):
            assert not told(away)
            assert all(told(room) for room in others for _ in range(3))
        nodes.start(leader)
        wait_until(lambda: told(away), FAILOVER_S, "events of the partition taken again")
        assert all(told(room) for room in stage.rooms for _ in range(3))
    found = logged_ids(stage)
    assert found.keys() >= set(taken)
    assert set(found.values()) == {1}
