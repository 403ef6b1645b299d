"""How events come into a room: with a usable time, money in the show's currency, repeats dropped; then they wait.

What becomes of an event depends on the log alone, never on how many come at a time.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from stream import events as e
from stream.clock import RoomClock
from stream.currency import Currencies
from stream.dedupe import Seen
from stream.desk import Desk
from stream.waiting import LIST_OF, Pane, events_of

_PRICED = e.MONEY | {e.RoomStart}
_SINGLE = Desk.ARRIVES | {e.RoomStart}  # more happens at their arrival than that they wait


class Entrance:
    """The clock of a room, what it has seen, and what waits for its second to be closed, by second."""

    __slots__ = ("clock", "currencies", "duplicates", "seen", "stamped", "waiting")

    def __init__(self) -> None:
        self.clock = RoomClock()
        self.currencies = Currencies()
        self.seen = Seen()
        self.waiting: dict[int, Pane] = {}
        self.duplicates = 0
        self.stamped = 0

    def admit(self, event: e.RoomEvent) -> e.RoomEvent | None:
        """An event whose arrival the clock was told, with a usable time; None when it was seen before.

        Raises RejectedEvent when its time or currency cannot be meant.
        """
        clock = self.clock
        if not e.TS_MIN_MS <= event.ts <= clock.arrived_ms + e.AHEAD_MAX_MS:
            event = e.settle_time(event, clock.arrived_ms)
        if type(event) in _PRICED:
            self.currencies.judge(event)
        if event.id is not None and self.seen.again(event, (clock.now_ms or event.ts) // 1000):
            self.duplicates += 1
            return None
        if event.stamped:
            self.stamped += 1
        return event

    def plain_keys(self, events: Sequence[e.RoomEvent], kinds: Sequence[type]) -> list[str] | None:
        """What `flow` wants to know of events, whose types are `kinds`, if all it would do to them is to let them wait.

        None otherwise. That one closes a second, opens one, comes late or at no possible time does not matter.
        """
        if not self.clock.newest_ms or not _SINGLE.isdisjoint(kinds):
            return None
        if not e.MONEY.isdisjoint(kinds) and not self.currencies.agree(events):
            return None
        return self.seen.keys(kinds, events)

    def flow(
        self,
        events: Sequence[e.RoomEvent],
        kinds: Sequence[type],
        keys: Sequence[str],
        arrived: Sequence[int],
        start: int,
        due_ms: int,
    ) -> int:
        """As `arrive`, `admit` and `see` for the events from place `start` on, which then wait in their seconds.

        Returns the place of the first one not taken: the one before it brought room time to `due_ms` (or ids to the
        end of their span), its own arrival would do so, its time must be mended, or nothing waits in its second yet.
        """
        limit_ms, now_s = min(due_ms, self.seen.end_ms), self.clock.now_ms // 1000
        if self.clock.now_ms >= limit_ms:
            return start
        stop = self._wait(events, kinds, arrived, start, limit_ms)
        self.seen.remember(keys[start:stop], kinds[start:stop], now_s)
        self.stamped += [event.stamped for event in islice(events, start, stop)].count(True)
        return stop

    def _wait(
        self, events: Sequence[e.RoomEvent], kinds: Sequence[type], arrived: Sequence[int], start: int, limit_ms: int
    ) -> int:
        """One loop of plain names, since every event passes here; it does what `RoomClock` does."""
        clock, waiting, place = self.clock, self.waiting, start
        last, now, newest, newest_arrived = clock.arrived_ms, clock.now_ms, clock.newest_ms, clock.newest_arrived_ms
        lists = map(LIST_OF.__getitem__, islice(kinds, start, None))
        for event, of, came in zip(islice(events, start, None), lists, islice(arrived, start, None), strict=True):
            if came > last:
                reached = newest + came - newest_arrived
                if reached > now:
                    if reached >= limit_ms:
                        break
                    now = reached
                last = came
            ts = event.ts
            if not e.TS_MIN_MS <= ts <= last + e.AHEAD_MAX_MS:
                break
            try:
                waiting[ts // 1000][of].append(event)
            except KeyError:
                break
            place += 1
            if ts >= newest:
                newest, newest_arrived = ts, last
                if ts > now:
                    now = ts
                    if now >= limit_ms:
                        break
        clock.arrived_ms, clock.now_ms, clock.newest_ms, clock.newest_arrived_ms = last, now, newest, newest_arrived
        return place

    def snapshot(self) -> dict[str, Any]:
        """The entrance as plain data."""
        return {
            "clock": self.clock.snapshot(),
            "currencies": self.currencies.snapshot(),
            "seen": self.seen.snapshot(),
            "waiting": [event for pane in self.waiting.values() for event in events_of(pane)],
            "counts": [self.duplicates, self.stamped],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """As it stood when `state` was taken."""
        self.clock.restore(state["clock"])
        self.currencies.restore(state["currencies"])
        self.seen.restore(state["seen"])
        self.waiting = {}
        for event in msgspec.convert(state["waiting"], list[e.RoomEvent]):
            pane = self.waiting.setdefault(event.ts // 1000, defaultdict(list))
            pane[LIST_OF[type(event)]].append(event)
        self.duplicates, self.stamped = state["counts"]
