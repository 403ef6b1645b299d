"""A crash at any record boundary changes nothing: the room restored from its snapshot goes on as the first would have.

Each show is a log as the worker reads it, the passing of time included. A failing run prints its seed.
"""

import itertools
import random
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from agents import simulate
from agents.settings import Settings, load_playbook
from stream import events as ev
from stream.room import Output, RoomConfig, RoomState, ShowEnded

END_MS = 1_760_000_000_000
PLAYBOOK = load_playbook(Settings())
CONFIG = RoomConfig(line_every_s=10)


class Entry(NamedTuple):
    """One record of the log, and when it arrived; no event: a second has passed."""

    arrived_ms: int
    event: ev.RoomEvent | None


def log_of(seed: int, minutes: int = 10, shows: int = 1, minute_of_silence: int = 0) -> list[Entry]:
    """A simulated show as it stands in the log, one tick a second; several shows follow one another in one room."""
    entries: list[Entry] = []
    for number in range(shows):
        end_ms = END_MS + number * (minutes + minute_of_silence) * 60_000
        began = end_ms - minutes * 60_000
        arrivals = simulate.show(seed + number, minutes, end_ms, "room")
        entries += [Entry(began + offset_ms, event) for offset_ms, event in arrivals]
    first, last = entries[0].arrived_ms, entries[-1].arrived_ms
    ticks = [Entry(at_ms, None) for at_ms in range(first, last + 30_000, 1_000)]
    return sorted(entries + ticks, key=lambda entry: entry.arrived_ms)


def new_room() -> RoomState:
    """A room that has seen nothing."""
    return RoomState("room", PLAYBOOK, CONFIG)


def restored(state: bytes) -> RoomState:
    """A room in another process that goes on from a snapshot."""
    room = new_room()
    room.restore(state)
    return room


def feed(room: RoomState, entry: Entry) -> Iterator[bytes]:
    """One record into the room; what it says, as bytes."""
    if entry.event is None:
        room.advance(entry.arrived_ms)
    else:
        room.apply(entry.event, entry.arrived_ms)
    yield from map(_bytes, room.drain())


def undisturbed(log: Iterable[Entry]) -> tuple[list[bytes], RoomState]:
    """What a room says that never crashes, and how it stands in the end."""
    room = new_room()
    said = [word for entry in log for word in feed(room, entry)]
    return said, room


def _bytes(output: Output) -> bytes:
    return msgspec.json.encode(output.recap if isinstance(output, ShowEnded) else output)


def _plain(snapshot: bytes) -> Any:
    """A snapshot without the order of its lists: sets have none."""

    def sort(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: sort(held) for key, held in value.items()}
        return sorted(map(sort, value), key=repr) if isinstance(value, list) else value

    return sort(msgspec.msgpack.decode(snapshot, strict=False))


def same(found: list[bytes], wanted: list[bytes], seed: int) -> None:
    """Fails with the seed and the first thing that was said differently."""
    for number, (one, other) in enumerate(itertools.zip_longest(found, wanted)):
        assert one == other, f"seed {seed}: word {number} differs"


def first_prompt(log: list[Entry]) -> int:
    """The place of the record upon which the room prompts for the first time."""
    room = new_room()
    return next(n for n, entry in enumerate(log) if any(b'"play"' in word for word in feed(room, entry)))


@pytest.mark.parametrize("seed", range(2))
def test_a_crash_after_every_record_changes_nothing(seed: int) -> None:
    """A room snapshot and restored after each single record, around its beginning and first prompt, says the same."""
    log = log_of(seed)
    prompt = first_prompt(log)
    log = log[: prompt + 100]
    wanted, last = undisturbed(log)
    room = new_room()
    said: list[bytes] = []
    for number, entry in enumerate(log):
        said += feed(room, entry)
        if number < 100 or number > prompt - 100 or number % 20 == 0:
            room = restored(room.snapshot())

    same(said, wanted, seed)
    assert room.line() == last.line(), f"seed {seed}"


@pytest.mark.parametrize("seed", range(4, 10))
def test_crashes_anywhere_in_whole_shows_change_nothing(seed: int) -> None:
    """Two shows in one room, with silence between them and 40 crashes at random places, are said as if undisturbed."""
    log = log_of(seed, shows=2, minute_of_silence=45)
    wanted, last = undisturbed(log)
    chance = random.Random(seed)
    crashes = set(chance.sample(range(len(log)), 40))
    room = new_room()
    said: list[bytes] = []
    for number, entry in enumerate(log):
        said += feed(room, entry)
        if number in crashes:
            room = restored(room.snapshot())

    same(said, wanted, seed)
    assert (room.line(), room.recap()) == (last.line(), last.recap()), f"seed {seed}"


@pytest.mark.parametrize("seed", range(10, 16))
def test_records_after_the_snapshot_are_read_again(seed: int) -> None:
    """A crash throws away what came after the last snapshot; read again, it is said again under the same ids."""
    log = log_of(seed)
    wanted, last = undisturbed(log)
    chance = random.Random(seed)
    room, kept, kept_at, kept_said = new_room(), new_room().snapshot(), 0, 0
    said: list[bytes] = []
    at = 0
    crashes = sorted(chance.sample(range(1, len(log)), 12))
    while at < len(log):
        said += feed(room, log[at])
        at += 1
        if chance.random() < 0.002:
            kept, kept_at, kept_said = room.snapshot(), at, len(said)
        if crashes and at >= crashes[0]:
            crashes.pop(0)
            room, at = restored(kept), kept_at
            del said[kept_said:]

    same(said, wanted, seed)
    assert room.line() == last.line(), f"seed {seed}"


def test_a_snapshot_of_a_restored_room_is_the_snapshot() -> None:
    """Nothing is lost or added on the way: a snapshot restored gives the same snapshot."""
    room = new_room()
    for number, entry in enumerate(log_of(16)):
        list(feed(room, entry))
        if number % 1_000 == 0:
            state = room.snapshot()

            assert _plain(restored(state).snapshot()) == _plain(state), number
