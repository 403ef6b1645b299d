"""Room time: the newest event time plus the time passed since that event arrived. It never goes back.

So a recording replayed at any speed of 1 or more, or a source with a wrong clock, never jumps to the wall's time.
"""

from collections.abc import Mapping, Sequence
from itertools import islice

from stream.events import RoomEvent


class RoomClock:
    """Turns arrivals (whole ms, any order) into room time (whole ms, never falling).

    >>> clock = RoomClock()
    >>> clock.arrive(50_000); clock.see(10_000)   # an event of second 10 arrives at second 50
    >>> clock.arrive(50_700); clock.now_ms        # 0.7 s later
    10700
    """

    __slots__ = ("arrived_ms", "newest_arrived_ms", "newest_ms", "now_ms")

    def __init__(self) -> None:
        self.arrived_ms = 0
        self.newest_ms = 0
        self.newest_arrived_ms = 0
        self.now_ms = 0

    def arrive(self, arrived_ms: int) -> None:
        """Time has passed until `arrived_ms`; an earlier time than the last one changes nothing."""
        if arrived_ms > self.arrived_ms:
            self.arrived_ms = arrived_ms
            if self.newest_ms:
                now_ms = self.newest_ms + arrived_ms - self.newest_arrived_ms
                if now_ms > self.now_ms:
                    self.now_ms = now_ms

    def see(self, ts: int) -> None:
        """An event of time `ts` came with the present arrival."""
        if ts >= self.newest_ms:
            self.newest_ms = ts
            self.newest_arrived_ms = self.arrived_ms
            if ts > self.now_ms:
                self.now_ms = ts

    def flow(
        self,
        waiting: Mapping[int, list[RoomEvent]],
        events: Sequence[RoomEvent],
        arrived: Sequence[int],
        start: int,
        limit_ms: int,
    ) -> int:
        """Append events, each to the list of its second in `waiting`, and `arrive` and `see` them, from place `start`.

        Returns the place of the first one not taken: the one before it brought room time to `limit_ms`, it would do so
        by its arrival, or nothing waits in its second. One loop of plain names, since every event passes here.
        """
        last, now, newest, newest_arrived = self.arrived_ms, self.now_ms, self.newest_ms, self.newest_arrived_ms
        place = start
        for event, came in zip(islice(events, start, None), islice(arrived, start, None), strict=True):
            if came > last:
                reached = newest + came - newest_arrived
                if reached > now:
                    if reached >= limit_ms:
                        break
                    now = reached
                last = came
            ts = event.ts
            try:
                waiting[ts // 1000].append(event)
            except KeyError:
                break
            place += 1
            if ts >= newest:
                newest, newest_arrived = ts, last
                if ts > now:
                    now = ts
                    if now >= limit_ms:
                        break
        self.arrived_ms, self.now_ms, self.newest_ms, self.newest_arrived_ms = last, now, newest, newest_arrived
        return place

    def snapshot(self) -> list[int]:
        """The clock as plain numbers."""
        return [self.arrived_ms, self.newest_ms, self.newest_arrived_ms, self.now_ms]

    def restore(self, state: list[int]) -> None:
        """The clock as it stood when `state` was taken."""
        self.arrived_ms, self.newest_ms, self.newest_arrived_ms, self.now_ms = state
