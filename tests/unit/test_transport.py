"""What the transport commits, without a broker."""

import asyncio
from typing import Any

from faust.types import TP
from faust.types.tuples import ConsumerMessage

from agents.transport import SCHEME, App, Consumer

EVENTS, OTHER = TP("live.events", 0), TP("other", 0)


def with_consumer(play: Any) -> Any:
    """What `play(consumer)` returns, run with a consumer that was never started."""

    async def run() -> Any:
        app = App("group", broker=f"{SCHEME}://127.0.0.1:1", autodiscover=False, loop=asyncio.get_running_loop())
        app.events_topic = EVENTS.topic
        app.topics.acks_enabled_for = lambda topic: True  # type: ignore[method-assign]  # as of a topic with an agent

        async def ignore(*_: Any) -> None:
            return None

        consumer = Consumer(app.transport, ignore, ignore, ignore, loop=app.loop)
        try:
            return await play(consumer)
        finally:
            consumer._thread.thread_loop.close()  # it has one from the start

    return asyncio.run(run())


def message(tp: TP, offset: int) -> ConsumerMessage:
    """A message with nothing in it."""
    return ConsumerMessage(tp.topic, tp.partition, offset, 0.0, 0, {}, None, None, None, 0, 0, tp)


def test_a_message_of_events_is_committed_up_to_its_last_record() -> None:
    """Joined messages lie hundreds of offsets apart: after each, the next offset to read is committed, and once."""

    async def play(consumer: Consumer) -> list[int | None]:
        told = []
        for offset in (499, 999, 1_203):
            await consumer._add_gap(EVENTS, offset - 498, offset)
            consumer.ack(message(EVENTS, offset))
            told.append(consumer._new_offset(EVENTS))
        return [*told, consumer._new_offset(EVENTS)]

    assert with_consumer(play) == [500, 1_000, 1_204, None]


def test_bookkeeping_of_events_does_not_grow() -> None:
    """However many messages were read, nothing of them is kept once they are committed."""

    async def play(consumer: Consumer) -> tuple[int, int, int]:
        for number in range(1_000):
            await consumer._add_gap(EVENTS, 500 * number + 1, 500 * number + 499)
            consumer.ack(message(EVENTS, 500 * number + 499))
        consumer._new_offset(EVENTS)
        return len(consumer._acked[EVENTS]), len(consumer._acked_index[EVENTS]), len(consumer._gap[EVENTS])

    assert with_consumer(play) == (0, 0, 0)


def test_other_topics_are_committed_as_faust_does_it() -> None:
    """There an offset that is not acknowledged holds back those after it, and a gap in the log does not."""

    async def play(consumer: Consumer) -> list[int | None]:
        consumer.ack(message(OTHER, 1))
        consumer.ack(message(OTHER, 3))
        first = consumer._new_offset(OTHER)
        await consumer._add_gap(OTHER, 2, 3)
        return [first, consumer._new_offset(OTHER)]

    assert with_consumer(play) == [2, 4]
