"""Recorded and simulated events into `live.events`, paced by their own event times.

Files are read as streams: memory does not grow with them. A line that is no event is named and left out; a well-formed
event the worker will refuse is sent as it is, since refusing is what the worker is for.
"""

import asyncio
import contextlib
import gzip
import heapq
import math
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO, cast

import msgspec
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # aiokafka ships no types

from agents.batches import Writer
from agents.settings import Settings
from stream import events as ev
from stream.errors import OperatorError

PROBLEMS_SHOWN = 20  # a file of another kind has a problem in each line; one screen of them is enough
TICK_S = 0.005  # shorter waits are not worth a timer
PROGRESS_S = 0.5
PROGRESS_LINE_S = 5.0  # in a log, where lines stay
ID_BYTES = 64  # an id of ours and its name; a line with less room than this left stays without
GZIP = b"\x1f\x8b"


class Record(NamedTuple):
    """One record to write: when, in ms after the first, and what."""

    at_ms: int
    key: bytes
    value: bytes


class Progress(NamedTuple):
    """How far a replay is; `fraction` of the files' bytes, 1 only at the end, None where that is unknown."""

    sent: int
    fraction: float | None


@dataclass(slots=True)
class Problems:
    """Lines that could not be sent: how many, and the first of them in words."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, path: Path, line: int, reason: str) -> None:
        self.count += 1
        if len(self.shown) < PROBLEMS_SHOWN:
            self.shown.append(f"{path}:{line}: {reason}")


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What came of a replay. `problems` names the first PROBLEMS_SHOWN of `bad` lines as file:line: reason."""

    sent: int
    rooms: int
    seconds: float
    bad: int
    problems: tuple[str, ...]

    def line(self) -> str:
        """The report in one line."""
        rate = f", {self.sent / self.seconds:,.0f} a second" if self.seconds > 0 else ""
        skipped = f"; {self.bad:,} lines skipped" if self.bad else ""
        return f"{self.sent:,} events of {self.rooms:,} rooms in {self.seconds:.1f} s{rate}{skipped}"


