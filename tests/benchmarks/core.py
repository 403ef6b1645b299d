"""The core alone, in this process: NDJSON lines in, numbers out. No broker, no Redis, no saving.

    python tests/benchmarks/core.py [--events 1000000] [--repeat 1]

`seven`: what the peers compute, seven numbers a room each second over the last 60 s and 300 s, no plays.
`room`: every number of the room each second, all plays on. `all`: those of every product in its windows as well, which
no part of the product asks for more than once a second of real time.
"""

import argparse
import gc
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import workload
from harness import Usage, figures, own_usage, peak_rss_mib, table

from agents.settings import Settings, load_playbook
from stream.columns import Raws, read
from stream.compiling import compiled
from stream.errors import RejectedEvent
from stream.loops import Ints
from stream.numbers import KEYS
from stream.playbook import Playbook
from stream.rehearsal import rehearse
from stream.room import RoomConfig, RoomState
from stream.scanning import ROOM, TS, Bytes
from stream.view import RoomView

WINDOWS = {60: "1m", 300: "5m"}
SEVEN = ("joins", "chats", "carts", "orders_paid", "gmv_paid", "viewers")  # and carts / viewers
SECOND_MS = 1_000
LINE_END = ord("\n")
BLOCK_BYTES = 1 << 22  # read together: of the workload some 24 s, so that a room has many seconds in a row
SHARE = {"seven": 1.0, "room": 0.5, "all": 0.15}  # of the events, so that each takes some seconds

Look = Callable[[RoomView], None]
"""What is read of a room at the end of every second."""


