"""A real Apache Kafka for tests: KRaft nodes from the jars that Maven fetches, in scratch directories.

`python -m tests.integration.kafka.server` fetches the jars into $KAFKA_LIBS (default: a folder of the user's cache).
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agents.embedded import Probe, Server, answers_metadata, free_port, serve

POM = Path(__file__).with_name("pom.xml")
FETCH_TIMEOUT_S = 300
FORMAT_TIMEOUT_S = 60
START_TIMEOUT_S = 60.0  # two JVM starts on a busy machine
CLUSTER_START_TIMEOUT_S = 150.0  # six of them at once
# No node lives for so long that the second compiler's work would pay: a start takes a third less without it.
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"  # any 16 bytes in base64

_formatted: dict[int, dict[str, bytes]] = {}  # what the storage tool writes for a node: by its number, always the same

PROPERTIES = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={directory}/data
auto.create.topics.enable=false
min.insync.replicas={enough}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={enough}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={enough}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=2
log.cleaner.enable=false
"""


class Node(NamedTuple):
    """One of a cluster: its number, and where its clients and the other nodes find it."""

    number: int
    port: int
    controller_port: int


def libs() -> Path:
    """Where the jars are, or would be."""
    named = os.environ.get("KAFKA_LIBS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "liveroom" / "kafka-libs"


def present() -> bool:
    """Are the jars here, and a Java to run them?"""
    return shutil.which("java") is not None and any(libs().glob("kafka_2.13-*.jar"))


def fetch() -> None:
    """Have Maven put the jars into `libs()`; raises when it cannot."""
    libs().mkdir(parents=True, exist_ok=True)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={libs().resolve()}", "-DincludeScope=runtime"]
    subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *goal], check=True, timeout=FETCH_TIMEOUT_S)


@contextlib.contextmanager
def kafka(port: int = 0, directory: Path | None = None, advertised_port: int = 0) -> Iterator[Server]:
    """A broker while the block runs, on a free port unless named; empty, or with what an earlier one left in
    `directory`. With `advertised_port` it sends its clients there.
    """

    def command(on: int, scratch: Path) -> list[str]:
        only = Node(1, on, free_port())
        return _command([only], only, scratch, directory or scratch, advertised_port)

    with serve("kafka", command, _answers(advertised_port != 0), port=port, timeout_s=START_TIMEOUT_S) as server:
        yield server


def cluster(size: int = 3) -> list[Node]:
    """Nodes that do not run yet."""
    ports = {free_port() for _ in range(4 * size)}  # the same one may be free twice
    return [Node(number, ports.pop(), ports.pop()) for number in range(1, size + 1)]


@contextlib.contextmanager
def node(nodes: Sequence[Node], one: Node, directory: Path) -> Iterator[Server]:
    """One node of a cluster while the block runs; it answers once most of the others run as well."""

    def command(_: int, scratch: Path) -> list[str]:
        return _command(nodes, one, scratch, directory)

    with serve("kafka", command, _answers(True), port=one.port, timeout_s=CLUSTER_START_TIMEOUT_S) as server:
        yield server


def _answers(others: bool) -> Probe:
    """Does a broker answer? With `others`, it names more ports than its own, or none of its own."""
    return lambda port: answers_metadata(port) or others


def _command(nodes: Sequence[Node], one: Node, scratch: Path, directory: Path, advertised_port: int = 0) -> list[str]:
    properties = scratch / "server.properties"
    text = PROPERTIES.format(
        **one._asdict(),
        voters=",".join(f"{node.number}@127.0.0.1:{node.controller_port}" for node in nodes),
        advertised_port=advertised_port or one.port,
        directory=directory,
        copies=len(nodes),
        enough=max(1, len(nodes) - 1),
    )
    properties.write_text(text)
    size = "-Xmx512m" if len(nodes) == 1 else "-Xmx256m"  # of several at once each stays small
    java = [*JAVA, size, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{libs().resolve()}/*"]
    _format(java, properties, one.number, directory / "data")
    return [*java, "kafka.Kafka", str(properties)]


def _format(java: Sequence[str], properties: Path, number: int, data: Path) -> None:
    """Make a node's storage, unless an earlier start did; a JVM is started for the first of each number alone."""
    if data.exists():
        return
    if number not in _formatted:
        formatting = [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(properties)]
        done = subprocess.run(formatting, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, check=False)
        assert done.returncode == 0, f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}"
        _formatted[number] = {path.name: path.read_bytes() for path in data.iterdir()}
        return
    data.mkdir(parents=True)
    for name, content in _formatted[number].items():
        (data / name).write_bytes(content)


if __name__ == "__main__":
    fetch()
    print(f"{len(list(libs().glob('*.jar')))} jars in {libs()}", file=sys.stderr)
