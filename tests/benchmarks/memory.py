"""How much memory a worker needs: empty, with 100 ordinary rooms, and with one room of a million distinct users.

    python tests/benchmarks/memory.py [--users 1000000]

Each case is a worker of its own with snapshots on. Its memory in RAM is read once the last event is applied and
published, and saved if that comes soon; the peak is the highest the system saw (a snapshot is built in memory before it
is written).
An ordinary room: 1,000 users and 50 products, each user joins, chats, looks, some buy, over 20 minutes. The large room:
every user joins once, spread over one hour, and leaves five minutes later.
"""

import argparse
import asyncio
import heapq
import random
import time
from collections.abc import Iterator

import harness
import msgspec
import workload
from harness import Markers, Record, figures, marker, table

ROOMS, USERS, PRODUCTS = 100, 1_000, 50
ORDINARY_S = 1_200
ACTS = 6  # events a user, with the join
LARGE_S = 3_600
STAY_S = 300
SETTLE_S = 15.0  # a huge room is saved less often than that, and its last state not before the worker ends
PUBLISHED_S = 1.5  # one more publishing of numbers
APPLY_TIMEOUT_S = 300.0  # half a minute where nothing else runs
LEAD_MS = 2_000

Dated = Iterator[tuple[int, dict[str, object]]]
"""Events with their time in ms after the beginning, in order of time."""


def ordinary(room: int) -> Dated:
    """The events of an ordinary room."""
    draw = random.Random(room)
    name, at = f"ordinary-{room:03d}", []
    for user in range(USERS):
        at += [(draw.randrange(ORDINARY_S * 1000), user) for _ in range(ACTS)]
    here: set[int] = set()
    for number, (ms, user) in enumerate(sorted(at)):
        event: dict[str, object] = {"room": name, "id": f"o{number}", "user": f"viewer-{room:03d}-{user:04d}"}
        kind = draw.random()
        product = {"product": f"product-{draw.randrange(PRODUCTS):02d}"}
        if user not in here:
            here.add(user)
            event |= {"type": "viewer.join"}
        elif kind < 0.4:
            event |= {"type": "chat", "text": draw.choice(workload.CHATS)}
        elif kind < 0.75:
            event |= {"type": "product.click"} | product
        elif kind < 0.9:
            event |= {"type": "cart.add"} | product
        else:
            event |= {"type": "order.paid", "order": f"order-{number}", "amount": 9_900} | product
        yield ms, event


def large(users: int) -> Dated:
    """Users that come one after the other and stay for STAY_S."""

    def one(kind: str, after_s: int, prefix: str) -> Dated:
        for user in range(users):
            event: dict[str, object] = {"room": "large", "type": kind, "id": f"{prefix}{user}", "user": f"u{user:018d}"}
            yield user * LARGE_S * 1000 // users + after_s * 1000, event

    by_time = heapq.merge(one("viewer.join", 0, "j"), one("viewer.leave", STAY_S, "l"), key=lambda dated: dated[0])
    return (dated for dated in by_time if dated[0] < LARGE_S * 1000)


def records(dated: Dated, span_s: int, now_ms: int) -> Iterator[Record]:
    """Records of a show that ended at `now_ms`."""
    start_ms = now_ms - span_s * 1000
    for ms, event in dated:
        ts = start_ms + ms
        yield Record(str(event["room"]).encode(), msgspec.json.encode(event | {"ts": ts}), ts)


def measure(dated: Dated, span_s: int) -> dict[str, float | None]:
    """Memory of a worker that has applied, saved and published these events."""
    with harness.servers() as servers:
        settings = servers.settings
        now_ms = int(time.time() * 1000) - LEAD_MS
        log = [*records(dated, span_s, now_ms), marker("last", now_ms, now_ms)]
        asyncio.run(harness.fill(settings.kafka, settings.events_topic, log))
        events = len(log)
        del log
        with harness.process("worker", servers) as worker:
            markers = Markers(settings)
            markers.wait_all(["last"], APPLY_TIMEOUT_S)
            markers.close()
            deadline = time.monotonic() + SETTLE_S
            while not (saved := harness.position(settings, 0) >= events) and time.monotonic() < deadline:
                time.sleep(0.2)
            time.sleep(PUBLISHED_S)
            return {
                "events": events - 1,
                "saved": saved,
                "rss_mib": harness.rss_mib(worker.pid),
                "peak_mib": harness.peak_rss_mib(worker.pid),
            }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--users", type=int, default=1_000_000)
    chosen = options.parse_args()
    every_room = heapq.merge(*(ordinary(room) for room in range(ROOMS)), key=lambda dated: dated[0])
    cases = {
        "empty worker": measure(iter(()), 1),
        f"{ROOMS} rooms of {USERS:,} users, {PRODUCTS} products": measure(every_room, ORDINARY_S),
        f"one room of {chosen.users:,} users in an hour": measure(large(chosen.users), LARGE_S),
    }
    empty, ordinary_rooms, large_room = cases.values()
    rows = [
        (
            name,
            case["events"],
            case["rss_mib"],
            _less(case["rss_mib"], empty["rss_mib"]),
            case["peak_mib"],
            "yes" if case["saved"] else "no",
        )
        for name, case in cases.items()
    ]
    table(("worker with", "events", "RSS MiB", "above empty", "peak MiB", "last state saved"), rows)
    figures(
        "memory",
        empty_rss_mib=empty["rss_mib"],
        ordinary_above_empty_mib=_less(ordinary_rooms["rss_mib"], empty["rss_mib"]),
        ordinary_peak_mib=ordinary_rooms["peak_mib"],
        large_above_empty_mib=_less(large_room["rss_mib"], empty["rss_mib"]),
        large_peak_mib=large_room["peak_mib"],
        peak_rss_mib=max(case["peak_mib"] or 0.0 for case in cases.values()),
    )


def _less(a: float | None, b: float | None) -> float:
    return (a or 0.0) - (b or 0.0)


if __name__ == "__main__":
    main()
