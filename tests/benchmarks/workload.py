"""The workload every engine is measured on: 16 rooms, 50,000 users, 2,000 events per second of event time.

The same seed gives the same bytes. Lines lie in the order of arrival; one event in fifty is up to 5 s late.
Run as a script it writes the events to a file: `python tests/benchmarks/workload.py [EVENTS] [FILE]`.
"""

import random
import sys
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

SEED = 20_260_101
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z; a whole multiple of 300 s, so windows of all engines align
EVENTS_PER_S = 2_000  # of event time
ROOMS = 16
USERS = 50_000
PRODUCTS = 200
LATE_SHARE = 0.02
LATE_MAX_MS = 5_000
LATENESS_MS = LATE_MAX_MS + 1  # with this bound not one event comes too late
MIX = {
    "viewer.join": 25,
    "viewer.leave": 20,
    "chat": 15,
    "like": 20,
    "product.click": 12,
    "cart.add": 6,
    "order.paid": 2,
}
CHATS = ("1", "多少钱", "有货吗", "主播好", "想要蓝色的", "how much?", "怎么还没开始", "已拍")
_TYPES = tuple(MIX)
_BOUNDS = [sum(list(MIX.values())[: place + 1]) for place in range(len(MIX))]


def lines(events: int, seed: int = SEED, start_ms: int = START_MS, rooms: int = ROOMS) -> Iterator[bytes]:
    """The first `events` events, one JSON object each, without line ends."""
    rnd = random.Random(seed).random
    for number in range(events):
        kind = _TYPES[bisect_right(_BOUNDS, rnd() * 100)]
        room, user = int(rnd() * rooms), int(rnd() * USERS)
        ts = start_ms + number * 1000 // EVENTS_PER_S
        if rnd() < LATE_SHARE:
            ts = max(start_ms, ts - 1 - int(rnd() * LATE_MAX_MS))
        yield (
            f'{{"id":"e{number:08d}","type":"{kind}","room":"r{room:02d}","user":"u{user:05d}","ts":{ts}'
            f"{_particulars(kind, number, rnd())}}}"
        ).encode()


def _particulars(kind: str, number: int, chance: float) -> str:
    """The fields that only events of this kind have, drawn by `chance` in [0, 1)."""
    match kind:
        case "chat":
            return f',"text":"{CHATS[int(chance * len(CHATS))]}"'
        case "product.click" | "cart.add":
            return f',"product":"p{int(chance * PRODUCTS):03d}"'
        case "order.paid":
            drawn = int(chance * PRODUCTS * 30_000)
            return f',"order":"o{number:08d}","product":"p{drawn // 30_000:03d}","amount":{500 + drawn % 30_000}'
        case _:
            return ""


def write(path: Path, events: int, seed: int = SEED) -> Path:
    """Write the first `events` events to `path` as NDJSON; returns `path`."""
    with path.open("wb") as file:
        for line in lines(events, seed):
            file.write(line + b"\n")
    return path


def span_s(events: int) -> int:
    """How many seconds of event time `events` events fill, the last one perhaps in part."""
    return -(-events // EVENTS_PER_S)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    target = Path(sys.argv[2] if len(sys.argv) > 2 else "workload.ndjson")
    print(f"{write(target, wanted)}: {wanted} events, {target.stat().st_size} bytes")
