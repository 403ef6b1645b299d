"""What the benchmarks share: servers and processes of ours on loopback, CPU time of a process tree, tables.

Import it before anything of the product: it makes the checkout's packages the ones that are measured. Everything
started here is stopped here, by its own process id.
"""

import asyncio
import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # first: a script called stream.py lies in the folder that Python would look in first

import msgspec  # noqa: E402  # the path must be right before the product's packages are found
import psutil  # noqa: E402
import redis  # noqa: E402
from aiokafka import AIOKafkaProducer  # noqa: E402

from agents import embedded  # noqa: E402
from agents.settings import Settings  # noqa: E402
from agents.store import positions_key, prompts_key  # noqa: E402
from agents.topics import create_topics  # noqa: E402

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0  # a worker saves all its rooms before it ends
# The background half reads a pipe whose other end only the benchmark holds: its end means that the benchmark was
# killed, and the process, whose pid is $$, goes with it.
LEASH = 'exec 3<&0 </dev/null; { read -r _ || kill -9 $$; } <&3 >/dev/null 2>&1 & exec 3<&-; exec "$@"'
BATCH_BYTES = 16_384  # the default of Kafka's own producer: about 140 of the workload's events
MIB = 1 << 20


# --- processes


class Usage(NamedTuple):
    """A moment: wall clock, and user + system CPU seconds."""

    wall_s: float
    cpu_s: float

    def since(self, before: "Usage") -> "Usage":
        return Usage(self.wall_s - before.wall_s, self.cpu_s - before.cpu_s)


def own_usage() -> Usage:
    """This process, now."""
    return Usage(time.perf_counter(), time.process_time())


def usage(*pids: int) -> Usage:
    """These processes and their children, now; what ended children used is in their parent's figure."""
    cpu_s = 0.0
    for pid in pids:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                cpu_s += times.user + times.system + times.children_user + times.children_system
    return Usage(time.perf_counter(), cpu_s)


def rss_mib(pid: int) -> float:
    """Memory of a process and its children that is in RAM now."""
    root = psutil.Process(pid)
    return sum(process.memory_info().rss for process in [root, *root.children(recursive=True)]) / MIB


def peak_rss_mib(pid: int | None = None) -> float | None:
    """The most memory the process (default: this one) ever had in RAM; None where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid or 'self'}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


@dataclass(frozen=True, slots=True)
class Servers:
    """The embedded broker and Redis, and settings that name them."""

    settings: Settings
    broker_pid: int
    redis_pid: int
    scratch: Path


@contextlib.contextmanager
def servers(**overrides: Any) -> Iterator[Servers]:
    """Both servers while the block runs; `overrides` are settings. Topics are made."""
    with (
        embedded.broker() as broker,
        embedded.redis() as store,
        tempfile.TemporaryDirectory(prefix="liveroom-benchmark-") as scratch,
    ):
        fixed: dict[str, Any] = {"gateway_port": 0, "metrics_port": 0, "partitions": 1}
        settings = Settings(kafka=broker.address, redis=store.address, **fixed | overrides)
        wanted = {settings.events_topic: settings.partitions, settings.prompts_topic: 1, settings.rejected_topic: 1}
        asyncio.run(create_topics(settings.kafka, wanted))
        yield Servers(settings, broker.pid, store.pid, Path(scratch))


class Process:
    """A worker or gateway in a process of its own; it may still be starting."""

    def __init__(self, child: "subprocess.Popen[bytes]", log: Path) -> None:
        self.pid = child.pid
        self._child = child
        self._log = log
        self._url = ""

    def url(self) -> str:
        """The address it serves, once it says that it is ready. Raises SystemExit when it does not get there."""
        assert self._child.stdout is not None
        if not self._url:
            told = select.select([self._child.stdout], [], [], READY_TIMEOUT_S)[0]
            words = self._child.stdout.readline().split() if told else []
            if not words:
                raise SystemExit(f"a process did not get ready; the end of its log:\n{self._log.read_text()[-2000:]}")
            self._url = words[-1].decode()
        return self._url


def wait_until(true: Callable[[], object], timeout_s: float, what: str) -> None:
    """Returns when `true()` is. Raises SystemExit after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.1)


def wait_ready(gateway: Process) -> str:
    """The address of a gateway that has found broker and Redis. Raises SystemExit when it does not."""
    url, deadline = gateway.url(), time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"{url}/readyz", timeout=5):
            return url
        time.sleep(0.1)
    raise SystemExit(f"the gateway at {url} did not find its servers within {READY_TIMEOUT_S:.0f} s")


