"""The worker: a Faust app whose one agent feeds the rooms, with everything it needs started and stopped around it."""

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import faust
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # aiokafka ships no types
from faust.types import TP

from agents import telemetry as tel
from agents.eventlog import new_producer
from agents.rooms import TICK, TICK_KEY, Rooms
from agents.settings import Settings, load_playbook
from agents.store import Store
from agents.topics import create_topics
from agents.transport import SCHEME, App, Batch
from stream.errors import OperatorError

logger = logging.getLogger(__name__)

TICK_S = 1.0
STOP_TIMEOUT_S = 20.0  # for the last save, and for the group to be left; longer is a fault worth a hard end


async def run(settings: Settings, stop: asyncio.Event, ready: Callable[[str], None] = lambda url: None) -> None:
    """Work until `stop`; `ready` is told the address of /metrics once the group is joined.

    Raises OperatorError when a server is missing, a port is taken or a topic does not fit.
    """
    playbook = load_playbook(settings)
    store = Store(settings)
    telemetry = tel.Telemetry()
    try:
        await _check(settings, store)
        async with _producer(settings) as producer:

            async def send(
                topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], part: int | None
            ) -> None:
                await producer.send_and_wait(topic, value, key, part, headers=headers)

            rooms = Rooms(settings, playbook, store, send, telemetry)
            with tempfile.TemporaryDirectory(prefix="liveroom-") as scratch:
                await _work(_app(settings, rooms, scratch), rooms, telemetry, stop, ready)
    finally:
        await store.close()


async def _check(settings: Settings, store: Store) -> None:
    """The servers answer and the topics are as they must be."""
    try:
        await store.ping()
    except Exception as error:
        raise OperatorError(
            f"no Redis answers at {settings.redis} ({error}); start it, or set LIVEROOM_REDIS to where it is"
        ) from None
    wanted = {settings.events_topic: settings.partitions, settings.prompts_topic: 1, settings.rejected_topic: 1}
    actual = await create_topics(settings.kafka, wanted, settings.replication)
    if actual[settings.events_topic] != settings.partitions:
        raise OperatorError(
            f"topic {settings.events_topic} has {actual[settings.events_topic]} partitions, not {settings.partitions}; "
            f"set LIVEROOM_PARTITIONS to {actual[settings.events_topic]}"
        )


@contextlib.asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = new_producer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def _app(settings: Settings, rooms: Rooms, scratch: str) -> App:
    """The Faust app: one topic, one agent, positions of our own."""
    app = App(
        settings.group,
        broker=[f"{SCHEME}://{server.strip()}" for server in settings.kafka.split(",")],
        loop=asyncio.get_running_loop(),
        autodiscover=False,
        web_enabled=False,
        store="memory://",
        datadir=Path(scratch),
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication,
        topic_allow_declare=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=16,  # batches, not records: what lies here is lost time at a rebalance
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=settings.session_timeout_s,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        broker_commit_interval=2.0,
    )
    app.events_topic = settings.events_topic
    app.positions = rooms.positions
    topic = app.topic(settings.events_topic, partitions=settings.partitions, value_serializer="raw", internal=True)

    @app.agent(topic)
    async def live(stream: faust.StreamT[Any]) -> None:
        async for event in stream.events():
            await rooms.wait_for_space()
            batch: Batch = event.message.value
            rooms.take(event.message.partition, batch.values, batch.keys, batch.offsets, batch.timestamps)

    async def revoked(_: Any, partitions: Any, **__: Any) -> None:
        numbers = [tp.partition for tp in partitions if tp.topic == settings.events_topic]
        try:
            await asyncio.wait_for(rooms.save(numbers), settings.session_timeout_s / 2)
        except Exception as error:
            logger.warning("not saved before the partitions went (%r); their next owner reads a little more", error)

    app.on_partitions_revoked.connect(revoked, weak=False)  # type: ignore[arg-type]  # its type names no second argument
    return app


async def _work(
    app: App, rooms: Rooms, telemetry: tel.Telemetry, stop: asyncio.Event, ready: Callable[[str], None]
) -> None:
    settings = rooms.settings

    def lags() -> dict[int, int]:
        return {
            number: max(0, highwater - partition.next_offset)
            for number, partition in rooms.partitions.items()
            if (highwater := _highwater(app, settings.events_topic, number)) is not None
        }

    telemetry.registry.register(tel.RoomsCollector(rooms.states, lags))
    runner, url = await tel.serve(telemetry.registry, settings.metrics_host, settings.metrics_port)
    tasks = [
        asyncio.create_task(loop, name=name)
        for name, loop in (
            ("carry", rooms.carry()),
            ("save", rooms.save_forever()),
            ("publish", rooms.publish_forever()),
            ("tick", _tick_forever(rooms)),
        )
    ]
    try:
        await app.start()
        await _until(stop, app, tasks, lambda: ready(url), rooms)
        await asyncio.wait_for(rooms.save(), STOP_TIMEOUT_S)
        await rooms.publish()
    finally:
        await asyncio.wait_for(app.stop(), STOP_TIMEOUT_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runner.cleanup()


async def _until(
    stop: asyncio.Event, app: App, tasks: list[asyncio.Task[None]], joined: Callable[[], None], rooms: Rooms
) -> None:
    """Wait for `stop`; whatever else ends first is a fault and is raised."""
    stopping = asyncio.create_task(stop.wait(), name="stop")
    crashed = asyncio.create_task(app.wait_until_stopped(), name="crash")
    told = False
    try:
        while not stop.is_set():
            if not told and rooms.partitions and not app.rebalancing:
                told = True
                joined()
            done, _ = await asyncio.wait(
                {stopping, crashed, *tasks}, timeout=0.1 if not told else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {stopping}:
                if task is crashed:
                    raise OperatorError("the worker lost its consumer; see the log above, then start it again")
                task.result()
    finally:
        stopping.cancel()
        crashed.cancel()


async def _tick_forever(rooms: Rooms) -> None:
    """Write the passing of time into the log of each partition we own."""
    while True:
        await asyncio.sleep(TICK_S)
        await rooms.tick(TICK_KEY, TICK)


def _highwater(app: App, topic: str, number: int) -> int | None:
    consumer = app._consumer
    if consumer is None:
        return None
    try:
        highwater: int | None = consumer.highwater(TP(topic, number))
    except Exception:  # not assigned at this moment
        return None
    return highwater
