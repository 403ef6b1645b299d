"""How events come into a room: with a usable time, money in the show's currency, repeats dropped; then they wait.

What becomes of an event depends on the log alone, never on how many come at a time.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from stream import events as e
from stream.clock import RoomClock
from stream.currency import Currencies
from stream.dedupe import Seen
from stream.desk import Desk
from stream.waiting import ABOUT_PRODUCTS, BARE, CODE, COUNTING, Waiting, more_than_a_row

Events = Sequence[e.RoomEvent]
_PRICED = e.MONEY | {e.RoomStart}
_SINGLE = Desk.ARRIVES | {e.RoomStart}  # more happens at their arrival than that they wait
# Of every other type: its code, whether it is about a product, counts, is money, and may be more than a row.
_PLAIN = {
    kind: (code, kind in ABOUT_PRODUCTS, kind in COUNTING, kind in e.MONEY, kind not in BARE)
    for kind, code in CODE.items()
    if kind not in _SINGLE
}


class Entrance:
    """The clock of a room, what it has seen, and what waits for its second to be closed."""

    __slots__ = ("clock", "currencies", "duplicates", "seen", "stamped", "waiting")

    def __init__(self) -> None:
        self.clock = RoomClock()
        self.currencies = Currencies()
        self.seen = Seen()
        self.waiting = Waiting()
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
        if self.seen.again(event, (clock.now_ms or event.ts) // 1000):
            self.duplicates += 1
            return None
        if event.stamped:
            self.stamped += 1
        return event

    def flow(
        self, events: Events, arrived: Sequence[int], start: int, closed_ms: int, due_ms: int, lateness_ms: int
    ) -> tuple[int, int]:
        """As `arrive`, `admit` and `see` for the events from place `start` on, which then wait for their seconds.

        Returns the place of the first one not taken: room time is at the end of the next second to be closed (or of the
        span of ids), or would be with its arrival, its second is closed (`closed_ms` is their end), its time must be
        mended, it is the first of its source or type, or more happens than that it waits. Then when the next second is
        due, `due_ms` or earlier. One loop, since every event passes here.
        """
        clock, waiting, seen, place = self.clock, self.waiting, self.seen, start
        limit_ms = min(due_ms, seen.end_ms)
        last, now, newest = clock.arrived_ms, clock.now_ms, clock.newest_ms
        if not newest or now >= limit_ms or min(seen.room, waiting.room) < len(events) - start:
            return start, due_ms
        ahead = newest - clock.newest_arrived_ms  # of room time before arrivals; mostly below zero
        earliest_ms, due_after_ms, ahead_max_ms = max(e.TS_MIN_MS, closed_ms), lateness_ms + 1000, e.AHEAD_MAX_MS
        users, products, sources = waiting.users.of, waiting.products.of, waiting.sources.of
        source, ways, source_number = None, seen.ways(None), sources[None]
        rows = waiting.rows
        event: Any
        for event, came in zip(islice(events, start, None), islice(arrived, start, None), strict=True):
            if came > last:
                reached = came + ahead
                if reached > now:
                    if reached >= limit_ms:
                        break
                    now = reached
                last = came
            ts = event.ts
            if ts < earliest_ms or (ts > last and ts > last + ahead_max_ms):
                break
            kind = type(event)
            if event.source is not source and event.source != source:
                if event.source not in sources:  # it has no number before an event is sure to be let in
                    break
                source = event.source
                ways, source_number = seen.ways(source), sources[source]
            try:
                code, about, counts, priced, more = _PLAIN[kind]
                if priced and not self.currencies.agree(event):
                    break
                if (id_ := event.id) is not None:
                    prefix, newer, older = ways[kind]
                    key = prefix + id_
                    if key in newer or key in older:
                        self.duplicates += 1
                        place += 1
                        continue
                    newer.add(key)
            except KeyError:
                break
            what = products[event.product] if about else event.count if counts else 1
            rows[ts // 1000] += (ts, code, users[event.user], what, source_number)
            if more and (kind is not e.ViewerJoin or more_than_a_row(event)):
                waiting.keep(event)
            place += 1
            if event.stamped:
                self.stamped += 1
            if ts + due_after_ms < due_ms:  # nothing waited so early
                due_ms = ts // 1000 * 1000 + due_after_ms
                limit_ms = min(due_ms, seen.end_ms)
            if ts >= newest:
                newest, ahead = ts, ts - last
                now = max(now, ts)
            if now >= limit_ms:
                break
        clock.arrived_ms, clock.now_ms, clock.newest_ms, clock.newest_arrived_ms = last, now, newest, newest - ahead
        return place, due_ms

    def snapshot(self) -> dict[str, Any]:
        """The entrance as plain data."""
        return {
            "clock": self.clock.snapshot(),
            "currencies": self.currencies.snapshot(),
            "seen": self.seen.snapshot(),
            "waiting": self.waiting.snapshot(),
            "counts": [self.duplicates, self.stamped],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """As it stood when `state` was taken."""
        self.clock.restore(state["clock"])
        self.currencies.restore(state["currencies"])
        self.seen.restore(state["seen"])
        self.waiting.restore(state["waiting"])
        self.duplicates, self.stamped = state["counts"]