@contextlib.contextmanager
def process(command: str, servers: Servers) -> Iterator[Process]:
    """`liveroom worker` or `liveroom gateway` in a process of its own while the block runs, and no longer than ours."""
    settings = servers.settings
    variables = {key: value for key, value in os.environ.items() if not key.startswith("LIVEROOM_")}
    variables |= {f"LIVEROOM_{name.upper()}": str(value) for name, value in msgspec.to_builtins(settings).items()}
    log = Path(tempfile.mkstemp(prefix=f"{command}-", suffix=".log", dir=servers.scratch)[1])
    with log.open("wb") as messages:
        child = subprocess.Popen(
            ["/bin/sh", "-c", LEASH, "sh", sys.executable, "-m", "agents", command],
            env=variables,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            start_new_session=True,  # a signal to our group is for us: what then happens to it, the leash says
            stdout=subprocess.PIPE,
            stderr=messages,
        )
    try:
        yield Process(child, log)
    finally:
        child.terminate()
        try:
            code = child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(b"\n")  # at ease
            child.stdin.close()
        child.stdout.close()
        if code:
            print(f"the {command} ended with {code}:\n{log.read_text()[-2000:]}", file=sys.stderr)


def samples(url: str) -> dict[str, float]:
    """What a process says at its /metrics."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] not in ("", "#")]
    return {name: float(value) for name, value in lines}


# --- records


class Record(NamedTuple):
    """One record to write; `arrived_ms` is its timestamp in the log."""

    key: bytes
    value: bytes
    arrived_ms: int


def room_of(line: bytes) -> bytes:
    """The room an event of the workload belongs to."""
    start = line.index(b'"room":"') + 8
    return line[start : line.index(b'"', start)]


def ts_of(line: bytes) -> int:
    """The event time of an event of the workload."""
    start = line.index(b'"ts":') + 5
    return int(line[start : start + 13])


def as_if_live(events: Iterable[bytes], end_ms: int, span_ms: int) -> Iterator[Record]:
    """Records of `events` with the arrival times of a show that took `span_ms` and ended at `end_ms`.

    Event times are left alone: a room's clock goes by the distance of arrivals.
    """
    first_ms = newest_ms = 0
    for line in events:
        newest_ms = max(newest_ms, ts_of(line))
        first_ms = first_ms or newest_ms
        yield Record(room_of(line), line, end_ms - span_ms + newest_ms - first_ms)


async def fill(kafka: str, topic: str, records: Iterable[Record], partition: int = 0) -> int:
    """Write one record an event to a partition, in order, in batches of BATCH_BYTES; returns how many."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=False)
    producer._max_batch_size = BATCH_BYTES
    await producer.start()
    try:
        await producer.partitions_for(topic)
        sent, written, batch = [], 0, producer.create_batch()
        for key, value, arrived_ms in records:
            if batch.append(timestamp=arrived_ms, key=key, value=value) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=arrived_ms, key=key, value=value)
            written += 1
        if batch.record_count():
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
        return written
    finally:
        await producer.stop()


# --- first and last event of a log


def marker(name: str, ts: int, arrived_ms: int) -> Record:
    """An event that is answered the moment it is applied: a prompt sent by hand, in a room of its own."""
    event = {"type": "prompt.send", "room": name, "ts": ts, "title": name, "ttl_s": 3600}
    return Record(name.encode(), msgspec.json.encode(event), arrived_ms)


class Markers:
    """Sees markers come out of a worker, without asking the worker anything."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Any = redis.Redis.from_url(settings.redis, socket_timeout=None)

    def wait(self, names: Sequence[str], timeout_s: float) -> str | None:
        """The first of `names` whose prompt is in Redis, as soon as it is there; None after `timeout_s`."""
        found = self._redis.xread({prompts_key(name): "0" for name in names}, count=1, block=int(timeout_s * 1000))
        return found[0][0].decode().removeprefix(prompts_key("")) if found else None

    def wait_all(self, names: Sequence[str], timeout_s: float) -> None:
        """Returns when all `names` are there. Raises SystemExit after `timeout_s`."""
        left, deadline = list(names), time.monotonic() + timeout_s
        while left:
            name = self.wait(left, max(0.001, deadline - time.monotonic()))
            if name is None:
                raise SystemExit(f"the worker did not get to {', '.join(left)} within {timeout_s:.0f} s")
            left.remove(name)

    def close(self) -> None:
        self._redis.close()


def position(settings: Settings, partition: int) -> int:
    """The next offset that a worker has saved for a partition; 0 before it has."""
    with redis.Redis.from_url(settings.redis) as client:
        held: Any = client.hget(positions_key(settings.events_topic), str(partition))
    return int(held or 0)


# --- figures


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lie, the nearest that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in columns, numbers to the right."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *texts, strict=True)]
    print("  ".join(title.ljust(width) for title, width in zip(head, widths, strict=True)).rstrip())
    for row, text in zip(rows, texts, strict=True):
        cells = [
            word.ljust(width) if isinstance(cell, str) else word.rjust(width)
            for cell, word, width in zip(row, text, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def figures(what: str, **values: object) -> None:
    """Print the closing line: key=value, machine readable; what was not measured is left out."""
    told = " ".join(f"{key}={_plain(value)}" for key, value in values.items() if value is not None)
    print(f"what={what} {told}", flush=True)


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.2f}" if abs(cell) >= 0.1 else f"{cell:.2g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
