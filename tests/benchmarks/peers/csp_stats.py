"""csp (Point72): csp.stats over time windows, triggered once a second of event time, as its documentation shows.

csp's clock cannot go back, so the events are sorted by time first (a buffer of 5 s would do the same on line), and
csp.stats keeps one value a time stamp, so events of the same millisecond are set apart by nanoseconds, in their order.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import csp
import numpy as np
import orjson
from contract import COUNTED, START_MS, WINDOWS_S, Meter, Row, arguments, chunks, conversion, report

NAMES = ("joins", "chats", "carts", "orders")
START = datetime.fromtimestamp(START_MS / 1000, UTC).replace(tzinfo=None)
JUST_BEFORE = timedelta(microseconds=1)  # a window that ends at a whole second must not hold the event at that moment
ROWS: list[Row] = []


@csp.node
def sink(window_s: int, room: str, values: {str: csp.ts[float]}, trigger: csp.ts[bool]):  # type: ignore  # csp's syntax
    if csp.ticked(trigger):
        sums = [int(values[name]) if csp.valid(values[name]) else 0 for name in (*NAMES, "gmv", "users")]
        end_s = round((csp.now() - START).total_seconds())
        ROWS.append((window_s, room, end_s, *sums, conversion(sums[2], sums[5])))


@csp.graph
def windows(columns: object):  # type: ignore  # csp's syntax
    at, kind, room, user, amount, rooms = columns
    trigger = csp.timer(timedelta(seconds=1), True)
    for number, name in enumerate(rooms):

        def curve(mask: Any, values: Any) -> Any:
            return csp.curve(float, (at[mask], np.ascontiguousarray(values[mask])))

        here = room == number
        counted = {word: curve(here & (kind == place), amount) for place, word in enumerate(NAMES)}
        users = curve(here, user)
        for window_s in WINDOWS_S:
            span = {"interval": timedelta(seconds=window_s), "min_window": timedelta(0), "trigger": trigger}
            values = {word: csp.stats.count(series, **span) for word, series in counted.items()}
            values["gmv"] = csp.stats.sum(counted["orders"], **span)
            values["users"] = csp.stats.unique(users, **span)
            sink(window_s, name, values, trigger)


def columns_of(events: list[dict[str, Any]]) -> tuple[Any, ...]:
    """The events as arrays in order of time, and the names of the rooms."""
    ts = np.array([event["ts"] for event in events], dtype="i8")
    rooms: dict[str, int] = {}
    users: dict[str, int] = {}
    room = np.array([rooms.setdefault(event["room"], len(rooms)) for event in events])
    user = np.array([users.setdefault(event["user"], len(users)) for event in events], dtype="f8")
    kind = np.array([COUNTED.get(event["type"], -1) for event in events])
    amount = np.array([event.get("amount", 0) for event in events], dtype="f8")
    order = np.argsort(ts, kind="stable")
    ts, kind, room, user, amount = (column[order] for column in (ts, kind, room, user, amount))
    place = np.arange(len(ts))
    first = np.r_[True, ts[1:] != ts[:-1]]
    apart = place - np.maximum.accumulate(np.where(first, place, 0))
    at = (ts * 1_000_000 + apart).astype("datetime64[ns]")
    return at, kind, room, user, amount, list(rooms)


if __name__ == "__main__":
    given = arguments()
    meter, events = Meter(), []
    for chunk in chunks(given):
        meter.start()
        events += map(orjson.loads, chunk)
    end_s = (max(event["ts"] for event in events) - START_MS) // 1000 + 1
    columns = columns_of(events)
    starts = START - JUST_BEFORE
    csp.run(windows, columns, starttime=starts, endtime=starts + timedelta(seconds=end_s), realtime=False)
    report(given, f"csp {csp.__version__}", meter.spent(), ROWS)
