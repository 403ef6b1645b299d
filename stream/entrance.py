"""How events come into a room: with a usable time, money in the show's currency, repeats dropped; then they wait.

What becomes of an event depends on the log alone, never on how many come at a time.
"""

from typing import Any

import numpy as np

from stream import admitting, dedupe
from stream import events as e
from stream.admitting import (
    FIRST,
    FLAGS,
    FLOWS,
    MONEY,
    OF_PRODUCT,
    ORDERS_FULL,
    PRODUCTS_FULL,
    SELLS,
    TAKEN,
    USERS_FULL,
)
from stream.clock import RoomClock
from stream.columns import Columns
from stream.currency import Currencies
from stream.dedupe import Seen
from stream.desk import Desk
from stream.loops import Ints
from stream.waiting import ABOUT_PRODUCTS, CODE, SELLING, Waiting

_PRICED = e.MONEY | {e.RoomStart}
_SINGLE = Desk.ARRIVES | {e.RoomStart}  # more happens at their arrival than that they wait
_FORMS = np.array(
    [
        (0 if kind in _SINGLE else FLOWS)
        | (OF_PRODUCT if kind in ABOUT_PRODUCTS or kind in SELLING else 0)
        | (SELLS if kind in SELLING else 0)
        | (MONEY if kind in e.MONEY else 0)
        for kind in CODE
    ]
)  # by code


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
        self, events: Columns, arrived: Ints, start: int, closed_ms: int, due_ms: int, lateness_ms: int
    ) -> tuple[int, int]:
        """As `arrive`, `admit` and `see` for the events from place `start` on, which then wait for their seconds.

        Returns the place of the first one not taken: room time is at the end of the next second to be closed (or of the
        span of ids), or would be with its arrival, its second is closed (`closed_ms` is their end), its time must be
        mended, it is the first of its source, or of its product or order where there is no room for one, or more
        happens than that it waits. Then when the next second is due, `due_ms` or earlier.
        """
        clock, waiting, seen = self.clock, self.waiting, self.seen
        if not clock.newest_ms or clock.now_ms >= min(due_ms, seen.end_ms):
            return start, due_ms
        more, users, products, orders = len(events) - start, waiting.users, waiting.products, waiting.orders
        waits = waiting.make_room(more)
        users.make_room(more)
        now = clock.arrived_ms, clock.now_ms, clock.newest_ms, clock.newest_arrived_ms, due_ms
        counts = waiting.count, seen.recent.count, seen.money.count, users.count, len(products), orders.count
        held = np.array([*now, *counts, 0, 0, 0, 0])
        terms = (
            *(seen.end_ms, max(e.TS_MIN_MS, closed_ms), lateness_ms, e.AHEAD_MAX_MS),
            *(dedupe.KEYS_MAX // 2, users.limit, products.limit, orders.limit, *self.currencies.terms),
            int(waiting.sources.full),
        )
        tables = users.table, products.table, orders.table, waiting.sources.table
        place = int(admitting.flow(events.rows, arrived, start, held, terms, _FORMS, seen.places(more), tables, waits))
        told: list[int] = held.tolist()
        clock.arrived_ms, clock.now_ms, clock.newest_ms, clock.newest_arrived_ms, due_ms, waiting.count = told[:6]
        seen.recent.count, seen.money.count, users.count, named, orders.count, duplicates, stamped, full, _ = told[6:]
        if full:
            users.full |= bool(full & USERS_FULL)
            products.full |= bool(full & PRODUCTS_FULL)
            orders.full |= bool(full & ORDERS_FULL)
        self.duplicates += duplicates
        self.stamped += stamped
        if named > len(products):
            for at in (events.rows[start:place, FLAGS] & FIRST).nonzero()[0].tolist():
                event: Any = events.event(start + at)
                products.grown(event.product)
        for at in events.more:
            if start <= at < place and events.rows[at, FLAGS] & TAKEN:
                waiting.keep(events.event(at))
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
