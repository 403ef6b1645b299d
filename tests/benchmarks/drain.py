"""A full log, and workers that drain it: what stream.py and scaling.py measure.

The log looks as a live show would have left it: arrival times go as event times do. Each partition's first and last
record are prompts sent by hand, which come out of a worker the moment they are applied: clock and CPU run between them.
"""

import asyncio
import time

import harness
import workload
from harness import Markers, Process, Servers, Usage, marker, usage

TIMEOUT_S = 100.0
LEAD_MS = 2_000  # the log ends so long before now: no tick of the worker may fall inside it


def parts(events: int, workers: int) -> list[list[bytes]]:
    """The workload's events by partition; all of a room in one."""
    split: list[list[bytes]] = [[] for _ in range(workers)]
    for line in workload.lines(events):
        split[int(harness.room_of(line)[1:]) % workers].append(line)
    return split


def fill(servers: Servers, events: int, workers: int) -> None:
    """Put the workload into the events topic, a marker before and after each partition's share."""
    now_ms, span_ms = int(time.time() * 1000) - LEAD_MS, workload.span_s(events) * 1000
    topic, kafka = servers.settings.events_topic, servers.settings.kafka
    for partition, lines in enumerate(parts(events, workers)):
        records = [
            marker(f"first-{partition}", workload.START_MS, now_ms - span_ms),
            *harness.as_if_live(lines, now_ms, span_ms),
            marker(f"last-{partition}", workload.START_MS + span_ms, now_ms),
        ]
        asyncio.run(harness.fill(kafka, topic, records, partition))


def drain(servers: Servers, workers: list[Process], partitions: int) -> tuple[Usage, Usage]:
    """Usage of the workers, and of broker and Redis, from the first marker of any partition to the last of all.

    The workers must only just have been started: a first marker that is long past would hide work.
    """
    pids, helpers = [worker.pid for worker in workers], [servers.broker_pid, servers.redis_pid]
    markers = Markers(servers.settings)
    try:
        if markers.wait([f"first-{partition}" for partition in range(partitions)], TIMEOUT_S) is None:
            raise SystemExit(f"no worker began within {TIMEOUT_S:.0f} s")
        before, helped_before = usage(*pids), usage(*helpers)
        markers.wait_all([f"last-{partition}" for partition in range(partitions)], TIMEOUT_S)
        after, helped_after = usage(*pids), usage(*helpers)
    finally:
        markers.close()
    return after.since(before), helped_after.since(helped_before)


def measure(events: int, workers: int) -> dict[str, float]:
    """One run with servers of its own."""
    with harness.servers(partitions=workers, lateness_ms=workload.LATENESS_MS) as servers:
        fill(servers, events, workers)
        if workers == 1:
            with harness.process("worker", servers) as worker:
                return measured(servers, [worker], events)
        with harness.process("worker", servers) as first, harness.process("worker", servers) as second:
            return measured(servers, [first, second], events)


def measured(servers: Servers, workers: list[Process], events: int) -> dict[str, float]:
    """The figures of workers that were just started on a log of `events` events; checks that they did all the work."""
    spent, helped = drain(servers, workers, servers.settings.partitions)
    said = [harness.samples(worker.url()) for worker in workers]
    for name in ("liveroom_late_total", "liveroom_duplicates_total"):
        assert not any(samples.get(name) for samples in said), f"{name} is not 0: the work was another"
    applied = int(sum(samples["liveroom_events_total"] for samples in said))
    expected = events + 2 * servers.settings.partitions
    assert applied == expected, f"{applied} events were applied, not {expected}"
    return {
        "events": events,
        "wall_s": spent.wall_s,
        "cpu_s": spent.cpu_s,
        "events_per_s": events / spent.wall_s,
        "events_per_cpu_s": events / spent.cpu_s,
        "servers_cpu_s": helped.cpu_s,
        "saves": sum(samples["liveroom_snapshot_seconds_count"] for samples in said),
        "save_s": sum(samples["liveroom_snapshot_seconds_sum"] for samples in said),
        "peak_rss_mib": max(harness.peak_rss_mib(worker.pid) or 0.0 for worker in workers),
    }
