"""Room time: the newest event time plus the time passed since that event arrived. It never goes back.

So a recording replayed at any speed of 1 or more, or a source with a wrong clock, never jumps to the wall's time.
"""

from collections.abc import Sequence

LAST_MS = 4_102_444_800_000  # 2100-01-01: a record says when it came in any 63 bits


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
        """Time has passed until `arrived_ms`; an earlier time than the last one changes nothing.

        A time beyond LAST_MS is taken as that.
        """
        arrived_ms = min(arrived_ms, LAST_MS)
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

    def snapshot(self) -> tuple[int, int, int, int]:
        """The clock as plain numbers."""
        return self.arrived_ms, self.newest_ms, self.newest_arrived_ms, self.now_ms

    def restore(self, state: Sequence[int]) -> None:
        """The clock as it stood when `state` was taken."""
        self.arrived_ms, self.newest_ms, self.newest_arrived_ms, self.now_ms = state
