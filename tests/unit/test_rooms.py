"""Records into the rooms of a partition: in any pieces, repeated, with holes, and from a log that is not the same."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from agents import simulate
from agents.fetched import Records
from agents.outbox import Letter, Record
from agents.partition import TICK, TICK_KEY, Partition
from agents.rooms import FAR_BEHIND, PUBLISH_SHARE, PUBLISH_SHARE_BEHIND, Rooms
from agents.settings import Settings, load_playbook
from agents.store import Entry, Fence, Store
from agents.telemetry import Telemetry
from agents.transport import Batch
from stream import events as ev
from stream.columns import joined
from stream.room import RoomState

END_MS = 1_760_000_000_000
NOW_S = END_MS / 1000
PLAYBOOK = load_playbook(Settings())
Log = list[tuple[int, int, bytes, bytes]]  # offset, arrival, key, value


async def nowhere(_: Record) -> None:
    """Nothing is sent in these tests."""
    raise AssertionError


def rooms(now_s: float = NOW_S) -> Rooms:
    """A worker that owns partition 0, without servers."""
    made = Rooms(Settings(), PLAYBOOK, Store(Settings()), nowhere, Telemetry(), now=lambda: now_s)
    made.partitions[0] = Partition(0, 0, Fence(1, "me"))
    return made


def log_of(minutes: int = 10) -> Log:
    """Two rooms and the ticks between them, with a hole of offsets here and there as compaction leaves them."""
    began = END_MS - minutes * 60_000
    records = [
        (began + offset_ms, event.room.encode(), ev.encode(event))
        for seed, room in enumerate(("a", "b"))
        for offset_ms, event in simulate.show(seed, minutes, END_MS, room)
    ]
    records += [(at_ms, TICK_KEY, TICK) for at_ms in range(began, END_MS + 10_000, 1_000)]
    chance, offset, log = random.Random(1), 0, []
    for arrived_ms, key, value in sorted(records):
        offset += 1 if chance.random() < 0.99 else 3
        log.append((offset, arrived_ms, key, value))
    return log


def batch(some: Log, start: int | None = None, highwater: int = 0) -> Batch:
    """Records as the transport hands them over."""
    offsets, arrivals, keys, values = zip(*some, strict=True)
    begin = some[0][0] if start is None else start
    raws = joined(values, keys)
    return Batch(begin, highwater, Records(raws.data, raws.keys, raws.values, np.array(offsets), np.array(arrivals)))


def said(of: Rooms) -> list[Letter]:
    """What waits for Redis."""
    return list(of.outbox.screens._letters)


def words(of: Rooms) -> list[Any]:
    """What waits for Redis, without the partition."""
    return [(letter.room, letter.what) for letter in said(of)]


@pytest.fixture(scope="module")
def log() -> Log:
    """The log of the module's tests."""
    return log_of()


@pytest.fixture(scope="module")
def whole(log: Log) -> Rooms:
    """A worker that took the log at once."""
    made = rooms()
    made.take(0, batch(log, 0))
    return made


def pieces(log: Log, seed: int) -> Iterator[tuple[int, Log]]:
    """The log in random pieces, some of them over again; each with the offset from which on it is complete."""
    chance, at = random.Random(seed), 0
    while at < len(log):
        back = chance.randint(1, 300) if chance.random() < 0.2 else 0
        begin = max(0, at - back)
        end = min(len(log), at + chance.randint(1, 500))
        yield (log[begin - 1][0] + 1 if begin else 0), log[begin:end]
        at = end


@pytest.mark.parametrize("seed", range(3))
def test_any_pieces_give_the_same(log: Log, whole: Rooms, seed: int) -> None:
    """However the fetches cut the log, and whatever of it comes again, the rooms say the same and stand the same."""
    made = rooms()
    for start, piece in pieces(log, seed):
        made.take(0, batch(piece, start))

    assert made.partitions[0].next_offset == log[-1][0] + 1
    for name, kept in whole.partitions[0].rooms.items():
        assert made.partitions[0].rooms[name].state.line() == kept.state.line(), f"seed {seed}"
    one, other = words(made), words(whole)
    assert [word for word in one if word[0] == "a"] == [word for word in other if word[0] == "a"], f"seed {seed}"


