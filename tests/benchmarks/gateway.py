"""How many events a second a gateway takes through HTTP: parsed, validated, written to the broker, acknowledged.

    python tests/benchmarks/gateway.py [--events 300000] [--senders 4]

Bodies are NDJSON of 500 events of one room, as a connector would send them. The CPU is that of the gateway's process
from the first request to the last answer; senders, broker and Redis are other processes.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator

import aiohttp
import harness
import workload
from harness import figures, percentile, table, usage

BATCH = 500
HEADERS = {"Content-Type": "application/x-ndjson"}


def bodies(events: int) -> Iterator[tuple[str, bytes, int]]:
    """(room, body, events) in the order in which each room fills one."""
    gathered: dict[bytes, list[bytes]] = {}
    for line in workload.lines(events):
        room = harness.room_of(line)
        held = gathered.setdefault(room, [])
        held.append(line)
        if len(held) == BATCH:
            yield room.decode(), b"\n".join(gathered.pop(room)), BATCH
    for room, held in gathered.items():
        yield room.decode(), b"\n".join(held), len(held)


async def send_all(url: str, posts: list[tuple[str, bytes, int]], senders: int) -> list[float]:
    """Post every body, `senders` at a time; returns how long each took, in ms."""
    left = iter(posts)
    took_ms: list[float] = []

    async def sender(session: aiohttp.ClientSession) -> None:
        for room, body, events in left:
            began = time.perf_counter()
            async with session.post(f"{url}/v1/rooms/{room}/events", data=body, headers=HEADERS) as answer:
                said = await answer.json()
            assert answer.status == 200, said
            assert said == {"accepted": events, "rejected": []}, said
            took_ms.append(1000 * (time.perf_counter() - began))

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(sender(session) for _ in range(senders)))
    return took_ms


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=300_000)
    options.add_argument("--senders", type=int, default=4)
    chosen = options.parse_args()
    posts = list(bodies(chosen.events))
    with harness.servers(partitions=4) as servers, harness.process("gateway", servers) as gateway:
        url = harness.wait_ready(gateway)
        asyncio.run(send_all(url, list(itertools.islice(posts, 2 * chosen.senders)), chosen.senders))  # connected, warm
        before = usage(gateway.pid)
        took_ms = asyncio.run(send_all(url, posts, chosen.senders))
        spent = usage(gateway.pid).since(before)
        peak = harness.peak_rss_mib(gateway.pid)
    told = {
        "events": chosen.events,
        "wall_s": spent.wall_s,
        "cpu_s": spent.cpu_s,
        "events_per_s": chosen.events / spent.wall_s,
        "events_per_cpu_s": chosen.events / spent.cpu_s,
        "p50_ms": percentile(took_ms, 0.5),
        "p99_ms": percentile(took_ms, 0.99),
        "peak_rss_mib": peak,
    }
    head = ("events", "wall s", "CPU s", "events/s", "events per CPU s", "request p50 ms", "p99 ms", "peak MiB")
    table(head, [list(told.values())])
    figures("gateway", **told)


if __name__ == "__main__":
    main()
