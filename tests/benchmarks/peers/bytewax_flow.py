"""Bytewax: `documented` folds into a sliding window, `tuned` folds into seconds and slides over them by hand.

The documented operator touches every window an event lies in (60 or 300 of them); `tuned` is what an engineer who knows
the cost would write: a tumbling fold of one second, then a stateful map that adds the new pane and takes away the old.
The clock's `now` stands still, or a replay slower than real time would count events as late. Recovery is off.
"""

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.files import FileSource
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, SlidingWindower, TumblingWindower, fold_window
from bytewax.testing import TestingSink, run_main
from contract import COUNTED, LATENESS_MS, START_MS, WINDOWS_S, Meter, Row, arguments, conversion, report
from sliding import Sliding

BATCH = 1_000
ALIGN = datetime.fromtimestamp(START_MS / 1000, UTC)
NOW = ALIGN + timedelta(days=100)
SECOND = timedelta(seconds=1)

Pane = list[Any]
"""[joins, chats, carts, orders, gmv, users]"""


def pane() -> Pane:
    return [0, 0, 0, 0, 0, set()]


def fold(held: Pane, event: dict[str, Any]) -> Pane:
    place = COUNTED.get(event["type"])
    if place is not None:
        held[place] += 1
        if place == 3:
            held[4] += event["amount"]
    held[5].add(event["user"])
    return held


def merge(a: Pane, b: Pane) -> Pane:
    return [*(x + y for x, y in zip(a[:5], b[:5], strict=True)), a[5] | b[5]]


def slide(held: Sliding | None, numbered: tuple[int, Pane]) -> tuple[Sliding, list[Row]]:
    held = held or Sliding()
    second, new = numbered
    return held, held.close(second, new[:5], new[5])


def flow(source: Any, decode: Any, variant: str, rows: list[Row]) -> Dataflow:
    """The data flow from undecoded events to rows."""
    clock = EventClock(
        ts_getter=lambda event: event["at"],
        wait_for_system_duration=timedelta(milliseconds=LATENESS_MS),
        now_getter=lambda: NOW,
        to_system_utc=lambda _: None,
    )
    whole = Dataflow("windows")
    events = op.key_on("room", op.map("decode", op.input("in", whole, source), decode), lambda event: event["room"])
    if variant == "tuned":
        seconds = fold_window(
            "second", events, clock, TumblingWindower(length=SECOND, align_to=ALIGN), pane, fold, merge, ordered=False
        )
        slid = op.stateful_map("slide", seconds.down, slide)
        named = op.flat_map("name", slid, lambda keyed: [(row[0], keyed[0], *row[1:]) for row in keyed[1]])
        op.output("out", named, TestingSink(rows))
        return whole
    for window_s in WINDOWS_S:
        windower = SlidingWindower(length=timedelta(seconds=window_s), offset=SECOND, align_to=ALIGN)
        folded = fold_window(f"last{window_s}", events, clock, windower, pane, fold, merge, ordered=False)
        named = op.map(f"name{window_s}", folded.down, lambda keyed, window_s=window_s: _row(window_s, *keyed))
        op.output(f"out{window_s}", named, TestingSink(rows))
    return whole


def _row(window_s: int, room: str, numbered: tuple[int, Pane]) -> Row:
    number, held = numbered
    users = len(held[5])
    return (window_s, room, number + window_s, *held[:5], users, conversion(held[2], users))


if __name__ == "__main__":
    given = arguments("tuned", "documented")
    meter, rows = Meter(), []

    def decode(raw: Any) -> dict[str, Any]:
        meter.start()
        event: dict[str, Any] = orjson.loads(raw if given.input == "file" else raw.value)
        event["at"] = datetime.fromtimestamp(event["ts"] / 1000, UTC)
        return event

    if given.input == "file":
        source: Any = FileSource(given.file, batch_size=BATCH)
    else:
        source = KafkaSource([given.bootstrap], [given.topic], tail=False, batch_size=BATCH)
    run_main(flow(source, decode, given.variant, rows))
    report(given, f"Bytewax {version('bytewax')}", meter.spent(), rows)
