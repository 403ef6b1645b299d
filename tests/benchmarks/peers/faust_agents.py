"""Plain faust-streaming, from a topic only: `agent` feeds the plain loop, `tables` keeps hopping tables as documented.

`agent` loses its state at a restart; `tables` would not, and pays for it with a changelog record for each event and
window. Tables expire by the wall clock, which closes the windows of a replay at once: they are read at the end instead,
so only ends of windows that a table still holds are rows. Distinct users need a second table, by room and user.
"""

import os
import sys
import tempfile
import time
from typing import Any

import faust
import orjson
from contract import COUNTED, START_S, WINDOWS_S, Meter, Row, arguments, conversion, report
from plain_loop import Loop

KEEP_S = 3_600.0


def application(given: Any) -> faust.App:
    """An application with a group of its own that reads from the beginning."""
    return faust.App(
        f"faust-{time.time_ns()}",
        broker=f"kafka://{given.bootstrap}",
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="faust-", dir="."),
        topic_partitions=1,
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=10,
        broker_rebalance_timeout=4,
        broker_heartbeat_interval=2,
        stream_wait_empty=False,
        web_enabled=False,
        table_cleanup_interval=KEEP_S,
    )


class Agent:
    """The plain loop as an agent's state, fed with raw records: decoding them as faust.Record gains nothing."""

    def __init__(self) -> None:
        self.loop = Loop()

    def take(self, value: bytes) -> None:
        self.loop.take([value])

    def rows(self) -> list[Row]:
        self.loop.finish()
        return self.loop.rows


class Tables:
    """Hopping tables of both sizes: sums by room, and first sightings by room and user."""

    def __init__(self, app: faust.App) -> None:
        self._sums, self._seen = {}, {}
        for window_s in WINDOWS_S:
            for name, held in (("sums", self._sums), ("seen", self._seen)):
                table = app.Table(f"{name}{window_s}", default=lambda: None, partitions=1)
                held[window_s] = table.hopping(window_s, 1, expires=KEEP_S)

    def take(self, value: bytes) -> None:
        event = orjson.loads(value)
        place = COUNTED.get(event["type"])
        for window_s in WINDOWS_S:
            sums, seen = self._sums[window_s].table, self._seen[window_s].table
            # The ranges a hopping table itself writes to; a distinct count has to look into each of them.
            for span in sums._window_ranges(event["ts"] / 1000):
                key = (f"{event['room']}|{event['user']}", span)
                new = seen._get_key(key) is None
                if new:
                    seen._set_key(key, 1)
                held = list(sums._get_key((event["room"], span)) or [0] * 6)
                if place is not None:
                    held[place] += 1
                    held[4] += event.get("amount", 0)
                held[5] += new
                sums._set_key((event["room"], span), held)

    def rows(self) -> list[Row]:
        found: list[Row] = []
        for window_s, table in self._sums.items():
            for (room, (_, end)), held in table.table.data.items():
                found.append(
                    (window_s, room, round(end + 0.1) - START_S, *held[:5], held[5], conversion(held[2], held[5]))
                )
        return found


def main() -> None:
    given = arguments("agent", "tables")
    app, meter = application(given), Meter()
    work = Agent() if given.variant == "agent" else Tables(app)
    topic = app.topic(given.topic, key_type=bytes, key_serializer="raw", value_type=bytes, value_serializer="raw")
    seen = 0

    @app.agent(topic)
    async def go(stream: faust.StreamT[bytes]) -> None:
        nonlocal seen
        async for value in stream:
            meter.start()
            work.take(value)
            seen += 1
            if seen == given.events:
                rows = work.rows()
                report(given, f"faust-streaming {faust.__version__}", meter.spent(), rows)
                os._exit(0)  # it would go on for ever, and leaving the group is not what is measured

    sys.argv = [sys.argv[0], "worker", "-l", "error", "--without-web"]
    app.main()


if __name__ == "__main__":
    main()
