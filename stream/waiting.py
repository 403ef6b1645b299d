"""Events that wait for their second to be closed: a pane a second, in it a list for each type.

Only where the order of different types matters do they share a list: joins with leaves, and all that is more than a
count. A list keeps the order of the log; closing sorts it by event time, so that ties stay in that order.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any

from stream import events as e

Pane = defaultdict[type, list[Any]]
SESSION: type = e.ViewerJoin  # the list of joins and leaves
TOLD: type = e.RoomStart  # the list of what is more than a count
_COUNTED = frozenset(
    {e.ViewerHeartbeat, e.ViewerCount, e.RoomExposure, e.Like, e.Follow, e.Share, e.FanclubJoin, e.Gift}
    | {e.PrivateJoin, e.Chat, e.ProductExpose, e.ProductClick, e.CartAdd, e.CartRemove, e.OrderCancelled}
    | {e.OrderRefunded, e.AdSpend, e.QuestionAnswered, e.SourceBeat}
)
_ANY_ORDER = frozenset(
    {e.ViewerHeartbeat, e.RoomExposure, e.Like, e.Follow, e.Share, e.FanclubJoin, e.PrivateJoin, e.Chat}
    | {e.CartRemove, e.OrderCancelled, e.QuestionAnswered, e.SourceBeat}
)
LIST_OF: dict[type, type] = dict.fromkeys(e.TAG_OF, TOLD) | {kind: kind for kind in _COUNTED}
LIST_OF |= {e.ViewerJoin: SESSION, e.ViewerLeave: SESSION}
by_time = attrgetter("ts")


def pane_of(events: Iterable[e.RoomEvent]) -> Pane:
    """A pane of these events, in the order of the log."""
    pane: Pane = defaultdict(list)
    for event in events:
        pane[LIST_OF[type(event)]].append(event)
    return pane


def events_of(pane: Pane) -> Iterator[e.RoomEvent]:
    """Every event of a pane, list by list."""
    for events in pane.values():
        yield from events


def in_order(pane: Pane) -> None:
    """Sort the lists whose order matters by event time."""
    for kind, events in pane.items():
        if len(events) > 1 and kind not in _ANY_ORDER:
            events.sort(key=by_time)


def take_before(pane: Pane, ts: int) -> Pane:
    """Take what lies before `ts` out of a pane that is in order."""
    earlier: Pane = defaultdict(list)
    for kind, events in pane.items():
        some = [event for event in events if event.ts < ts]
        if some:
            earlier[kind] = some
            pane[kind] = [event for event in events if event.ts >= ts]
    for kind in [kind for kind, events in pane.items() if not events]:
        del pane[kind]
    return earlier
