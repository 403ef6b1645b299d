"""One partition as a worker holds it: its rooms, where to read on, what is saved of it, and its clock."""

import time
from collections.abc import Callable

from agents.published import NOTHING
from agents.store import Fence
from stream.room import RoomState

NEVER_SAVED = -1
TICK_KEY = b"~clock"
TICK = b'{"type":"clock.tick","room":"~clock"}'
"""Time itself is in the log: one such record a second and partition, so that a replay decides as the first run did."""


class Kept:
    """A room and what this process remembers of it."""

    __slots__ = ("offset", "published", "published_at_ms", "saved_closed", "saved_offset", "state", "tick_ms")

    def __init__(self, state: RoomState, offset: int) -> None:
        self.state = state
        self.offset = offset
        self.saved_offset = offset
        self.saved_closed = state.closed
        self.tick_ms = 0  # the newest tick that the room has not been told of; 0: it knows of all
        self.published = NOTHING
        self.published_at_ms = 0

    def changed(self) -> bool:
        """Has it moved since it was saved?"""
        return self.offset != self.saved_offset or self.state.closed != self.saved_closed


class Partition:
    """The next offset to read, the rooms, and the right to write for them, which may be lost at any time."""

    __slots__ = (
        "_anchor",
        "_clock",
        "behind",
        "fence",
        "hole",
        "lost",
        "next_offset",
        "number",
        "rooms",
        "saved_next",
        "unsure",
    )

    def __init__(
        self, number: int, next_offset: int, fence: Fence, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.number = number
        self.next_offset = next_offset
        self.fence = fence
        self.rooms: dict[str, Kept] = {}
        self.behind = 0  # records of the log beyond next_offset when the last ones were taken
        self.saved_next = NEVER_SAVED
        self.unsure: set[int] = set()  # positions that were being saved when Redis went silent: they may stand there
        self.lost = False  # somebody else may write for it, or Redis forgot: what is held here is no longer worth much
        self.hole = False  # records were left out on their way here; they must be read again
        self._clock = clock
        self._anchor: tuple[int, float] | None = None

    def hear(self, arrived_ms: int) -> None:
        """A record of the log arrived at `arrived_ms`, by the log's own clock."""
        if self._anchor is None or arrived_ms > (self.now_ms() or 0):
            self._anchor = arrived_ms, self._clock()

    def now_ms(self) -> int | None:
        """The log's clock: the newest arrival and the time since, so that no worker's own clock matters.

        None before the first record.
        """
        if self._anchor is None:
            return None
        arrived_ms, heard = self._anchor
        return arrived_ms + int((self._clock() - heard) * 1000)
