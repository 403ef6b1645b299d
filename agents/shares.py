"""What each room gets of the records that were fetched together, and what nobody gets.

A record belongs to the room that its key and its value agree on, in the order of the log.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from agents.partition import TICK, TICK_KEY
from stream.errors import RejectedEvent
from stream.events import RoomEvent, decode_all, wrong_room

_room = attrgetter("room")
Bury = Callable[[int, RejectedEvent], None]
"""Told the place of a record that nobody can take, and why."""


class Share(NamedTuple):
    """Events of one room in log order, and their places among the records."""

    room: str
    events: list[RoomEvent]
    places: list[int]


def between_ticks(keys: Sequence[bytes | None], values: Sequence[bytes | None], first: int) -> Iterator[slice]:
    """The parts of some records, from place `first` on, each ended by a tick, or by the last record."""
    start = first
    if TICK_KEY in keys:
        for place in range(first, len(keys)):
            if keys[place] == TICK_KEY and values[place] == TICK:
                yield slice(start, place)
                start = place + 1
    if start < len(keys):
        yield slice(start, len(keys))


def shared_out(keys: Sequence[bytes | None], values: Sequence[bytes | None], bury: Bury) -> Iterator[Share]:
    """The records by room; what cannot be decoded, or lies under another room's key, goes to `bury`."""
    found = decode_all(values)
    by_key: defaultdict[bytes | None, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        by_key[key].append(place)
    for key, places in by_key.items():
        events: list[Any] = [found[place] for place in places]
        try:
            rooms = {*map(_room, events)}
        except AttributeError:  # a RejectedEvent is among them: it has none, which costs less than to look at each type
            rooms = set()
        if len(rooms) == 1 and (room := rooms.pop()).encode() == key:
            yield Share(room, events, places)
            continue
        yield from _sorted_out(key, zip(events, places, strict=True), bury)


def _sorted_out(
    key: bytes | None, found: Iterable[tuple[RoomEvent | RejectedEvent, int]], bury: Bury
) -> Iterator[Share]:
    """Records under one key, among which some cannot be taken; under none each belongs to the room it names."""
    shares: dict[str, Share] = {}
    for event, place in found:
        if isinstance(event, RejectedEvent):
            bury(place, event)
        elif key is not None and event.room.encode() != key:
            bury(place, wrong_room(event, key))
        else:
            share = shares.setdefault(event.room, Share(event.room, [], []))
            share.events.append(event)
            share.places.append(place)
    yield from shares.values()
