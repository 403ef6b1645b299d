"""Flink SQL: HOP windows with COUNT(DISTINCT), as its documentation shows; PyFlink only starts it, all work is Java's.

Parallelism 1, one process. The clock runs from the job's submission to its end, so it holds some seconds in which the
job is compiled and deployed; the CPU is that of the Java process. From a topic it needs the Kafka connector: a jar
named in FLINK_KAFKA_JAR.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from contract import LATENESS_MS, START_S, WINDOWS_S, Row, arguments, conversion, report
from pyflink.table import EnvironmentSettings, TableEnvironment

SOURCE = """
CREATE TABLE events (`type` STRING, room STRING, `user` STRING, ts BIGINT, amount BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '{seconds}' SECOND) WITH ({options})
"""
SINK = """
CREATE TABLE last{window_s} (room STRING, window_end TIMESTAMP_LTZ(3), joins BIGINT, chats BIGINT, carts BIGINT,
  orders BIGINT, gmv BIGINT, users BIGINT, conversion DOUBLE) WITH ({options})
"""
QUERY = """
INSERT INTO last{window_s}
SELECT room, window_time, joins, chats, carts, orders, gmv, users, CAST(carts AS DOUBLE) / users FROM (
  SELECT room, window_time,
    COUNT(*) FILTER (WHERE `type` = 'viewer.join') AS joins, COUNT(*) FILTER (WHERE `type` = 'chat') AS chats,
    COUNT(*) FILTER (WHERE `type` = 'cart.add') AS carts, COUNT(*) FILTER (WHERE `type` = 'order.paid') AS orders,
    COALESCE(SUM(amount) FILTER (WHERE `type` = 'order.paid'), 0) AS gmv, COUNT(DISTINCT `user`) AS users
  FROM TABLE(HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' SECOND, INTERVAL '{size}' {unit}))
  GROUP BY room, window_start, window_end, window_time)
"""
SIZES = {60: (60, "SECOND"), 300: (5, "MINUTE")}


def options(**named: object) -> str:
    """The WITH clause of a table; `a__b` is the option a.b, and `_` stands for a hyphen."""
    words = {key.replace("__", ".").replace("_", "-"): value for key, value in named.items()}
    return ", ".join(f"'{key}' = '{value}'" for key, value in words.items())


def source(given: Any) -> str:
    """The options of the input table."""
    if given.input == "file":
        return options(connector="filesystem", path=f"file://{given.file.resolve()}", format="json")
    return options(
        connector="kafka",
        topic=given.topic,
        properties__bootstrap__servers=given.bootstrap,
        scan__startup__mode="earliest-offset",
        scan__bounded__mode="specific-offsets",
        scan__bounded__specific_offsets=f"partition:0,offset:{given.events}",
        format="json",
    )


def java_cpu_s() -> float:
    """CPU of the Java processes below this one."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(time.user + time.system for time in times)


def java_rss_mib() -> float:
    return sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)) / (1 << 20)


def rows(window_s: int, folder: Path) -> Iterator[Row]:
    """What the job wrote; `window_time` is the last millisecond of a window."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        for line in path.read_text().splitlines():
            event = json.loads(line)
            end = event["window_end"].rstrip("Z").replace("T", " ")
            seconds = time.mktime(time.strptime(end.partition(".")[0], "%Y-%m-%d %H:%M:%S")) - time.timezone + 1
            sums = [event[name] for name in ("joins", "chats", "carts", "orders", "gmv", "users")]
            yield (window_s, event["room"], int(seconds) - START_S, *sums, conversion(sums[2], sums[5]))


def main() -> None:
    given = arguments()
    scratch = Path(tempfile.mkdtemp(prefix="flink-"))
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    config = environment.get_config()
    config.set("parallelism.default", "1")
    config.set("table.local-time-zone", "UTC")
    if given.input == "topic":
        config.set("pipeline.jars", f"file://{os.environ['FLINK_KAFKA_JAR']}")
    environment.execute_sql(SOURCE.format(seconds=f"{LATENESS_MS / 1000:.3f}", options=source(given)))
    statements = environment.create_statement_set()
    for window_s in WINDOWS_S:
        size, unit = SIZES[window_s]
        folder = options(connector="filesystem", path=f"file://{scratch}/last{window_s}", format="json")
        environment.execute_sql(SINK.format(window_s=window_s, options=folder))
        statements.add_insert_sql(QUERY.format(window_s=window_s, size=size, unit=unit))
    before = time.perf_counter(), java_cpu_s()
    statements.execute().wait()
    spent = time.perf_counter() - before[0], java_cpu_s() - before[1]
    told = [row for window_s in WINDOWS_S for row in rows(window_s, scratch / f"last{window_s}")]
    memory = java_rss_mib()
    shutil.rmtree(scratch, ignore_errors=True)
    report(given, f"Flink {version('apache-flink')}", spent, told, peak_rss_mib=memory)


if __name__ == "__main__":
    main()
