"""Replay without servers: what is read, in which order, when it is sent, and what is said about bad lines."""

import asyncio
import gzip
import io
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import dry_run, replay, simulate
from agents.replay import Problems, Progress, Record
from agents.settings import Settings, load_playbook
from stream import events as ev
from stream.errors import OperatorError
from stream.room import RoomConfig

T0 = 1_700_000_000_000


def line(ts: object, room: str = "a", **fields: object) -> bytes:
    return json.dumps({"type": "chat", "room": room, "ts": ts, "text": "你好"} | fields, ensure_ascii=False).encode()


def file(tmp_path: Path, *lines: bytes, name: str = "show.ndjson") -> Path:
    path = tmp_path / name
    data = b"".join(each + b"\n" for each in lines)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(*paths: Path, room: str | None = None, run: str | None = None) -> tuple[list[Record], Problems]:
    problems = Problems()
    return list(replay.read(paths, room, problems, [0] * len(paths), run)), problems


@pytest.mark.parametrize("name", ["show.ndjson", "show.ndjson.gz", "gzip-without-its-suffix"])
def test_one_file_is_sent_as_it_is(tmp_path: Path, name: str) -> None:
    """Plain or gzip, each line is one record with its bytes untouched, keyed by its room, from 0 ms on."""
    lines = [line(T0, user="1"), b'{ "room":"b","ts":%d , "id": 7307214567890123456,"type":"new.kind"}' % (T0 + 40)]
    path = file(tmp_path, *lines, name="show.gz")
    path = path.rename(tmp_path / name) if name != "show.ndjson" else file(tmp_path, *lines)

    records, problems = read(path)

    assert records == [Record(0, b"a", lines[0]), Record(40, b"b", lines[1])]
    assert problems.count == 0


def test_a_room_given_replaces_the_rooms(tmp_path: Path) -> None:
    """With --room key and value agree, and long ids and money stay exact; an event already there keeps its bytes."""
    long: dict[str, Any] = {"id": "x", "amount": 12_345_678_901, "user": 7307214567890123456, "extra": {"a": [1, None]}}
    same = line(T0 + 1, room="b")

    records, _ = read(file(tmp_path, line(T0, **long), same), room="b")

    assert [record.key for record in records] == [b"b", b"b"]
    assert json.loads(records[0].value) == json.loads(line(T0, room="b", **long))
    assert records[1].value == same


