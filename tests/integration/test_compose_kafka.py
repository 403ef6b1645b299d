"""Apache Kafka itself takes the broker's settings of docker-compose.yml, and does with them what they are for."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents import embedded
from agents.topics import create_topics
from tests.integration.conftest import required
from tests.integration.kafka import server as kafka_server

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).parents[2]
LONG_AGO_MS = 1_000_000_000_000


def properties(scratch: Path, port: int) -> str:
    """server.properties as the image makes it of the environment; addresses and folders are this test's."""
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["kafka"]
    made = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for key, value in service["environment"].items()
        if key != "KAFKA_HEAP_OPTS"
    }
    controller, host = embedded.free_port(), embedded.free_port()
    places = {
        "PLAINTEXT://:9092": f"PLAINTEXT://127.0.0.1:{port}",
        "PLAINTEXT://kafka:9092": f"PLAINTEXT://127.0.0.1:{port}",
        "HOST://:9094": f"HOST://127.0.0.1:{host}",
        "HOST://127.0.0.1:9094": f"HOST://127.0.0.1:{host}",
        "localhost:9093": f"localhost:{controller}",
        "/var/lib/kafka/data": f"{scratch}/data",
    }
    text = "".join(f"{key}={value}\n" for key, value in made.items())
    for ours, here in places.items():
        assert ours in text
        text = text.replace(ours, here)
    return text


def command(port: int, scratch: Path) -> list[str]:
    """Formats the storage and says how to start the broker."""
    file = scratch / "server.properties"
    file.write_text(properties(scratch, port))
    java = [*kafka_server.JAVA, "-Xmx512m", "-cp", f"{kafka_server.libs().resolve()}/*"]
    formatting = [*java, "kafka.tools.StorageTool", "format", "-t", kafka_server.CLUSTER, "-c", str(file)]
    done = subprocess.run(formatting, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [*java, "kafka.Kafka", str(file)]


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """The address of a Kafka with the settings of docker-compose.yml."""
    if not kafka_server.present() and required():
        kafka_server.fetch()
    if not kafka_server.present():
        pytest.skip(f"no Apache Kafka in {kafka_server.libs()}, or no java")
    with embedded.serve("kafka", command, embedded.answers_metadata, timeout_s=60) as server:
        yield server.address


async def produced(address: str) -> tuple[int, int]:
    """The timestamp and its type of a record that claims to be old."""
    await create_topics(address, {"t": 1})
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
        await producer.send_and_wait("t", b"x", timestamp_ms=LONG_AGO_MS, partition=0)
    async with AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition("t", 0)])
        record = await asyncio.wait_for(consumer.getone(), 20)
        return record.timestamp, record.timestamp_type


def test_a_record_has_the_time_of_its_arrival(broker: str) -> None:
    """Whatever time a producer claims, the record carries the broker's."""
    before = int(time.time() * 1000)
    timestamp, kind = asyncio.run(produced(broker))

    assert before - 1000 <= timestamp <= int(time.time() * 1000) + 1000
    assert kind == 1


def test_no_topic_comes_by_itself(broker: str) -> None:
    """A misspelt topic is an error, not a new topic."""

    async def topics() -> set[str]:
        async with AIOKafkaConsumer(bootstrap_servers=broker) as consumer:
            consumer.subscribe(["misspelt"])
            await consumer.getmany(timeout_ms=2000)
            return set(await consumer.topics())

    assert "misspelt" not in asyncio.run(topics())
