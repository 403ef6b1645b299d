"""Many quiet rooms on one worker: does it keep up, and what share of a core does it take?

    python tests/benchmarks/rooms.py [--rooms 2000] [--seconds 40]

Every room gets one event a second, as it happens. After a warm-up in which all rooms come to be, the CPU of the worker
is taken over the rest; meanwhile a prompt is sent by hand every second, and how long it takes to come out tells whether
the worker keeps up: a delay that grows, or an event missing at the end, says no.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator

import harness
import workload
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from harness import Markers, Usage, figures, marker, percentile, table, usage

PARTITIONS = 4
WARM_S = 15.0  # every room made, numbers published and saved at least once
SEND_EVERY_S = 0.05
PROBE_EVERY_S = 1.0
ANSWER_TIMEOUT_S = 30.0
CAUGHT_UP_S = 3.0  # after the last event was sent; a worker that keeps up is through long before
FALLEN_BEHIND = 2.0  # the last probes take so many times as long as the first


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def events(rooms: int) -> Iterator[bytes]:
    """Lines of the workload for ever, spread over `rooms` rooms in turn; times are left as they are."""
    lines = list(workload.lines(20 * rooms))
    names = itertools.cycle([b"quiet-%05d" % room for room in range(rooms)])
    return (
        line[: line.index(b'"room":"') + 8] + next(names) + line[line.index(b'","user"') :]
        for line in itertools.cycle(lines)
    )


def dated(line: bytes, ts: int, number: int) -> bytes:
    """The event at time `ts`, with an id of its own."""
    start = line.index(b'"ts":') + 5
    return b'{"id":"q%d' % number + line[line.index(b'","type"') : start] + b"%d" % ts + line[start + 13 :]


class Sender:
    """Writes to the broker as a gateway does: small batches, by the hash of the room."""

    def __init__(self, kafka: str, topic: str) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=False)
        self._topic = topic
        self._partition_of = DefaultPartitioner()
        self._partitions = list(range(PARTITIONS))
        self.sent = 0

    async def send(self, records: list[harness.Record]) -> None:
        batches = [self._producer.create_batch() for _ in self._partitions]
        for key, value, at_ms in records:
            partition = self._partition_of(key, self._partitions, self._partitions)
            assert batches[partition].append(timestamp=at_ms, key=key, value=value) is not None
        acknowledged = [
            await self._producer.send_batch(batch, self._topic, partition=partition)
            for partition, batch in enumerate(batches)
            if batch.record_count()
        ]
        await asyncio.gather(*acknowledged)
        self.sent += len(records)

    async def run(self, rooms: int, seconds: float, probes: dict[str, float]) -> None:
        """One event a room and second for `seconds`; when each probe was sent goes to `probes`."""
        await self._producer.start()
        try:
            lines, loop = events(rooms), asyncio.get_running_loop()
            began, step, next_probe_s = loop.time(), round(rooms * SEND_EVERY_S), 0.0
            for turn in range(round(seconds / SEND_EVERY_S)):
                await asyncio.sleep(max(0.0, began + turn * SEND_EVERY_S - loop.time()))
                at_ms = now_ms()
                batch = [next(lines) for _ in range(step)]
                records = [
                    harness.Record(harness.room_of(line), dated(line, at_ms, turn * step + place), at_ms)
                    for place, line in enumerate(batch)
                ]
                if loop.time() - began >= next_probe_s:
                    name = f"probe-{len(probes)}"
                    probes[name] = time.perf_counter()
                    records.append(marker(name, at_ms, at_ms))
                    next_probe_s += PROBE_EVERY_S
                await self.send(records)
        finally:
            await self._producer.stop()


def measure(servers: harness.Servers, pid: int, rooms: int, seconds: float) -> tuple[Usage, list[float], int]:
    """Usage of the worker after the warm-up, the probes' delays in ms in their order, events sent."""
    probes: dict[str, float] = {}
    delays: list[float] = []

    async def both() -> tuple[Usage, int]:
        sender = Sender(servers.settings.kafka, servers.settings.events_topic)
        sending = asyncio.create_task(sender.run(rooms, seconds, probes))
        hearing = asyncio.create_task(asyncio.to_thread(hear, servers, probes, delays, sending))
        await asyncio.sleep(WARM_S)
        before = usage(pid)
        await sending
        spent = usage(pid).since(before)
        await hearing
        return spent, sender.sent

    spent, sent = asyncio.run(both())
    return spent, delays, sent


def hear(
    servers: harness.Servers, probes: dict[str, float], delays: list[float], sending: "asyncio.Task[None]"
) -> None:
    """Wait for each probe in turn; ends when the last one sent has come out."""
    markers = Markers(servers.settings)
    try:
        for number in itertools.count():
            name = f"probe-{number}"
            while name not in probes:
                if sending.done():
                    return
                time.sleep(0.002)
            markers.wait_all([name], ANSWER_TIMEOUT_S)
            delays.append(1000 * (time.perf_counter() - probes[name]))
    finally:
        markers.close()


def applied_of(url: str, sent: int) -> int:
    """Events applied, once they are all that were sent, or CAUGHT_UP_S after the last was."""
    deadline = time.monotonic() + CAUGHT_UP_S
    while True:
        applied = int(harness.samples(url)["liveroom_events_total"])
        if applied >= sent or time.monotonic() > deadline:
            return applied
        time.sleep(0.25)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rooms", type=int, default=2_000)
    options.add_argument("--seconds", type=float, default=40.0)
    chosen = options.parse_args()
    with harness.servers(partitions=PARTITIONS) as servers, harness.process("worker", servers) as worker:
        url = worker.url()
        spent, delays, sent = measure(servers, worker.pid, chosen.rooms, chosen.seconds)
        applied = applied_of(url, sent)
        peak = harness.peak_rss_mib(worker.pid)
    warm = delays[int(WARM_S) :]
    early, late = percentile(warm[: len(warm) // 2], 0.5), percentile(warm[len(warm) // 2 :], 0.5)
    keeps_up = applied == sent and late < FALLEN_BEHIND * max(early, 1000.0)
    told = {
        "sent": sent,
        "wall_s": spent.wall_s,
        "cpu_s": spent.cpu_s,
        "share_of_a_core": spent.cpu_s / spent.wall_s,
        "p50_ms": percentile(warm, 0.5),
        "p99_ms": percentile(warm, 0.99),
        "peak_rss_mib": peak,
    }
    head = ("rooms", "events sent", "wall s", "CPU s", "of a core", "delay p50 ms", "p99 ms", "peak MiB", "keeps up")
    table(head, [[chosen.rooms, *told.values(), "yes" if keeps_up else f"no ({applied} applied)"]])
    figures("rooms", rooms=chosen.rooms, keeps_up=int(keeps_up), **told)


if __name__ == "__main__":
    main()