def test_files_are_laid_over_one_another(tmp_path: Path) -> None:
    """Later files move so that their first event meets the first file's; times in the events move along."""
    first = file(tmp_path, line(T0), line(T0 + 1_000), name="1")
    offer = line(T0 + 90_500, room="b", until=T0 + 100_000)
    second = file(tmp_path, line(T0 + 90_000, room="b"), offer, name="2")
    seconds = file(tmp_path, line(T0 // 1000 - 5, room="c"), line(T0 // 1000 - 4, room="c"), name="3")

    records, _ = read(first, second, seconds)

    assert [(record.at_ms, record.key) for record in records] == [
        (0, b"a"),
        (0, b"b"),
        (0, b"c"),
        (500, b"b"),
        (1_000, b"a"),
        (1_000, b"c"),
    ]
    moved = [json.loads(record.value) for record in records]
    assert [event["ts"] - T0 for event in moved] == [0, 0, 0, 500, 1_000, 1_000]
    assert moved[3]["until"] == T0 + 10_000
    assert records[0].value == line(T0)


def test_lines_without_an_id_get_one_of_the_run_and_their_place(tmp_path: Path) -> None:
    """Two identical lines are two events; ids that are there stay, byte for byte, be they valid or not."""
    plain, none, spaced = line(T0), line(T0, id=None), b'{"room":"a","ts":%d,"type":"like"  }' % T0
    own, wrong = line(T0, id="x"), line(T0, id=[7307214567890123456])
    first = file(tmp_path, plain, plain, b"", own, none, b"no json", wrong, spaced, name="1")
    second = file(tmp_path, plain, line(T0 + 5, room="b"), name="2")

    records, problems = read(first, second, run="r")

    ids = ["r-0-1", "r-0-2", "x", "r-0-5", [7307214567890123456], "r-0-8", "r-1-1", "r-1-2"]
    events = [json.loads(record.value) for record in records]
    assert [event["id"] for event in events] == ids
    assert [event | {"id": None} for event in events[:2]] == [json.loads(plain) | {"id": None}] * 2
    assert (records[2].value, records[4].value) == (own, wrong)
    assert problems.count == 1


def test_with_another_room_and_time_an_id_comes_along(tmp_path: Path) -> None:
    """What is rewritten anyway gets its id as well."""
    paths = [file(tmp_path, line(T0), name="1"), file(tmp_path, line(T0 + 7), line(T0 + 9, id="x"), name="2")]

    records, _ = read(*paths, room="b", run="r")

    events = [json.loads(record.value) for record in records]
    assert [(event["id"], event["room"], event["ts"] - T0) for event in events] == [
        ("r-0-1", "b", 0),
        ("r-1-1", "b", 0),
        ("x", "b", 2),
    ]


@pytest.mark.parametrize("left", [0, 1, 20, replay.ID_BYTES])
def test_an_id_never_makes_an_event_too_large(tmp_path: Path, left: int) -> None:
    """A line with no room left for an id is sent as it is."""
    short = line(T0, more="")
    path = file(tmp_path, line(T0, more="x" * (ev.MAX_EVENT_BYTES - left - len(short))))

    [record], _ = read(path, run="0123456789ab")

    assert len(record.value) <= ev.MAX_EVENT_BYTES
    assert (ev.decode(record.value).id is not None) == (left == replay.ID_BYTES)


def test_ids_of_a_run_change_no_number(tmp_path: Path) -> None:
    """A show without ids makes the same lines and prompts with those that a replay gives it."""
    arrivals = simulate.show(3, 10, T0, "r")
    path = file(tmp_path, *[ev.encode(msgspec.structs.replace(arrival.event, id=None)) for arrival in arrivals])
    for name, run in (("without", None), ("with", "r")):
        values = [record.value for record in read(path, run=run)[0]]
        dry_run.dry_run(values, tmp_path / name, load_playbook(Settings()), RoomConfig(line_every_s=10))

    for name in ("numbers.ndjson", "prompts.ndjson"):
        found = (tmp_path / "with" / name).read_bytes()
        assert found == (tmp_path / "without" / name).read_bytes()
        assert found


@given(
    files=st.lists(st.lists(st.integers(0, 5_000), min_size=1, max_size=20), min_size=1, max_size=4),
)
def test_the_merge_is_in_order(tmp_path_factory: pytest.TempPathFactory, files: list[list[int]]) -> None:
    """All events of all files come, in order of time, each file's in the file's order."""
    folder = tmp_path_factory.mktemp("merge")
    paths = [
        file(folder, *(line(T0 + at, room=f"r{index}", n=n) for n, at in enumerate(times)), name=f"{index}")
        for index, times in enumerate(files)
    ]

    records, _ = read(*paths)

    assert sorted(records, key=lambda record: record.at_ms) == records
    for index, times in enumerate(files):
        mine = [json.loads(record.value)["n"] for record in records if record.key == f"r{index}".encode()]
        assert mine == list(range(len(times)))


def test_events_without_a_usable_time_go_with_their_predecessor(tmp_path: Path) -> None:
    """No time, seconds, a word, a time before: none of them stops or turns the clock."""
    lines = [line(None), line(T0), line(T0 // 1000 + 2), line("soon"), line(0), line(T0 + 1), line(10**30)]

    records, problems = read(file(tmp_path, *lines))

    assert [record.at_ms for record in records] == [0, 0, 2_000, 2_000, 2_000, 2_000, 2_000]
    assert problems.count == 0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"{", "truncated"),
        (b"[1]", "object"),
        (b'{"ts": 1}', "names no room"),
        (b'{"room": ""}', "names no room"),
        (b'{"room": 5}', "room"),
        (b'{"room": "a"} {"room": "a"}', "trailing"),
        (b'{"room": "a", "text": "' + b"x" * ev.MAX_EVENT_BYTES + b'"}', "longer than"),
        (b"\xff\xfe", "malformed"),
    ],
)
def test_a_bad_line_is_named_and_left_out(tmp_path: Path, bad: bytes, words: str) -> None:
    """What is no event is reported with file and line; the lines around it are sent."""
    path = file(tmp_path, line(T0), b"", bad, line(T0 + 1))

    records, problems = read(path)

    assert [record.value for record in records] == [line(T0), line(T0 + 1)]
    assert problems.count == 1
    assert problems.shown[0].startswith(f"{path}:3: ")
    assert words in problems.shown[0]


def test_a_byte_order_mark_and_crlf_do_no_harm(tmp_path: Path) -> None:
    """Files that went through a Windows editor are read."""
    path = file(tmp_path, b"\xef\xbb\xbf" + line(T0) + b"\r", line(T0 + 1) + b"\r")

    assert [record.value for record in read(path)[0]] == [line(T0), line(T0 + 1)]


def test_only_the_first_problems_are_shown(tmp_path: Path) -> None:
    """A file of another kind is counted in full and shown in part."""
    _, problems = read(file(tmp_path, *[b"no,json"] * 1_000))

    assert problems.count == 1_000
    assert len(problems.shown) == replay.PROBLEMS_SHOWN


@pytest.mark.parametrize("damage", ["truncated", "garbled"])
def test_a_damaged_gzip_gives_what_it_has(tmp_path: Path, damage: str) -> None:
    """The lines before the damage are sent, and the place is named."""
    arrivals = simulate.show(1, 10, T0, "r")
    lines = [record.value for record in replay.records_of(arrivals)]
    path = file(tmp_path, *lines, name="show.gz")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    path.write_bytes(data[:middle] if damage == "truncated" else data[:middle] + bytes(1_000) + data[middle + 1_000 :])

    records, problems = read(path)

    sent = {record.value for record in records}
    assert 0.2 * len(lines) < len(records) < len(lines)
    assert sent <= set(lines) or damage == "garbled"
    assert any(f"{path}:" in shown and "damaged" in shown for shown in problems.shown)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def pace(at: list[int], speed: float, work_s: float = 0.0) -> tuple[FakeTime, list[float], list[str]]:
    """The times at which records come out, and what happened in which order."""
    clock, times, story = FakeTime(), [], []

    async def flush() -> None:
        story.append("flush")

    async def run() -> None:
        async for record in replay.paced((Record(ms, b"a", b"%d" % ms) for ms in at), speed, flush, clock.sleep, clock):
            story.append(record.value.decode())
            times.append(clock.now - 100)
            clock.now += work_s

    asyncio.run(run())
    return clock, times, story


@pytest.mark.parametrize("speed", [1.0, 2.0, 10.0, 2.5])
def test_events_come_at_their_time(speed: float) -> None:
    """The pauses are those of the recording divided by the speed; everything open is flushed before each."""
    _, times, story = pace([0, 0, 1_000, 1_001, 60_000], speed)

    assert times == pytest.approx([0, 0, 1 / speed, 1 / speed, 60 / speed], abs=replay.TICK_S)
    assert story == ["0", "0", "flush", "1000", "1001", "flush", "60000"]


def test_a_slow_writer_is_caught_up_with() -> None:
    """Time lost in writing is not lost again: later events keep to the recording's clock."""
    _, times, _ = pace([0, 100, 200, 5_000], 1.0, work_s=0.5)

    assert times == pytest.approx([0, 0.5, 1.0, 5.0])


def test_max_never_waits() -> None:
    """At full speed there is no pause at all."""
    clock, _, _ = pace([0, 10_000, 10**9], math.inf)

    assert clock.slept == []


@pytest.mark.parametrize(("text", "speed"), [("max", math.inf), ("1", 1.0), ("2.5", 2.5), ("1000", 1000.0)])
def test_speeds(text: str, speed: float) -> None:
    """A speed is a number of at least 1, or max."""
    assert replay.parse_speed(text) == speed


@pytest.mark.parametrize(
    ("ts", "at_ms"),
    [(1_700_000_000, T0), (T0 + 123, T0 + 123), (T0 * 1000 + 7, T0), (0, None), ("soon", None), (1.7e12, None)],
)
def test_times(ts: object, at_ms: int | None) -> None:
    """Seconds and microseconds are taken for what they are; what is no time is none."""
    assert replay.event_ms(ts) == at_ms


@pytest.mark.parametrize("text", ["0", "0.5", "-1", "nan", "fast", ""])
def test_speeds_below_one_are_refused(text: str) -> None:
    """What is no speed is the operator's error, and says what is one."""
    with pytest.raises(OperatorError, match=r"at least 1|use 1 to 1000"):
        replay.parse_speed(text)


@pytest.mark.parametrize("name", ["missing.ndjson", "."])
def test_an_unreadable_file_is_said_before_anything_is_sent(tmp_path: Path, name: str) -> None:
    """A wrong path needs no broker to be noticed."""
    good = file(tmp_path, line(T0))

    with pytest.raises(OperatorError, match="cannot be read"):
        asyncio.run(replay.replay(Settings(kafka="127.0.0.1:1"), [good, tmp_path / name]))


@pytest.mark.parametrize("kafka", ["127.0.0.1:1", "not an address:x"])
def test_a_missing_broker_is_said(tmp_path: Path, kafka: str) -> None:
    """Without a broker the error names the setting."""
    with pytest.raises(OperatorError, match="LIVEROOM_KAFKA"):
        asyncio.run(replay.replay(Settings(kafka=kafka), [file(tmp_path, line(T0))]))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_and_written_in_a_log() -> None:
    """A terminal gets one line that grows and ends; a log gets a line every few seconds."""
    terminal, log, clock = Terminal(), io.StringIO(), FakeTime()
    on_terminal, in_log = replay.progress_on(terminal, clock), replay.progress_on(log, clock)
    for step in range(1, 21):
        clock.now += 1
        on_terminal(Progress(step * 1_000, step / 20))
        in_log(Progress(step * 1_000, None))

    assert terminal.getvalue().count("\r") == 20
    assert terminal.getvalue().endswith("20,000 events\x1b[K\n")
    assert log.getvalue().splitlines() == ["5,000 events", "10,000 events", "15,000 events", "20,000 events"]
