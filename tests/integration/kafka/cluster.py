"""Three nodes of Apache Kafka, each of which may die alone, and what a test asks of them from outside."""

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.integration.faults import Restarted
from tests.integration.kafka import server
from tests.integration.workers import wait_until

JOIN_TIMEOUT_S = 90.0
ASK_TIMEOUT_MS = 5_000


class Cluster:
    """Nodes by number; `address` names all of them, so that one which is dead does no harm."""

    def __init__(self, directory: Path) -> None:
        nodes = server.cluster()
        self.address = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        self._nodes: dict[int, Restarted] = {}
        for node in nodes:
            self._nodes[node.number] = Restarted(
                lambda _, one=node: server.node(nodes, one, directory / f"node-{one.number}")
            )

    def start(self, *numbers: int) -> None:
        """Start these nodes (none named: all) at once, and wait until all nodes know one another."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda number: self._nodes[number].start(), numbers or self._nodes))
        wait_until(lambda: self._known() == self._nodes.keys(), JOIN_TIMEOUT_S, "all nodes in the cluster")

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self._nodes[number].kill()

    def stop(self) -> None:
        """Stop what runs; hard, since nodes that leave politely wait for one another."""
        for node in self._nodes.values():
            with contextlib.suppress(ProcessLookupError):
                node.kill()

    def leaders(self, topic: str) -> dict[int, int]:
        """The node that leads each partition; -1: none does."""
        return {partition["partition"]: partition["leader"] for partition in self._partitions(topic)}

    def in_sync(self, topic: str) -> int:
        """The nodes that have everything of every partition of the topic."""
        return min(len(partition["isr"]) for partition in self._partitions(topic))

    def copies(self, topic: str) -> int:
        """The nodes that should have every partition of the topic."""
        return min(len(partition["replicas"]) for partition in self._partitions(topic))

    def _partitions(self, topic: str) -> list[dict[str, Any]]:
        [described] = self._ask("describe_topics", [topic])
        assert described["partitions"], f"no topic {topic}"
        partitions: list[dict[str, Any]] = described["partitions"]
        return partitions

    def _known(self) -> set[int]:
        try:
            return {broker["node_id"] for broker in self._ask("describe_cluster")["brokers"]}
        except KafkaError:
            return set()

    def _ask(self, what: str, *arguments: Any) -> Any:
        async def ask() -> Any:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=ASK_TIMEOUT_MS)
            try:
                await admin.start()
                return await getattr(admin, what)(*arguments)
            finally:
                await admin.close()

        return asyncio.run(ask())


@contextlib.contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    """A cluster of three while the block runs."""
    made = Cluster(directory)
    try:
        made.start()
        yield made
    finally:
        made.stop()