@compiled
def find_lines(data: Bytes, spans: Ints) -> int:
    """Put where the lines of `data` are, [start, end), into the first rows of `spans`; returns how many.

    Eight bytes are looked at together: of a difference with eight line ends a byte is 0 where one is.
    """
    words, n, start = data[: len(data) // 8 * 8].view(np.uint64), 0, 0
    for first in range(0, len(data), 8):
        if first // 8 < len(words):
            differs = words[first // 8] ^ np.uint64(0x0A0A0A0A0A0A0A0A)
            if not (differs - np.uint64(0x0101010101010101)) & ~differs & np.uint64(0x8080808080808080):
                continue
        for at in range(first, min(first + 8, len(data))):
            if data[at] == LINE_END:
                spans[n, 0], spans[n, 1] = start, at
                start, n = at + 1, n + 1
    return n


def blocks(path: Path, events: int) -> Iterator[Raws]:
    """The first `events` lines of a file, as they lie in blocks of it."""
    places = np.empty((BLOCK_BYTES, 2), np.int64)  # memory never used costs nothing
    with path.open("rb") as file:
        while events and (block := file.read(BLOCK_BYTES)):
            some = min(find_lines(np.frombuffer(block, np.uint8), places), events)
            spans = places[:some].copy()
            yield Raws(block, spans, np.full_like(spans, -1))
            events -= some
            file.seek(int(spans[-1, 1]) + 1 - len(block), os.SEEK_CUR)  # what is left of the last line


def run(batches: Iterable[Raws], playbook: Playbook, look: Look) -> int:
    """Apply events in their order, a batch at a time; `look` at every closed second of every room.

    A room is told an arrival for each event, the newest event time of the whole input so far; plays speak to nobody.
    Returns the number of events.
    """
    rooms: dict[int, RoomState] = {}
    config = RoomConfig(lateness_ms=workload.LATENESS_MS)
    events = newest_ms = 0
    for batch in batches:
        events += len(batch.values)
        columns = read(batch, _never)
        arrived = np.maximum.accumulate(np.maximum(columns.rows[:, TS], newest_ms))
        newest_ms = int(arrived[-1])
        for places, some in columns.rooms():
            room = some.rows[0, ROOM]
            state = rooms.get(room)
            if state is None:
                state = rooms[room] = RoomState(some.event(0).room, playbook, config, look)
            assert not state.apply_all(some, arrived[places])
            state.drain()
    end_ms = (newest_ms // SECOND_MS + 1) * SECOND_MS
    for state in rooms.values():
        now_ms = newest_ms
        while state.at_ms < end_ms:
            now_ms += SECOND_MS
            state.advance(now_ms)
    return events


def _never(place: int, fault: RejectedEvent) -> None:
    raise SystemExit(f"event {place}: {fault}")


Row = tuple[int, str, int, int, int, int, int, int, int, float | None]
"""window_s, room, end of the window in seconds of the workload, the six numbers, carts / viewers."""


def seven(rows: list[Row]) -> Look:
    """Reads the numbers that the peers compute into `rows`; what is not known yet counts 0, as with them."""
    wanted = tuple(f"{name}_{window}" for window in WINDOWS.values() for name in SEVEN)

    def look(view: RoomView) -> None:
        values = [int(value) if value == value else 0 for value in view.seen(wanted).tolist()]
        end_s = (view.at_ms - workload.START_MS) // SECOND_MS
        for n, window_s in enumerate(WINDOWS):
            joins, chats, carts, orders, gmv, viewers = values[n * len(SEVEN) : (n + 1) * len(SEVEN)]
            conversion = carts / viewers if viewers else None
            rows.append((window_s, view.room, end_s, joins, chats, carts, orders, gmv, viewers, conversion))

    return look


def every_number(view: RoomView) -> None:
    """Every number of the room, as columns."""
    view.table()
    view.soundings()


def seven_of_all(rows: list[Row]) -> Look:
    """As `seven`, beside every number of the room."""
    look_at_seven = seven(rows)

    def look(view: RoomView) -> None:
        every_number(view)
        look_at_seven(view)

    return look


def whole_line(view: RoomView) -> None:
    """Every number of the room and of each product in its windows."""
    view.line()


def no_plays() -> Playbook:
    """A playbook of nothing, for a comparison with engines that have no plays."""
    return Playbook.load("[screen]\n", room=KEYS, product=frozenset())


def settle() -> None:
    """What was loaded and compiled is in use for good: as in a worker, nobody looks for cycles in it any more."""
    find_lines(np.frombuffer(b"\n", np.uint8), np.empty((1, 2), np.int64))  # the one loop that `rehearse` does not know
    gc.collect()
    gc.freeze()


def measure(path: Path, events: int, mode: str) -> Usage:
    """One run over the first `events` lines of `path`."""
    rows: list[Row] = []
    look = {"seven": seven(rows), "room": every_number, "all": whole_line}[mode]
    playbook = no_plays() if mode == "seven" else load_playbook(Settings())
    settle()
    before = own_usage()
    applied = run(blocks(path, events), playbook, look)
    spent = own_usage().since(before)
    assert applied == events, "the file is too short"
    return spent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--repeat", type=int, default=1)
    chosen = options.parse_args()
    rehearse()  # starting up is not measured
    with tempfile.TemporaryDirectory(prefix="liveroom-benchmark-") as scratch:
        path = workload.write(Path(scratch) / "workload.ndjson", chosen.events)
        sizes = {mode: int(chosen.events * share) for mode, share in SHARE.items()}
        spent: dict[str, list[Usage]] = {mode: [] for mode in SHARE}
        for _ in range(chosen.repeat):
            for mode, events in sizes.items():
                spent[mode].append(measure(path, events, mode))
    rows, told = [], {}
    for mode, events in sizes.items():
        wall_s, cpu_s = median(use.wall_s for use in spent[mode]), median(use.cpu_s for use in spent[mode])
        rows.append((mode, events, wall_s, cpu_s, events / wall_s, events / cpu_s))
        told[f"{mode}_events_per_cpu_s"] = events / cpu_s
    table(("numbers", "events", "wall s", "CPU s", "events/s", "events per CPU s"), rows)
    _, events, wall_s, cpu_s, per_s, per_cpu_s = rows[0]
    figures(
        "core",
        events=events,
        wall_s=wall_s,
        cpu_s=cpu_s,
        events_per_s=per_s,
        events_per_cpu_s=per_cpu_s,
        peak_rss_mib=peak_rss_mib(),
        **told,
    )


if __name__ == "__main__":
    main()
