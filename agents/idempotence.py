"""Producers whose repeats the broker drops, where it can: it knows them by an id that it gave.

Such a producer tries for ever, and once a batch of its has failed, the broker takes none of the partition any more
(OutOfOrderSequenceNumber). So whoever uses one limits the time of a write, and after a failure starts another.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # aiokafka ships no types
from aiokafka.errors import (  # type: ignore[import-untyped]  # the same
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NoError,
    NotCoordinatorError,
    ProducerClosed,
    for_code,
)
from aiokafka.protocol.transaction import InitProducerIdRequest  # type: ignore[import-untyped]  # the same

# What a broker that gives ids answers; one that has just started asks for patience, which `start` has.
_GIVES = (NoError, CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)
_TRANSACTION_MS = 10_000  # the request asks for it; there are no transactions


async def started(make: Callable[[bool], AIOKafkaProducer]) -> tuple[AIOKafkaProducer, bool]:
    """A started producer, and whether it is idempotent; `make(idempotent)` makes one.

    Raises KafkaError; waits as long as `start` does.
    """
    producer, idempotent = make(False), False
    try:
        await producer.start()
        if await _gives_ids(producer.client):
            await producer.stop()
            producer, idempotent = make(True), True
            await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer, idempotent


async def abandon(producer: AIOKafkaProducer, flush_s: float = 0.0) -> None:
    """Stop a producer after `flush_s` at most; what it has not written by then fails with ProducerClosed.

    `stop` alone might wait for ever.
    """
    try:
        if flush_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(producer.flush(), flush_s)
    finally:
        await _end(producer)


async def _end(producer: AIOKafkaProducer) -> None:
    accumulator = producer._message_accumulator
    queued = [batch for batches in accumulator._batches.values() for batch in batches]
    accumulator.fail_all(ProducerClosed())
    for batch in queued:
        batch._drain_waiter.exception()  # asked for, or the event loop complains that nobody did
    await producer.client.close()  # answers that are waited for do not come any more
    with contextlib.suppress(Exception):  # a request that fails meanwhile finds its batch gone
        await producer.stop()
    await producer.client.close()  # it may have been connecting


async def _gives_ids(client: Any) -> bool:
    """The embedded broker advertises that it does, and fails when it is asked: so it is asked."""
    request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=_TRANSACTION_MS)
    try:
        answer = await client.send(client.get_random_node(), request)
    except KafkaError:
        return False
    return for_code(answer.error_code) in _GIVES
