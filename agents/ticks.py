"""Time that has passed, told to the rooms of a partition in idle moments instead of to all of them at once.

A tick of the log only marks the rooms. Each hears of the newest one before the next event it takes and before it is
saved, otherwise when its turn comes: so it says what it would have said at the tick, a little later.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from agents.partition import Kept, Partition

logger = logging.getLogger(__name__)

SLICE_S = 0.003  # of work before others may go on; closing a second of a quiet room takes 0.3 ms
PAUSE_S = 0.001  # at least, for those others: records take some turns of the event loop on their way to the rooms
LAG_MAX_MS = 3_000  # between ticks; beyond it records wait, or a save would have to catch up with any length of time

Say = Callable[[Partition, Kept, int], None]
"""Told that a room of a partition has heard of the tick of this moment, and may have said something."""


class _Turn(NamedTuple):
    """A room that waits for its turn since a tick."""

    partition: Partition
    since_ms: int


class Ticks:
    """Who has not heard yet of the newest tick, and whose turn it is."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._turns: OrderedDict[Kept, _Turn] = OrderedDict()  # only rooms with a second to close; the longest first
        self._waiting = asyncio.Event()

    def mark(self, partition: Partition, now_ms: int) -> None:
        """It is `now_ms` for every room of a partition; costs next to nothing for one without a second to close."""
        for kept in partition.rooms.values():
            kept.tick_ms = max(kept.tick_ms, now_ms)
            if kept.state.due_arrival_ms <= kept.tick_ms and kept not in self._turns:
                self._turns[kept] = _Turn(partition, now_ms)
                self._waiting.set()

    def tell(self, kept: Kept) -> None:
        """Let a room hear of the newest tick, if it has not; what it says then is to be gathered."""
        if not kept.tick_ms:
            return
        self._turns.pop(kept, None)
        now_ms, kept.tick_ms = kept.tick_ms, 0
        try:
            kept.state.advance(now_ms)
        except Exception:  # our own fault: the other rooms must not stand still for it
            logger.exception("room %r could not go on to %d", kept.state.room, now_ms)

    def tell_and_say(self, partition: Partition, kept: Kept) -> None:
        """The same, and hand on what it says."""
        now_ms = kept.tick_ms
        if now_ms:
            self.tell(kept)
            self._say(partition, kept, now_ms)

    async def tell_forever(self) -> None:
        """A few rooms at a time; in between whatever else is to be done goes first."""
        while True:
            await self._waiting.wait()
            self.tell_for(SLICE_S)
            await asyncio.sleep(PAUSE_S)

    def tell_for(self, limit_s: float) -> None:
        """Those who wait the longest, one at least, until `limit_s` have passed; none of a lost partition."""
        until = time.perf_counter() + limit_s
        while self._turns:
            kept, turn = next(iter(self._turns.items()))
            if turn.partition.lost:
                del self._turns[kept]
                continue
            self.tell_and_say(turn.partition, kept)
            if time.perf_counter() >= until:
                break
        if not self._turns:
            self._waiting.clear()

    async def kept_up(self) -> None:
        """Returns at once, or when rooms that have been waiting for more than LAG_MAX_MS of ticks had their turn."""
        while self._turns:
            kept, turn = next(iter(self._turns.items()))
            if turn.partition.lost or kept.tick_ms - turn.since_ms <= LAG_MAX_MS:
                return
            await asyncio.sleep(SLICE_S)
