"""What each room gets of the records that were fetched together, and what nobody gets.

A record belongs to the room that its key and its value agree on, in the order of the log.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from agents.partition import TICK, TICK_KEY
from stream import scanning
from stream.columns import Columns, Raws, read
from stream.errors import RejectedEvent
from stream.loops import Ints

_TICK_KEY = np.frombuffer(TICK_KEY, np.uint8)
Bury = Callable[[int, RejectedEvent], None]
"""Told the place of a record that nobody can take, and why."""


class Share(NamedTuple):
    """Events of one room in log order, and their places among the records."""

    room: str
    events: Columns
    places: Ints


def between_ticks(records: Raws, first: int) -> Iterator[slice]:
    """The parts of some records, from place `first` on, each ended by a tick, or by the last record."""
    start, data = first, np.frombuffer(records.data, np.uint8)
    for place in scanning.equal_to(data, records.keys, _TICK_KEY).tolist():
        if place >= first and records.value(place) == TICK:
            yield slice(start, place)
            start = place + 1
    if start < len(records.keys):
        yield slice(start, len(records.keys))


def shared_out(records: Raws, bury: Bury) -> Iterator[Share]:
    """The records by room; what cannot be decoded, or lies under another room's key, goes to `bury`."""
    for places, events in read(records, bury).rooms():
        key = records.key(int(places[0]))
        yield Share(events.event(0).room if key is None else key.decode(), events, places)
