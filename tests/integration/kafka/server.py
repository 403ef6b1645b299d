"""A real Apache Kafka for tests: one KRaft node from the jars that Maven fetches, in a scratch directory.

`python -m tests.integration.kafka.server` fetches the jars into $KAFKA_LIBS (default: a folder of the user's cache).
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from agents.embedded import Server, answers_metadata, free_port, serve

POM = Path(__file__).with_name("pom.xml")
FETCH_TIMEOUT_S = 300
FORMAT_TIMEOUT_S = 60
START_TIMEOUT_S = 60.0  # two JVM starts on a busy machine
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"  # any 16 bytes in base64

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={directory}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=2
log.cleaner.enable=false
"""


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
def kafka(port: int = 0, directory: Path | None = None) -> Iterator[Server]:
    """A broker while the block runs, on a free port unless named; empty, or with what an earlier one left in
    `directory`.
    """

    def command(on: int, scratch: Path) -> list[str]:
        return _command(on, scratch, directory or scratch)

    with serve("kafka", command, answers_metadata, port=port, timeout_s=START_TIMEOUT_S) as server:
        yield server


def _command(port: int, scratch: Path, directory: Path) -> list[str]:
    properties = scratch / "server.properties"
    properties.write_text(PROPERTIES.format(port=port, controller_port=free_port(), directory=directory))
    java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    java += ["-cp", f"{libs().resolve()}/*"]
    formatting = [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(properties)]
    done = subprocess.run(
        [*formatting, "--ignore-formatted"], capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}"
    return [*java, "kafka.Kafka", str(properties)]


if __name__ == "__main__":
    fetch()
    print(f"{len(list(libs().glob('*.jar')))} jars in {libs()}", file=sys.stderr)