async def replay(
    settings: Settings,
    files: Sequence[Path],
    speed: float = 1.0,
    room: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> ReplayReport:
    """Write the events of NDJSON files, plain or gzip, to the events topic, `speed` times as fast as they happened.

    Several files are laid over one another: each later file's times are moved so that its first event meets the first
    file's. With `room` every event goes there. `speed` may be math.inf; 1 at least. Raises OperatorError.

    Lines without an id get one of this run and their place: another replay of the file is other events.
    """
    check_speed(speed)
    total = sum(_size(path) for path in files)
    problems, meter = Problems(), [0] * len(files)

    def tell(sent: int) -> None:
        if on_progress is not None:
            on_progress(Progress(sent, min(0.99, sum(meter) / total) if total else None))

    began = time.monotonic()
    run = secrets.token_hex(6)
    sent, rooms = await produce(settings, read(files, room, problems, meter, run), speed, tell)
    if on_progress is not None:
        on_progress(Progress(sent, 1.0))
    return ReplayReport(sent, rooms, time.monotonic() - began, problems.count, tuple(problems.shown))


async def produce(
    settings: Settings,
    records: Iterable[Record],
    speed: float = 1.0,
    on_sent: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """Write records to the events topic at their times divided by `speed`; returns (records, rooms).

    All of them are acknowledged by the broker when it returns. Raises OperatorError when the broker or the topic is
    missing, within some 10 s, or goes away, within some 20 s; with an idempotent producer, 40.
    """
    check_speed(speed)
    writer = await Writer.connect(settings)
    try:
        told = time.monotonic()
        async for record in paced(records, speed, before_wait=writer.flush):
            await writer.add(*record)
            if on_sent is not None and time.monotonic() - told > PROGRESS_S:
                told = time.monotonic()
                on_sent(writer.acknowledged)
        await writer.finish()
    except (KafkaError, OSError) as error:
        raise OperatorError(
            f"the broker at {settings.kafka} stopped taking events after {writer.acknowledged:,} "
            f"({str(error) or type(error).__name__}); "
            "bring it back and replay into another room: in this one what was taken would count again"
        ) from error
    finally:
        await writer.close()
    return writer.acknowledged, len(writer.partition_of)


def records_of(arrivals: Iterable[tuple[int, ev.RoomEvent]]) -> Iterator[Record]:
    """Simulated arrivals (ms after the first, event) as records."""
    for offset_ms, event in arrivals:
        yield Record(offset_ms, event.room.encode(), ev.encode(event))


async def paced(
    records: Iterable[Record],
    speed: float,
    before_wait: Callable[[], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Record]:
    """Each record when its time has come; `before_wait` is called before every pause. Late ones are not held up."""
    began = clock()
    for record in records:
        ahead = record.at_ms / 1000 / speed - (clock() - began)
        if ahead > TICK_S:
            await before_wait()
            await sleep(ahead)
        yield record


def check_speed(speed: float) -> None:
    """Raises OperatorError for a speed below 1: room time would run ahead of the events."""
    if not speed >= 1:  # NaN too
        raise OperatorError(f"a speed of {speed:g} is below 1 and would outrun the room's clock; use 1 to 1000, or max")


def parse_speed(text: str) -> float:
    """What stands behind --speed: a number of at least 1, or `max`. Raises OperatorError."""
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        raise OperatorError(f"{text!r} is no speed; use a number of at least 1, or max") from None
    check_speed(speed)
    return speed


# --- reading


class _Source(NamedTuple):
    """A file to read: when its first event happened, how far its times move, and what its ids begin with."""

    path: Path
    start_ms: int
    shift_ms: int
    ids: str | None


def read(
    files: Sequence[Path], room: str | None, problems: Problems, meter: list[int], run: str | None = None
) -> Iterator[Record]:
    """The events of the files as records, in order of time; `meter[i]` follows the bytes read of file i.

    A file's events keep their order: one that is older than its predecessor goes at the predecessor's time. With `run`,
    a line without an id gets `run-file-line`. Bytes stay untouched unless room, time or id must change.
    """
    starts = [_start_ms(path) for path in files]
    known = [start for start in starts if start is not None]
    streams = []
    for index, (path, start) in enumerate(zip(files, starts, strict=True)):
        shift = known[0] - start if index and start is not None else 0
        source = _Source(path, start or 0, shift, None if run is None else f"{run}-{index}-")
        streams.append(_file_records(source, room, problems, meter, index))
    return heapq.merge(*streams, key=lambda record: record.at_ms)


class _Head(msgspec.Struct):
    """The little of an event that a replay must know."""

    room: str | None = None
    ts: Any = None
    id: Any | msgspec.UnsetType = msgspec.UNSET


_heads = msgspec.json.Decoder(_Head)


def _file_records(
    source: _Source, room: str | None, problems: Problems, meter: list[int], index: int
) -> Iterator[Record]:
    latest = source.start_ms
    for number, line, place in _lines(source.path, problems):
        meter[index] = place
        try:
            head = _heads.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.add(source.path, number, str(error))
            continue
        target = room or head.room
        if not target:
            problems.add(source.path, number, "the event names no room; give one with --room")
            continue
        latest = max(latest, event_ms(head.ts) or latest)
        yield Record(latest - source.start_ms, target.encode(), _value(line, head, source, target, number))


def _value(line: bytes, head: _Head, source: _Source, room: str, number: int) -> bytes:
    """The bytes to send for a line: in `room`, its times moved, and with an id where it has none."""
    ids = source.ids if head.id is msgspec.UNSET or head.id is None else None
    if len(line) > ev.MAX_EVENT_BYTES - ID_BYTES:
        ids = None
    if source.shift_ms or room != head.room or (ids is not None and head.id is None):
        return _rewritten(line, room, source.shift_ms, None if ids is None else f"{ids}{number}")
    if ids is not None:
        return b'%b,"id":"%b%d"}' % (line[:-1], ids.encode(), number)  # a tenth of what decoding and encoding costs
    return line


def event_ms(ts: object) -> int | None:
    """An event's time in ms where it is one: ms, or seconds or microseconds by mistake; else None."""
    if isinstance(ts, int):
        for candidate in (ts, ts * 1000, ts // 1000):
            if ev.TS_MIN_MS <= candidate < ev.TS_MAX_MS:
                return candidate
    return None


def _rewritten(line: bytes, room: str, shift: int, new_id: str | None) -> bytes:
    """The event in another room, its times moved by `shift` ms, with `new_id`; all else keeps its value."""
    event: dict[str, Any] = msgspec.json.decode(line)
    event["room"] = room
    if new_id is not None:
        event["id"] = new_id
    at = event_ms(event.get("ts"))
    if shift and at is not None:
        event["ts"] = at + shift
        until = event_ms(event.get("until"))  # offer.ready says till when in event time
        if until is not None:
            event["until"] = until + shift
    return msgspec.json.encode(event)


def _start_ms(path: Path) -> int | None:
    """The time of a file's first event that has one."""
    for _, line, _ in _lines(path, Problems()):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if (at := event_ms(_heads.decode(line).ts)) is not None:
                return at
    return None


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, bytes, int]]:
    """(line number, line without its end, bytes of the file read so far) of every line that is not blank."""
    limit = ev.MAX_EVENT_BYTES + 2  # with CR LF
    number = 0
    with path.open("rb") as file:
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if file.peek(2)[:2] == GZIP else file
        try:
            while line := stream.readline(limit):
                number += 1
                if len(line) == limit and not line.endswith(b"\n"):
                    problems.add(path, number, f"the line is longer than {ev.MAX_EVENT_BYTES:,} bytes")
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(limit)
                    continue
                line = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
                if line:
                    yield number, line, file.tell()
        except (EOFError, OSError, zlib.error) as error:
            problems.add(path, number + 1, f"the file is damaged from here on: {error}")


def _size(path: Path) -> int:
    """Bytes of a file that can be read. Raises OperatorError."""
    try:
        with path.open("rb"):
            return path.stat().st_size
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}; name NDJSON files, plain or .gz") from None


# --- telling


def progress_on(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Callable[[Progress], None]:
    """An `on_progress` that draws a bar on a terminal, and elsewhere writes a line every PROGRESS_LINE_S seconds."""
    told = clock()

    def show(progress: Progress) -> None:
        nonlocal told
        done = "" if progress.fraction is None else f"{progress.fraction:4.0%} "
        if stream.isatty():
            filled, end = round(30 * (progress.fraction or 0)), "\n" if progress.fraction == 1 else ""
            stream.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}{progress.sent:,} events\x1b[K{end}")
        elif clock() - told >= PROGRESS_LINE_S:
            told = clock()
            stream.write(f"{done}{progress.sent:,} events\n")
        stream.flush()

    return show
