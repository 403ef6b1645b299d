"""The worker: a Faust app whose one agent feeds the rooms, with everything it needs started and stopped around it.

The rooms outlive the app: when Faust gives up on its consumer, another one is made and goes on with what is held.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import faust
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # aiokafka ships no types
from faust.types import TP

from agents import fetched
from agents import telemetry as tel
from agents.eventlog import new_producer
from agents.outbox import Record
from agents.rooms import Rooms
from agents.settings import Settings, load_playbook
from agents.store import Store
from agents.topics import create_topics, misfits
from agents.transport import SCHEME, App
from stream.errors import OperatorError
from stream.rehearsal import rehearse

logger = logging.getLogger(__name__)

TICK_S = 1.0
PLACE_S = 0.25  # how soon a lost partition is taken over again
STOP_TIMEOUT_S = 20.0  # for the last save, and for the group to be left; longer is a fault worth a hard end
AGAIN_S = (1.0, 2.0, 5.0, 10.0)  # after the consumer was lost; then every 10 s


async def run(settings: Settings, stop: asyncio.Event, ready: Callable[[str], None] = lambda url: None) -> None:
    """Work until `stop`; `ready` is told the address of /metrics once the group is joined.

    Raises OperatorError when a server is missing, a port is taken or a topic does not fit.
    """
    playbook = load_playbook(settings)
    store = Store(settings)
    telemetry = tel.Telemetry()
    rehearse()  # half a second; some fifteen the first time on a machine
    fetched.rehearse()
    try:
        await _check(settings, store)
        async with _producer(settings) as producer:

            async def send(record: Record) -> None:
                await producer.send_and_wait(
                    record.topic, record.value, record.key, record.partition, record.at_ms, list(record.headers)
                )

            rooms = Rooms(settings, playbook, store, send, telemetry)
            await _work(Membership(settings, rooms), telemetry, stop, ready)
    finally:
        await store.close()


async def _check(settings: Settings, store: Store) -> None:
    """The client library is one we know, the servers answer and the topics are as they must be."""
    fetched.check_client()
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
    for misfit in await misfits(settings.kafka, wanted, settings.replication):
        logger.warning("%s", misfit)


@contextlib.asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = new_producer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


class Membership:
    """Our place in the consumer group: a Faust app, and another one after it when it has crashed."""

    def __init__(self, settings: Settings, rooms: Rooms) -> None:
        self.rooms = rooms
        self.joined = False
        self._settings = settings
        self._app: App | None = None
        rooms.group = self

    def generation(self) -> int:
        """The newest generation of the group that we belong to."""
        return -1 if self._app is None else self._app.consumer_generation_id

    async def recognised(self, partition: int, offset: int) -> bool:
        """Does the coordinator hold that we own this partition?"""
        return self._app is not None and await self._app.consumer.recognised(partition, offset)

    async def keep(self) -> None:
        """Be a member, for ever: a consumer that is lost is followed by another. Raises OperatorError."""
        attempt = 0
        while True:
            self._app = app = _app(self._settings, self.rooms, self._on_assigned)
            await app.start()
            await app.wait_until_stopped()
            self.joined = False
            logger.error("the worker lost its consumer, see above; it keeps its rooms and joins the group again")
            await self.leave()
            await asyncio.sleep(AGAIN_S[min(attempt, len(AGAIN_S) - 1)])
            attempt += 1

    async def leave(self) -> None:
        """Leave the group. Raises OperatorError when the consumer cannot be stopped: as a member it would hold on."""
        app, self._app = self._app, None
        if app is None:
            return
        try:
            await asyncio.wait_for(app.stop(), STOP_TIMEOUT_S)
        except TimeoutError:
            raise OperatorError("the consumer of this worker does not stop; start the worker again") from None

    async def place(self) -> None:
        """Forever: partitions that are ours by the group, but not held or read with a hole, are placed again."""
        while True:
            await asyncio.sleep(PLACE_S)
            if self.rooms.broken is not None:
                raise self.rooms.broken
            app = self._app
            if app is None or not self.joined or app.rebalancing:
                continue
            try:
                astray = self.rooms.astray(app.consumer.events_partitions())
                if astray:
                    await app.consumer.place(astray)
                    if self.rooms.astray(astray):
                        await asyncio.sleep(1.0)  # not ours to take yet
            except Exception as error:  # a rebalance in between, or Kafka away: the next turn tries again
                logger.info("partitions not placed yet: %r", error)
                await asyncio.sleep(1.0)

    def settled(self) -> bool:
        """Is every partition that the group has given us loaded and read?"""
        app = self._app
        if app is None or not self.joined or app.rebalancing:
            return False
        return not self.rooms.astray(app.consumer.events_partitions())

    def lags(self) -> dict[int, int]:
        """Records not yet applied, by partition."""
        if self._app is None or not self.joined:
            return {}
        lags = {}
        for number, partition in self.rooms.partitions.items():
            with contextlib.suppress(Exception):  # not assigned at this moment
                highwater = self._app.consumer.highwater(TP(self._settings.events_topic, number))
                if highwater is not None:
                    lags[number] = max(0, highwater - partition.next_offset)
        return lags

    def _on_assigned(self) -> None:
        self.joined = True


def _app(settings: Settings, rooms: Rooms, assigned: Callable[[], None]) -> App:
    """The Faust app: one topic, one agent, positions of our own."""
    app = App(
        settings.group,
        broker=[f"{SCHEME}://{server.strip()}" for server in settings.kafka.split(",")],
        loop=asyncio.get_running_loop(),
        autodiscover=False,
        web_enabled=False,
        store="memory://",
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
    app.owned = rooms.owned
    app.positions = rooms.positions
    topic = app.topic(settings.events_topic, partitions=settings.partitions, value_serializer="raw", internal=True)

    @app.agent(topic)
    async def live(stream: faust.StreamT[Any]) -> None:
        async for event in stream.events():
            await rooms.outbox.wait_for_space()
            await rooms.ticks.kept_up()
            rooms.take(event.message.partition, event.message.value)

    async def revoked(_: Any, partitions: Any, **__: Any) -> None:
        numbers = [tp.partition for tp in partitions if tp.topic == settings.events_topic]
        try:
            await asyncio.wait_for(rooms.save(numbers), settings.session_timeout_s / 2)
        except Exception as error:
            logger.warning("not saved before the partitions went (%r); their next owner reads a little more", error)

    async def given(_: Any, partitions: Any, **__: Any) -> None:
        rooms.owned([tp.partition for tp in partitions if tp.topic == settings.events_topic])
        assigned()

    app.on_partitions_revoked.connect(revoked, weak=False)  # type: ignore[arg-type]  # its type names no second argument
    app.on_partitions_assigned.connect(given, weak=False)  # type: ignore[arg-type]  # the same
    return app


async def _work(
    member: Membership, telemetry: tel.Telemetry, stop: asyncio.Event, ready: Callable[[str], None]
) -> None:
    rooms = member.rooms
    telemetry.registry.register(tel.RoomsCollector(rooms.states, member.lags))
    runner, url = await tel.serve(telemetry.registry, rooms.settings.metrics_host, rooms.settings.metrics_port)
    tasks = [
        asyncio.create_task(loop, name=name)
        for name, loop in (
            ("member", member.keep()),
            ("place", member.place()),
            ("screens", rooms.outbox.screens.carry()),
            ("log", rooms.outbox.log.carry()),
            ("save", rooms.save_forever()),
            ("publish", rooms.publish_forever()),
            ("tick", _tick_forever(rooms)),
            ("time", rooms.ticks.tell_forever()),
            ("ready", _tell(member, lambda: ready(url))),
        )
    ]
    try:
        await _until(stop, tasks)
        try:
            await asyncio.wait_for(rooms.save(), STOP_TIMEOUT_S)
            await asyncio.wait_for(rooms.publish(), STOP_TIMEOUT_S)
        except Exception as error:
            logger.warning("not all saved at the end (%r); the next owner reads a little more", error)
    finally:
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
        await member.leave()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runner.cleanup()


async def _until(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for `stop`; what else ends first with an error is a fault and is raised."""
    stopping = asyncio.create_task(stop.wait(), name="stop")
    pending = {stopping, *tasks}
    try:
        while not stop.is_set():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        stopping.cancel()


async def _tell(member: Membership, ready: Callable[[], None]) -> None:
    """Say once that the group is joined and every partition of ours is loaded."""
    while not (member.joined and member.settled()):
        await asyncio.sleep(0.05)
    ready()


async def _tick_forever(rooms: Rooms) -> None:
    """Write the passing of time into the log of each partition we own."""
    while True:
        await asyncio.sleep(TICK_S)
        await rooms.tick()
