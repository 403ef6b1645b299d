"""What every engine of the side-by-side is given and gives back.

An engine is a script: it reads `--events` events, all there are, from a file or from a topic (one partition, one event
a record), computes for each room at the end of each second of event time, over the last 60 s and 300 s, joins, chats,
carts, orders, GMV, distinct users and carts / users, writes the rows to `--out` and prints one line of JSON. An event
may be up to 5,000 ms late. The clock runs from the first event read to the last row; starting up is not counted.
"""

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

START_MS = 1_767_225_600_000  # of the workload
START_S = START_MS // 1000
LATENESS_MS = 5_001
WINDOWS_S = (60, 300)
COUNTED = {"viewer.join": 0, "chat": 1, "cart.add": 2, "order.paid": 3}  # place of an event type in the sums
HEAD = ("window_s", "room", "end_s", "joins", "chats", "carts", "orders", "gmv", "users", "conversion")
CHUNK_BYTES = 1 << 17
FETCH_RECORDS = 1_000
IDLE_TIMEOUT_S = 60.0

Row = tuple[int, str, int, int, int, int, int, int, int, float | None]
"""In the order of HEAD; `end_s` in seconds since START_MS, exclusive."""


def arguments(*variants: str) -> argparse.Namespace:
    """What the runner says; the first of `variants`, if any, is the default."""
    options = argparse.ArgumentParser()
    options.add_argument("--input", choices=("file", "topic"), default="file")
    options.add_argument("--file", type=Path)
    options.add_argument("--bootstrap")
    options.add_argument("--topic")
    options.add_argument("--events", type=int, required=True)
    options.add_argument("--out", type=Path, required=True)
    if variants:
        options.add_argument("--variant", choices=variants, default=variants[0])
    return options.parse_args()


def chunks(given: argparse.Namespace) -> Iterator[list[bytes]]:
    """The first `--events` events, undecoded, in lists; from a topic by librdkafka, the quickest client there is."""
    left: int = given.events
    source = _file_chunks(given.file) if given.input == "file" else _topic_chunks(given.bootstrap, given.topic)
    for chunk in source:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return
    raise SystemExit(f"the input has {left} events too few")


def _file_chunks(path: Path) -> Iterator[list[bytes]]:
    with path.open("rb") as file:
        while lines := file.readlines(CHUNK_BYTES):
            yield lines


def _topic_chunks(bootstrap: str, topic: str) -> Iterator[list[bytes]]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "loop", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    quiet_since = time.monotonic()
    try:
        while time.monotonic() - quiet_since < IDLE_TIMEOUT_S:
            messages = consumer.consume(FETCH_RECORDS, 1.0)
            if messages:
                quiet_since = time.monotonic()
                yield [message.value() for message in messages]
    finally:
        consumer.close()


class Meter:
    """Wall and CPU seconds of this process from the first event on."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None

    def start(self) -> None:
        """The first event is about to be worked on; later calls say nothing."""
        if self.began is None:
            self.began = time.perf_counter(), time.process_time()

    def spent(self) -> tuple[float, float]:
        """Wall and CPU seconds until now."""
        assert self.began is not None, "no event came"
        return time.perf_counter() - self.began[0], time.process_time() - self.began[1]


def report(
    given: argparse.Namespace, version: str, spent: tuple[float, float], rows: Iterable[Row], **more: Any
) -> None:
    """Write the rows and print the line of JSON; nothing here is measured."""
    with given.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEAD)
        writer.writerows(rows)
    wall_s, cpu_s = spent
    plain = {"version": version, "events": given.events, "wall_s": wall_s, "cpu_s": cpu_s, "peak_rss_mib": _peak()}
    print(json.dumps(plain | more), file=sys.__stdout__, flush=True)  # some frameworks take sys.stdout away


def conversion(carts: int, users: int) -> float | None:
    """Carts a distinct user; None without users."""
    return carts / users if users else None


def _peak() -> float:
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
