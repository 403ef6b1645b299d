"""Every number of every window equals what DuckDB computes from the same records, by the definitions alone."""

import gzip
import random
import tempfile
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from agents import simulate
from agents.dry_run import dry_run
from agents.settings import Settings, load_playbook
from stream.events import TYPES, encode
from stream.room import RoomConfig
from tests.recordings import recorded
from tests.simulation import oracle, shows

PLAYBOOK = load_playbook(Settings())
END_MS = 1_760_000_000_000


def compared(records: Sequence[bytes], every_s: int, **config: Any) -> oracle.Compared:
    """A dry run of `records` against the oracle; none may be late or refused."""
    settled = RoomConfig(line_every_s=every_s, **config)
    with tempfile.TemporaryDirectory() as folder:
        report = dry_run(records, Path(folder), PLAYBOOK, settled)
        assert (report.late, report.rejected) == (0, {})
        found = oracle.compare(records, Path(folder), settled)
    assert found.events == report.events - report.duplicates
    return found


@pytest.mark.parametrize(
    ("name", "take", "every_s", "cells"),
    [
        ("uci_orders", 6_000, 300, 300_000),
        ("tiktok_live", 604, 10, 100_000),
        ("livechat", 10_000, 30, 20_000),
    ],
)
def test_recorded_rooms(name: str, take: int, every_s: int, cells: int) -> None:
    """Real orders, real rooms without leaves, real chat."""
    with gzip.open(recorded(f"rooms/{name}.ndjson.gz")) as lines:
        records = [line.strip() for line in lines][:take]
    found = compared(records, every_s)

    assert found.differences == []
    assert found.cells >= cells


@pytest.mark.parametrize(("seed", "minutes", "every_s", "events"), [(3, 60, 60, 38_000), (4, 15, 13, 9_000)])
def test_a_simulated_show(seed: int, minutes: int, every_s: int, events: int) -> None:
    """Sessions, funnel, stock, ads and parts of a busy show, disordered and with duplicates."""
    records = [encode(arrival.event) for arrival in simulate.show(seed, minutes, END_MS, "demo")]
    found = compared(records, every_s)

    assert found.differences == []
    assert found.events >= events


@pytest.mark.parametrize(
    "habit",
    [
        shows.Habits(),
        shows.Habits(counts=False),
        shows.Habits(leaves=False, sources=False),
        shows.Habits(counts=False, nameless=3, creations=False),
        shows.Habits(masked=True),
        shows.Habits(masked=True, counts=False, starts=False),
    ],
    ids=repr,
)
def test_busy_rooms(habit: shows.Habits) -> None:
    """Feeds of each kind with everything in them: restarts, combos, returns, pins, stock, refunds before payments."""
    found = compared(shows.busy(7, 1_000, habit, "busy"), 23)

    assert found.differences == []
    assert found.lines > 50


def at(second: float, kind: str, **fields: object) -> dict[str, object]:
    """An event of `second` after the beginning."""
    return {"type": kind, "ts": shows.BEGIN_MS + round(1000 * second), **fields}


