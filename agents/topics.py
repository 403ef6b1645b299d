"""The topics a room's log needs: made once, seen before use."""

import asyncio
import time
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # aiokafka ships no types
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

    Returns the partitions each topic really has: one that existed keeps its own. `config` goes beside retention.ms.
    Raises OperatorError.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(ANSWER_TIMEOUT_S * 1000))
    try:
        try:
            await asyncio.wait_for(admin.start(), ANSWER_TIMEOUT_S)
        except ValueError as error:
            raise OperatorError(f"{bootstrap!r} names no broker ({error}); set LIVEROOM_KAFKA to host:port") from None
        await _create(admin, topics, replication, {"retention.ms": str(RETENTION_MS)} | dict(config or {}))
        return await _visible(admin, topics)
    except (KafkaError, OSError, TimeoutError, OverflowError) as error:
        raise OperatorError(
            f"no Kafka broker answers at {bootstrap} ({error or type(error).__name__}); "
            "start it, or set LIVEROOM_KAFKA to where it is"
        ) from error
    finally:
        await admin.close()


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
