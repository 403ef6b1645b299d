"""A gateway in a thread of its own, as a test starts it; and what the tests put into Redis and read from Kafka."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents import gateway
from agents.settings import Settings

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """A gateway while the block runs: its address. What `run` raises is raised here."""
    started: list[str] = []
    up = threading.Event()
    failed: list[BaseException] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def ready(url: str) -> None:
        started.append(url)
        up.set()

    def work() -> None:
        try:
            loop.run_until_complete(gateway.run(settings, stop, ready))
        except BaseException as error:
            failed.append(error)
        finally:
            loop.close()
            up.set()

    thread = threading.Thread(target=work, name="gateway")
    thread.start()
    try:
        assert up.wait(START_TIMEOUT_S), "the gateway neither started nor failed"
        if failed:
            raise failed[0]
        yield started[0]
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join(STOP_TIMEOUT_S)
        assert not thread.is_alive(), "the gateway did not stop"
    if failed:
        raise failed[0]


class RoomInRedis:
    """Writes what a worker would write of one room."""

    def __init__(self, url: str, room: str, at_ms: int) -> None:
        self._client = redis.Redis.from_url(url)
        self.room = room
        self._sequence = 0
        self._client.hset(
            "liveroom:rooms",
            room,
            json.dumps({"room": room, "show_ms": at_ms, "title": "", "ended": False, "at_ms": 0}),
        )
        self.at(at_ms)

    def at(self, at_ms: int) -> None:
        """Move the room's clock."""
        self.at_ms = at_ms
        self._client.hset(f"liveroom:numbers:{self.room}", "at_ms", str(at_ms))

    def number(self, field: str, value: Any) -> None:
        """One field of the numbers, `n:online` or `p:P1`."""
        self._client.hset(f"liveroom:numbers:{self.room}", field, json.dumps(value))

    def add(self, kind: str, data: dict[str, Any]) -> str:
        """One entry of the stream; its id."""
        self._sequence += 1
        id_ = f"{self.at_ms}-{self._sequence}"
        self._client.xadd(f"liveroom:prompts:{self.room}", {"kind": kind, "data": json.dumps(data)}, id=id_)
        return id_

    def prompt(self, id_: str, **fields: Any) -> str:
        """A prompt to the host that is valid for a minute, unless `fields` say otherwise; its entry id."""
        whole: dict[str, Any] = {
            "id": id_,
            "room": self.room,
            "play": "stock_low",
            "audience": "host",
            "class": "stock",
            "issued_ms": self.at_ms,
            "expires_ms": self.at_ms + 60_000,
            "title": "还剩12件，报实数",
            "say": "这款后台现在还有12件，需要的可以下单。",
            "why": "",
            "evidence": [],
            "product": "P1",
            "offer": None,
            "approve": False,
            "state": "issued",
        }
        return self.add("prompt", whole | fields)

    def state(self, id_: str, state: str, audience: str = "host") -> str:
        """A change of a prompt's state; its entry id."""
        return self.add("state", {"id": id_, "audience": audience, "state": state, "at_ms": self.at_ms})

    def offer(self, id_: str, **fields: Any) -> str:
        """Public progress of an offer; its entry id."""
        whole = {
            "offer": id_,
            "product": "P1",
            "name": "云朵抱枕",
            "price": 990,
            "quantity": 100,
            "sold": 80,
            "until": self.at_ms + 120_000,
            "state": "running",
            "at_ms": self.at_ms,
        }
        return self.add("offer", whole | fields)

    def close(self) -> None:
        self._client.close()


async def records(bootstrap: str, topic: str, wanted: int, timeout_s: float = 15.0) -> list[Any]:
    """The first `wanted` records of all partitions, in the order of each."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        deadline = time.monotonic() + timeout_s
        while not (partitions := consumer.partitions_for_topic(topic)):
            assert time.monotonic() < deadline, f"no topic {topic}"
            await consumer._client.force_metadata_update()
            consumer._client.add_topic(topic)
        assigned = [TopicPartition(topic, partition) for partition in partitions]
        consumer.assign(assigned)
        for partition in assigned:
            consumer.seek(partition, 0)
        found: list[Any] = []
        while len(found) < wanted:
            assert time.monotonic() < deadline, f"{len(found)} of {wanted} records in {topic}"
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(batch)
        return found
    finally:
        await consumer.stop()
