"""Quix Streams, from a topic only: `tuned` collects seconds and slides over them in its state, `documented` hops.

`documented` is a hopping window of each size with step 1 s and the aggregations that its documentation shows; it writes
every event into each of the 60 or 300 windows it lies in. State is in RocksDB with a changelog topic, as by default.
Windows close as their key's time goes on, so the last seconds of the input stay open: fewer rows, all others equal.
"""

import logging
import shutil
import tempfile
import time
from typing import Any

import quixstreams
from contract import COUNTED, LATENESS_MS, START_S, WINDOWS_S, Meter, Row, arguments, conversion, report
from quixstreams import Application
from quixstreams.dataframe.windows import Collect

Fold = tuple[list[int], list[str]]


def fold(events: list[list[Any]]) -> Fold:
    """[type, user, amount] of a window's events to sums and distinct users."""
    sums, users = [0] * 5, set()
    for kind, user, amount in events:
        place = COUNTED.get(kind)
        if place is not None:
            sums[place] += 1
            if place == 3:
                sums[4] += amount
        users.add(user)
    return sums, list(users)


def slide(value: dict[str, Any], state: Any) -> list[tuple[Any, ...]]:
    """One second into the windows kept in `state`; the rows, unnamed."""
    end_s = value["end"] // 1000 - START_S
    sums, users = fold(value["value"])
    state.set(f"p{end_s}", [sums, users])
    totals: list[list[int]] = state.get("totals") or [[0] * 5 for _ in WINDOWS_S]
    active: list[int] = state.get("active") or [0] * len(WINDOWS_S)
    touched: dict[str, list[int]] = {}

    def held(user: str) -> list[int]:
        if user not in touched:
            touched[user] = state.get(user) or [0] * len(WINDOWS_S)
        return touched[user]

    rows = []
    for place, window_s in enumerate(WINDOWS_S):
        totals[place] = [a + b for a, b in zip(totals[place], sums, strict=True)]
        for user in users:
            seconds = held(user)
            active[place] += seconds[place] == 0
            seconds[place] += 1
        gone = state.get(f"p{end_s - window_s}")
        if gone:
            totals[place] = [a - b for a, b in zip(totals[place], gone[0], strict=True)]
            for user in gone[1]:
                seconds = held(user)
                seconds[place] -= 1
                active[place] -= seconds[place] == 0
        rows.append((window_s, end_s, *totals[place], active[place], conversion(totals[place][2], active[place])))
    for user, seconds in touched.items():
        if any(seconds):
            state.set(user, seconds)
        else:
            state.delete(user)
    state.set("totals", totals)
    state.set("active", active)
    state.delete(f"p{end_s - max(WINDOWS_S)}")
    return rows


def build(app: Application, given: Any, meter: Meter, rows: list[Row]) -> None:
    """The data frames from the topic to rows; the application stops after the last event."""
    topic = app.topic(
        given.topic,
        key_deserializer="str",
        value_deserializer="json",
        timestamp_extractor=lambda value, headers, at, kind: value["ts"],
    )
    frame = app.dataframe(topic)
    seen = 0

    def count(_: Any) -> None:
        nonlocal seen
        meter.start()
        seen += 1
        if seen == given.events:
            app.stop()  # finishes this event, then a last checkpoint

    frame = frame.update(count).apply(lambda value: [value["type"], value["user"], value.get("amount", 0)])
    if given.variant == "tuned":
        seconds = frame.tumbling_window(1_000, grace_ms=LATENESS_MS).agg(value=Collect()).final()
        slid = seconds.apply(slide, stateful=True)
        slid.update(
            lambda value, key, at, headers: rows.extend((row[0], key, *row[1:]) for row in value), metadata=True
        )
        return
    for window_s in WINDOWS_S:
        hopping = frame.hopping_window(window_s * 1_000, 1_000, grace_ms=LATENESS_MS, name=f"last{window_s}")

        def out(value: dict[str, Any], key: str, at: int, headers: Any, window_s: int = window_s) -> None:
            sums, users = fold(value["value"])
            end_s = value["end"] // 1000 - START_S
            rows.append((window_s, key, end_s, *sums, len(users), conversion(sums[2], len(users))))

        hopping.agg(value=Collect()).final().update(out, metadata=True)


def main() -> None:
    given = arguments("tuned", "documented")
    logging.getLogger("quixstreams").setLevel(logging.WARNING)
    meter, rows, state = Meter(), [], tempfile.mkdtemp(prefix="quix-")
    app = Application(
        broker_address=given.bootstrap,
        consumer_group=f"quix-{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=state,
        loglevel="WARNING",
    )
    try:
        build(app, given, meter, rows)
        app.run()
        spent = meter.spent()
    finally:
        shutil.rmtree(state, ignore_errors=True)
    report(given, f"Quix Streams {quixstreams.__version__}", spent, rows, partial=True)


if __name__ == "__main__":
    main()