def test_nothing_is_applied_over_a_hole(log: Log) -> None:
    """A batch that does not join is left alone, and so is all that follows, until the partition was placed again."""
    made = rooms()
    made.take(0, batch(log[:100], 0))
    before = made.partitions[0].next_offset
    made.take(0, batch(log[200:300], log[199][0] + 1))
    made.take(0, batch(log[100:200], before))

    assert made.partitions[0].next_offset == before
    assert made.astray([0]) == [0]

    made.partitions[0].hole = False  # as placing does
    made.take(0, batch(log[100:300], before))
    assert made.partitions[0].next_offset == log[299][0] + 1
    assert made.astray([0]) == []


def test_offsets_that_are_not_in_the_log_are_no_hole(log: Log) -> None:
    """A batch that begins behind missing offsets, but is complete from where we stand, is taken."""
    made = rooms()
    made.take(0, batch(log[:100], 0))
    made.take(0, batch(log[150:200], made.partitions[0].next_offset))

    assert made.partitions[0].next_offset == log[199][0] + 1


def test_a_log_that_begins_anew_is_refused(log: Log) -> None:
    """Records below the place we asked for mean another log: nothing is skipped silently, and the message says how."""
    made = rooms()
    made.partitions[0].next_offset = 1_000_000
    made.take(0, batch(log[:10], 1_000_000))

    assert made.broken is not None
    assert "ends before offset 1000000" in str(made.broken)
    assert "delete the Redis keys liveroom:positions:live.events" in str(made.broken)


@pytest.mark.parametrize(
    ("late_s", "behind", "kind"),
    [(0, True, {"prompt"}), (3_600, False, {"prompt"}), (3_600, True, {"past"})],
)
def test_prompts_of_an_hour_ago_are_recorded_not_shown(log: Log, late_s: int, behind: bool, kind: set[str]) -> None:
    """A worker that catches up with an hour-old log records its prompts; a wrong clock alone hides none."""
    made = rooms(NOW_S + late_s)
    highwater = log[-1][0] + (5_000 if behind else 1)
    made.take(0, batch(log, 0, highwater))
    entries = [letter.what for letter in said(made) if isinstance(letter.what, Entry)]
    prompts = [entry for entry in entries if "play" in msgspec.json.decode(entry.data)]

    assert prompts
    assert {entry.kind for entry in prompts} == kind


def test_a_fault_of_our_own_stops_no_other_room(log: Log, whole: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the core fails in one room, its record goes to the dead letters, and the other room is what it was."""
    close_due, chance = RoomState._close_due, random.Random(3)

    def failing(of: RoomState) -> None:
        if of.room == "a" and chance.random() < 0.2:
            raise ZeroDivisionError
        close_due(of)

    monkeypatch.setattr(RoomState, "_close_due", failing)
    made = rooms()
    made.take(0, batch(log, 0))
    letters = [letter.what for letter in made.outbox.log._letters]
    dead = [letter for letter in letters if isinstance(letter, Record) and letter.topic == "live.rejected"]

    assert made.partitions[0].rooms["b"].state.line() == whole.partitions[0].rooms["b"].state.line()
    assert len(dead) > 100
    assert dict(dead[0].headers)["detail"] == b"our own fault: ZeroDivisionError()"


def test_a_partition_that_went_is_lost(log: Log) -> None:
    """After an assignment without it a partition is dropped, and what it had to say is nobody's any more."""
    made = rooms()
    made.take(0, batch(log[:100], 0))
    held = made.partitions[0]
    made.owned([1, 2])

    assert (made.partitions, held.lost) == ({}, True)
    assert made.astray([1, 2]) == [1, 2]


def test_numbers_of_a_backlog_are_published_seldom() -> None:
    """Far behind the log publishing may take 3 % of the time; once caught up it has its full share at once."""
    log = log_of()
    held = rooms()
    held.take(0, batch(log[:100], start=0, highwater=log[99][0] + FAR_BEHIND + 2))
    held._publish_s = 0.6
    assert held.publish_rest_s() == pytest.approx(0.6 / PUBLISH_SHARE_BEHIND)

    held.take(0, batch(log[100:], highwater=log[-1][0] + 1))
    assert held.publish_rest_s() == pytest.approx(0.6 / PUBLISH_SHARE)
    held._publish_s = 0.0
    assert held.publish_rest_s() == held.settings.publish_ms / 1000
