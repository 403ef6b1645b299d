"""The topics a room's log needs: made once, seen before use."""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.admin.config_resource import (  # type: ignore[import-untyped]  # the same
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # the same

from stream.errors import OperatorError

# A room's position may be as old as its show, and the longest shows run for days: the log must reach back further.
# Tansu answers no retention.ms at all unless it is set, and some clients fail on that.
RETENTION_MS = 7 * 24 * 3_600_000
ANSWER_TIMEOUT_S = 8.0  # a broker that takes longer to be found is as good as away
VISIBLE_TIMEOUT_S = 20.0  # a KRaft cluster names a new topic's leaders within a second or so
TOPIC_EXISTS = 36  # the protocol's error code


async def create_topics(
    bootstrap: str,
    topics: Mapping[str, int],
    replication: int = 1,
    config: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Make those of `topics` (name: partitions) that do not exist, and wait until every one has its leaders.

    Returns the partitions each topic really has: one that existed keeps its own. `config` goes on top of `safe`.
    Raises OperatorError.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(ANSWER_TIMEOUT_S * 1000))
    try:
        try:
            await asyncio.wait_for(admin.start(), ANSWER_TIMEOUT_S)
        except ValueError as error:
            raise OperatorError(f"{bootstrap!r} names no broker ({error}); set LIVEROOM_KAFKA to host:port") from None
        await _create(admin, topics, replication, safe(replication) | dict(config or {}))
        return await _visible(admin, topics)
    except (KafkaError, OSError, TimeoutError, OverflowError) as error:
        raise OperatorError(
            f"no Kafka broker answers at {bootstrap} ({error or type(error).__name__}); "
            "start it, or set LIVEROOM_KAFKA to where it is"
        ) from error
    finally:
        await admin.close()


def safe(replication: int) -> dict[str, str]:
    """The settings of our topics.

    A record's time is its arrival at the broker, one clock for all; brokers that cannot do it keep the writer's time.
    What is acknowledged outlives the loss of a broker, where there are enough of them.
    """
    return {
        "retention.ms": str(RETENTION_MS),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(max(1, replication - 1)),
    }


async def misfits(bootstrap: str, topics: Collection[str], replication: int = 1) -> list[str]:
    """What is unsafe about topics that exist, each with what to do about it; a broker that does not say is trusted."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(ANSWER_TIMEOUT_S * 1000))
    try:
        await asyncio.wait_for(admin.start(), ANSWER_TIMEOUT_S)
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        answers = await admin.describe_configs(resources)
    except (KafkaError, OSError, TimeoutError, ValueError):
        return []
    finally:
        await admin.close()
    found: list[str] = []
    for _, _, _, topic, entries in (resource for answer in answers for resource in answer.resources):
        found += _misfits(topic, {entry[0]: entry[1] for entry in entries}, replication)
    return found


def _misfits(topic: str, held: Mapping[str, str | None], replication: int) -> Iterator[str]:
    wanted = safe(replication)
    reasons = {
        "retention.ms": "a show that is longer cannot be rebuilt from the log",
        "message.timestamp.type": "rooms then go by the clocks of those who write",
        "min.insync.replicas": "what was acknowledged may be lost with one broker",
    }
    for name, reason in reasons.items():
        value = held.get(name)
        if value is None or value == wanted[name]:
            continue
        if name != "message.timestamp.type" and (int(value) == -1 or int(value) >= int(wanted[name])):
            continue
        yield (
            f"topic {topic} has {name}={value}: {reason}; set it with "
            f"kafka-configs.sh --alter --topic {topic} --add-config {name}={wanted[name]}"
        )


async def _create(
    admin: AIOKafkaAdminClient, topics: Mapping[str, int], replication: int, config: Mapping[str, str]
) -> None:
    existing = set(await admin.list_topics())
    wanted = [
        NewTopic(name, partitions, replication, topic_configs=dict(config))
        for name, partitions in topics.items()
        if name not in existing
    ]
    if not wanted:
        return
    answer = await admin.create_topics(wanted)
    for name, code, *rest in answer.topic_errors:
        if code not in (0, TOPIC_EXISTS):  # another process may have been quicker
            raise OperatorError(
                f"the broker refused to make topic {name} (error {code} {' '.join(str(r) for r in rest)}); "
                "check LIVEROOM_REPLICATION against the number of brokers, or make the topic by hand"
            )


async def _visible(admin: AIOKafkaAdminClient, topics: Mapping[str, int]) -> dict[str, int]:
    deadline = time.monotonic() + VISIBLE_TIMEOUT_S
    while True:
        described = await admin.describe_topics(list(topics))
        seen = {
            topic["topic"]: len(topic["partitions"])
            for topic in described
            if topic["error_code"] == 0
            and topic["partitions"]
            and all(partition["error_code"] == 0 and partition["leader"] >= 0 for partition in topic["partitions"])
        }
        if seen.keys() >= topics.keys():
            return {name: seen[name] for name in topics}
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(topics.keys() - seen.keys()))
            raise OperatorError(f"topics {missing} have no leader after {VISIBLE_TIMEOUT_S:.0f} s; check the brokers")
        await asyncio.sleep(0.05)
