"""Our whole worker, from a topic only: a process of its own, durable, every number, all plays.

It has servers of its own, with the same records in its own topic: a worker writes ticks into its topic, which would not
be the workload any more. What it publishes is read from Redis while it runs and once it is through, so the rows are
those ends of seconds at which somebody looked.
"""

import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import core  # the benchmarks lie one folder up
import drain
import harness
import msgspec
import redis
import workload
from contract import START_MS, Row, arguments, conversion, report

from agents.store import numbers_key

LOOK_EVERY_S = 0.25
ROOMS = [f"r{room:02d}" for room in range(workload.ROOMS)]


class Reader:
    """Looks at what is published, in a thread, until stopped."""

    def __init__(self, url: str) -> None:
        self.rows: dict[tuple[int, str, int], Row] = {}
        self._redis: Any = redis.Redis.from_url(url)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._redis.close()

    def _run(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self.look()

    def look(self) -> int:
        """Take down what stands there now; returns the oldest room's end, in seconds of the workload."""
        ends = []
        for room in ROOMS:
            held = self._redis.hgetall(numbers_key(room))
            if b"at_ms" not in held:
                ends.append(0)
                continue
            end_s = (int(held[b"at_ms"]) - START_MS) // 1000
            ends.append(end_s)
            for window_s, window in core.WINDOWS.items():
                values = [_value(held, f"n:{name}_{window}") for name in core.SEVEN]
                row = (window_s, room, end_s, *values, conversion(values[2], values[5]))
                self.rows[window_s, room, end_s] = row
        return min(ends)


def _value(held: dict[bytes, bytes], field: str) -> int:
    told = held.get(field.encode())
    return int(msgspec.json.decode(told)["value"] or 0) if told is not None else 0


def main() -> None:
    given = arguments()
    with harness.servers(lateness_ms=workload.LATENESS_MS) as servers:
        drain.fill(servers, given.events, 1)
        reader = Reader(servers.settings.redis)
        with harness.process("worker", servers) as worker:
            reader.start()
            run = drain.measured(servers, [worker], given.events)
            span_s = workload.span_s(given.events)
            # The last seconds close by ticks, after the lateness bound; only then all is published.
            harness.wait_until(lambda: reader.look() >= span_s, 20.0, "the last seconds to be published")
            reader.stop()
    report(
        given,
        "liveroom, this checkout",
        (run["wall_s"], run["cpu_s"]),
        reader.rows.values(),
        partial=True,
        peak_rss_mib=run["peak_rss_mib"],
        broker_cpu_s=run["servers_cpu_s"],
    )


if __name__ == "__main__":
    main()