# Where a definition says "at most", "more than" or "before", a room that stands exactly there.
EXACT: dict[str, list[dict[str, object]]] = {
    "sessions of just 30 s, 60 s and a bit less": [
        *(at(n, "viewer.join", user=f"u{n}") for n in range(40)),
        *(at(n + (30, 60, 29.999, 59.999)[n % 4], "viewer.leave", user=f"u{n}") for n in range(40)),
        *(at(n, "chat", text="1") for n in range(100, 200, 9)),
    ],
    "back after just 30 s, and a bit more": [
        *(at(n, "viewer.join", user=f"u{n}") for n in range(8)),
        *(at(10 + n, "viewer.leave", user=f"u{n}") for n in range(8)),
        *(at(10 + n + (30, 30.001)[n % 2], "viewer.join", user=f"u{n}") for n in range(8)),
        at(99, "chat", text="1"),
    ],
    "one id with just a fifth of the events, then more": [
        *(at(n / 4, "like", user="111" if n % 5 == 0 else f"u{n}") for n in range(100)),
        *(at(40 + n, "like", user="111") for n in range(10)),
    ],
    "a pitch of just a minute": [
        at(0, "product.click", product="p1"),
        at(10, "product.pin", product="p1"),
        *(at(10 + n, "order.paid", product="p1", amount=1, user=f"u{n}") for n in range(0, 100, 3)),
    ],
    "a silence of just 30 s after a beat": [
        at(0, "source.beat", source="a"),
        at(10, "like", source="a"),
        at(15, "chat", text="1", source="b"),
        at(20, "like", source="a"),
        *(at(n, "chat", text="1", source="b") for n in range(21, 90, 7)),
    ],
    "a source that is now and then quiet for 20 s": [
        *(at(n, "like", source="quiet") for n in (*range(50), 70, *range(71, 120), 140)),
        *(at(n, "chat", text="1", source="b") for n in range(130, 300, 9)),
    ],
    "a source that is never quiet": [
        *(at(n + 0.5, "like", source="quiet") for n in range(10)),
        *(at(n, "chat", text="1", source="b") for n in range(11, 99, 9)),
    ],
    "stock read just 10 s ago": [
        at(0, "stock.level", product="p1", available=9),
        *(at(n, "order.paid", product="p1", amount=1) for n in range(1, 60, 5)),
        at(60, "stock.level", product="p1", available=5),
        at(70.5, "stock.level", product="p2", available=5),
    ],
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_bounds(name: str) -> None:
    """Limits hold to the millisecond and to the event."""
    events = sorted(EXACT[name], key=itemgetter("ts"))
    records = [msgspec.json.encode({"room": "r"} | event) for event in events]

    assert compared(records, 10, sources=frozenset({"quiet"})).differences == []


@pytest.mark.parametrize("source", ["room", "other"])
def test_settings_of_sources(source: str) -> None:
    """A preferred feed of counts, and sources that are missed though they do not beat."""
    habit = shows.Habits(ids=False)
    records = shows.log([one for one in shows.busy_moments(9, 700) if one.kind != "beat"], habit, "r")
    found = compared(records, 31, online_source=source, sources=frozenset({"shop", "desk", "nobody"}))

    assert found.differences == []


# Each once differed from the definitions.
FOUND: dict[str, list[dict[str, object]]] = {
    "the 10 minutes before are those of 600 s ago": [at(n, "chat", text="1") for n in range(0, 1_300, 7)],
    "pins and unpins keep their order within a second": [
        at(0, "product.click", product="p1"),
        at(1, "product.pin", product="p1"),
        at(20.1, "order.created", product="p1", amount=1),
        at(20.2, "product.unpin", product="p1"),
        at(20.6, "product.pin", product="p1"),
        at(100, "order.created", product="p1", amount=1),
    ],
    "a product's refunds count lines without an order id": [
        at(0, "order.paid", product="p1", amount=5),
        at(3, "order.refunded", product="p1", amount=5),
        at(12, "chat", text="1"),
    ],
    "whoever is seen in the second of a scene's start is of that scene": [
        at(0, "scene.start", scene="s1"),
        at(5.2, "chat", user="u1", text="1"),
        at(5.5, "scene.start", scene="s2"),
        at(5.8, "product.click", user="u1", product="p1"),
        at(12, "chat", text="1"),
    ],
    "a silence empties the windows of parts, too": [
        at(0, "viewer.join", user="u1", **{"from": "ads"}),
        at(5_000, "chat", text="1"),
    ],
    "without a reading of the online count dwell is not known": [
        at(0, "viewer.join", user="u1"),
        at(1, "viewer.count", total=5),
        at(2, "viewer.count", total="many", online="many"),
        at(12, "chat", text="1"),
    ],
    "an empty room has a peak of 0": [at(n, "viewer.count", online=0) for n in range(0, 100, 5)],
    "a combo that begins at 0 is one gift": [
        at(n, "gift", user="u1", combo="k", count=n, value=10) for n in (0, 1, 3, 2, 5)
    ],
    "two feeds of totals, one without a name": [
        at(0, "viewer.count", online=5, total=900, source="a"),
        at(4, "viewer.count", online=4, total=100),
        at(8, "viewer.count", online=6, total=1_000, source="a"),
    ],
    "an estimate of a silent source is stale": [
        at(0, "viewer.join", user="u1", source="a"),
        at(1, "source.beat", source="a"),
        at(2, "viewer.count", online=50, source="a"),
        at(100, "chat", text="1", source="b"),
        at(200, "chat", text="1", source="b"),
    ],
    "sessions known before the source was masked": [
        *(at(n / 10, "viewer.join", user=f"u{n}") for n in range(45)),
        at(10, "viewer.leave", user="u1"),
        *(at(20 + n, "like", user="111") for n in range(60)),
    ],
    "returning buyers": [
        at(0, "order.paid", user="u1", amount=5, returning=True),
        at(1, "order.paid", user="u2", amount=5),
        at(12, "order.paid", amount=5, returning=True),
    ],
}


@pytest.mark.parametrize("name", FOUND)
def test_what_once_differed(name: str) -> None:
    """Small rooms in which the core and the oracle disagreed."""
    assert compared([msgspec.json.encode({"room": "r"} | event) for event in FOUND[name]], 10).differences == []


ON_ARRIVAL = frozenset({"prompt.send", "violation"})
FIELDS: dict[str, object] = {
    **{
        "text": "1",
        "product": "p1",
        "amount": 7,
        "channel": "c",
        "scene": "s",
        "offer": "o",
        "price": 1,
        "prompt": "x",
    },
    **{"products": [], "items": [], "playbook": "", "mode": "quiet", "title": "t", "question": "q", "available": 3},
    "user": "u1",
}


def single(kinds: frozenset[str]) -> oracle.Compared:
    """A room of one event for each of `kinds`."""
    return compared([msgspec.json.encode({"room": kind} | at(0.5, kind) | FIELDS) for kind in sorted(kinds)], 10)


def test_rooms_of_one_event() -> None:
    """A room in which a single thing happens, of each type there is, has one line."""
    found = single(TYPES - ON_ARRIVAL)

    assert found.differences == []
    assert found.events == found.lines == len(TYPES - ON_ARRIVAL)


def test_rooms_that_begin_on_arrival() -> None:
    """So has one whose first event is answered on arrival."""
    assert single(ON_ARRIVAL).differences == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(records=shows.records())
def test_any_rooms(records: list[bytes]) -> None:
    """Whatever may happen in a room, in whatever order within the bound."""
    assert compared(records, 10).differences == []


def test_the_last_line_holds_every_product_wherever_it_lies() -> None:
    """Also where it lies on a whole multiple of the interval, and a product has been quiet for over ten minutes."""
    begin_ms = shows.BEGIN_MS // 10_000 * 10_000
    click = b'{"type":"product.click","room":"r","product":"p1","user":"u1","ts":%d}' % begin_ms
    chats = [b'{"type":"chat","room":"r","text":"1","ts":%d}' % (begin_ms + 1_000 * s) for s in (300, 700, 709)]
    found = compared([click, *chats], 10)

    assert found.differences == []
    assert found.cells > 0


ORDERED = {"dwell_s_show", "chat_density_show", "over_1min_rate_show"}  # these know only what came in time


@pytest.mark.parametrize("seed", range(3))
def test_events_beyond_the_bound_count_in_the_show(seed: int, tmp_path: Path) -> None:
    """However late an event comes, the totals of the show are as if it had come in time."""
    rng = random.Random(seed)
    arrivals = shows.arrivals(shows.busy_moments(seed, 400), shows.Habits(sources=False), "r")
    apart = [(at_ms, event) for at_ms, event in arrivals if event["type"] not in ("room.start", "scene.start")]
    delayed = [(at_ms + rng.choice((0, 0, 0, 9_000, 100_000)), event) for at_ms, event in apart]
    records = [msgspec.json.encode(event) for _, event in [arrivals[0], *sorted(delayed, key=lambda one: one[0])]]
    config = RoomConfig(line_every_s=1_000_000)
    report = dry_run(records, tmp_path, PLAYBOOK, config)
    found = oracle.compare(records, tmp_path, config)
    totals = [one for one in found.differences if one["key"].endswith("_show") and one["kind"] != "split"]

    assert report.late > 50
    assert [one for one in totals if one["key"] not in ORDERED] == []


def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    """The oracle sees a single cell that is off by one."""
    records = [encode(arrival.event) for arrival in simulate.show(5, 10, END_MS, "demo")][:2_000]
    config = RoomConfig(line_every_s=10)
    dry_run(records, tmp_path, PLAYBOOK, config)
    numbers = tmp_path / "numbers.ndjson"
    lines = numbers.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"joins_1m":{"value":', b'"joins_1m":{"value":9', 1)
    numbers.write_bytes(b"".join(lines))
    (difference,) = oracle.compare(records, tmp_path, config).differences

    assert (difference["key"], difference["their_value"]) == ("joins_1m", "9" + difference["our_value"])
