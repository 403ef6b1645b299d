"""A Faust transport that hands over the records of one fetch together, and starts from positions of our own.

Faust's own way costs about 180 us a record before any work is done. Here the records of one partition of the
events topic become one message whose value is a `Batch`; other topics pass untouched. URL scheme: `joined://`.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple

import faust
from faust.transport.drivers import TRANSPORTS, aiokafka
from faust.types import TP

SCHEME = "joined"
BATCH_MAX = 500  # records a message: about 5 ms of work between two turns of the event loop

Positions = Callable[[Collection[int]], Awaitable[Mapping[int, int]]]


class Batch(NamedTuple):
    """Records of one partition in log order, as parallel lists; offsets may have holes."""

    values: list[bytes | None]
    keys: list[bytes | None]
    offsets: list[int]
    timestamps: list[int]


class _Joined:
    """Stands in for the consumer record of a batch; its offset is the last one's."""

    __slots__ = (
        "checksum",
        "headers",
        "key",
        "offset",
        "partition",
        "serialized_key_size",
        "serialized_value_size",
        "timestamp",
        "timestamp_type",
        "topic",
        "value",
    )

    def __init__(self, records: list[Any]) -> None:
        last = records[-1]
        self.topic = last.topic
        self.partition = last.partition
        self.offset = last.offset
        self.timestamp = last.timestamp
        self.timestamp_type = last.timestamp_type
        self.headers = ()
        self.key = None
        self.checksum = None
        self.serialized_key_size = self.serialized_value_size = 0
        self.value = Batch(
            [record.value for record in records],
            [record.key for record in records],
            [record.offset for record in records],
            [record.timestamp for record in records],
        )


class Consumer(aiokafka.Consumer):
    """Joins what was fetched, and seeks to the positions that the app's `positions` states."""

    app: "App"

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        fetched = await super()._getmany(active_partitions, timeout)
        topic = self.app.events_topic
        return {
            tp: [_Joined(records[i : i + BATCH_MAX]) for i in range(0, len(records), BATCH_MAX)]
            if tp.topic == topic
            else records
            for tp, records in fetched.items()
        }

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # Faust counts the delivered offset itself as part of the gap before it; then a commit never gets past it.
        await super()._add_gap(tp, offset_from, offset_to - 1)

    async def perform_seek(self) -> None:
        """Faust asks for committed offsets after each assignment; ours stand with the snapshots."""
        await super().perform_seek()
        ours = {tp.partition: tp for tp in self.assignment() if tp.topic == self.app.events_topic}
        positions = await self.app.positions(ours.keys())
        for partition, tp in ours.items():
            position = positions[partition]
            self._committed_offset[tp] = position or None
            await self.seek(tp, position)


class Transport(aiokafka.Transport):
    """Registered for `joined://`."""

    Consumer = Consumer


class App(faust.App):
    """A Faust app whose events come joined; set `events_topic` and `positions` before it starts."""

    events_topic: str
    positions: Positions


TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"
