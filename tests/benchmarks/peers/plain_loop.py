"""No framework: orjson, dictionaries and lists; the measure for all others. Nothing is durable.

Each second of a room gathers in a pane and is closed once, when no event of it can come any more. A close costs a
constant for each distinct user of the second and for each window: sums slide by adding the new pane and taking away the
one that leaves; a user counts in a window from the second last seen until that second leaves it.
"""

import platform
from typing import Any

import orjson
from contract import COUNTED, LATENESS_MS, START_S, WINDOWS_S, Meter, Row, arguments, chunks, report

SPAN_S = max(WINDOWS_S)
ORDER = COUNTED["order.paid"]


class Room:
    """One room: panes [joins, chats, carts, orders, gmv, users] by second, and the sums of the windows."""

    __slots__ = ("active", "last", "latest", "panes", "sums")

    def __init__(self) -> None:
        self.panes: dict[int, list[Any]] = {}
        self.last: dict[str, int] = {}  # user -> second last seen
        self.latest: dict[int, int] = {}  # second -> users last seen in it
        self.sums = {window_s: [0] * 5 for window_s in WINDOWS_S}
        self.active = dict.fromkeys(WINDOWS_S, 0)


class Loop:
    """All rooms; `rows` fills as seconds close."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._rooms: dict[str, Room] = {}
        self._newest_ms = 0
        self._due_ms = 0  # when the second `_next` may be closed
        self._next = 0

    def take(self, lines: list[bytes]) -> None:
        """Apply events in the order of their arrival."""
        loads, rooms, place_of = orjson.loads, self._rooms, COUNTED.get
        for line in lines:
            event = loads(line)
            ts = event["ts"]
            if ts > self._newest_ms:
                self._newest_ms = ts
                if not self._next:
                    self._next = ts // 1000
                    self._due_ms = (self._next + 1) * 1000 + LATENESS_MS
                while ts >= self._due_ms:
                    self._close()
            try:
                room = rooms[event["room"]]
            except KeyError:
                room = rooms[event["room"]] = Room()
            second = ts // 1000
            try:
                pane = room.panes[second]
            except KeyError:
                pane = room.panes[second] = [0, 0, 0, 0, 0, set()]
            place = place_of(event["type"])
            if place is not None:
                pane[place] += 1
                if place == ORDER:
                    pane[4] += event["amount"]
            pane[5].add(event["user"])

    def finish(self) -> None:
        """Close what is left."""
        while self._next * 1000 <= self._newest_ms:
            self._close()

    def _close(self) -> None:
        second = self._next
        self._next += 1
        self._due_ms += 1000
        end_s = second + 1 - START_S
        for name, room in self._rooms.items():
            pane = room.panes.get(second)
            if pane is not None:
                _see(room, second, pane[5])
            for window_s in WINDOWS_S:
                sums, gone_s = room.sums[window_s], second - window_s
                if pane is not None:
                    for place in range(5):
                        sums[place] += pane[place]
                gone = room.panes.get(gone_s)
                if gone is not None:
                    for place in range(5):
                        sums[place] -= gone[place]
                room.active[window_s] -= room.latest.get(gone_s, 0)
                users = room.active[window_s]
                self.rows.append((window_s, name, end_s, *sums, users, sums[2] / users if users else None))
            room.panes.pop(second - SPAN_S, None)
            room.latest.pop(second - SPAN_S, None)


def _see(room: Room, second: int, users: set[str]) -> None:
    """The users of a second that is being closed were seen last in it."""
    last, latest, active = room.last, room.latest, room.active
    short_s, long_s = WINDOWS_S
    in_short = in_long = 0
    for user in users:
        before = last.get(user)
        last[user] = second
        if before is not None and before >= second - long_s:
            latest[before] -= 1
            in_long += 1
            in_short += before >= second - short_s
    latest[second] = len(users)
    active[short_s] += len(users) - in_short
    active[long_s] += len(users) - in_long


if __name__ == "__main__":
    given = arguments()
    meter, loop = Meter(), Loop()
    for chunk in chunks(given):
        meter.start()
        loop.take(chunk)
    loop.finish()
    report(given, f"Python {platform.python_version()}, orjson {orjson.__version__}", meter.spent(), loop.rows)
