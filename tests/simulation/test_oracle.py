"""Every number of every window equals what DuckDB computes from the same records, by the definitions alone."""

import gzip
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from agents import simulate
from agents.dry_run import dry_run
from agents.settings import Settings, load_playbook
from stream.events import encode
from stream.room import RoomConfig
from tests.recordings import recorded
from tests.simulation import oracle, shows

PLAYBOOK = load_playbook(Settings())
END_MS = 1_760_000_000_000


def compared(records: Sequence[bytes], every_s: int) -> oracle.Compared:
    """A dry run of `records` against the oracle; none may be late or refused."""
    with tempfile.TemporaryDirectory() as folder:
        report = dry_run(records, Path(folder), PLAYBOOK, RoomConfig(line_every_s=every_s))
        assert (report.late, report.rejected) == (0, {})
        found = oracle.compare(records, Path(folder), every_s)
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


@pytest.mark.parametrize(("seed", "minutes", "every_s", "events"), [(3, 60, 30, 38_000), (4, 20, 7, 12_000)])
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
    found = compared(shows.busy(7, 1_500, habit, "busy"), 17)

    assert found.differences == []
    assert found.lines > 50


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(records=shows.records())
def test_any_rooms(records: list[bytes]) -> None:
    """Whatever may happen in a room, in whatever order within the bound."""
    found = compared(records, 10)

    assert found.differences == []


def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    """The oracle sees a single cell that is off by one."""
    records = [encode(arrival.event) for arrival in simulate.show(5, 10, END_MS, "demo")][:2_000]
    dry_run(records, tmp_path, PLAYBOOK, RoomConfig(line_every_s=10))
    numbers = tmp_path / "numbers.ndjson"
    lines = numbers.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"joins_1m":{"value":', b'"joins_1m":{"value":9', 1)
    numbers.write_bytes(b"".join(lines))
    (difference,) = oracle.compare(records, tmp_path, 10).differences

    assert (difference["key"], difference["their_value"]) == ("joins_1m", "9" + difference["our_value"])
