"""What a room says depends on its events and their times: not on chunks, timers, restarts or order within the bound."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.settings import Settings, load_playbook
from stream.events import RoomEvent, decode
from stream.room import Output, RoomConfig, RoomState
from stream.view import Line
from tests.simulation import shows
from tests.unit.rooms import columns_of, written

PLAYBOOK = load_playbook(Settings())
CONFIG = RoomConfig(line_every_s=10)
Arrivals = list[tuple[int, RoomEvent]]
limits = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def new() -> RoomState:
    """A room that has seen nothing."""
    return RoomState("r", PLAYBOOK, CONFIG)


def decoded(found: Sequence[tuple[int, dict[str, Any]]]) -> Arrivals:
    """Arrivals as the room takes them."""
    return [(arrived_ms, decode(msgspec.json.encode(event))) for arrived_ms, event in found]


def said(arrivals: Arrivals, between: Callable[[RoomState, int], RoomState] = lambda room, _: room) -> list[Output]:
    """All that a room says to `arrivals`; `between` gets it before each, with the time of its arrival."""
    room, words = new(), []
    for arrived_ms, event in arrivals:
        words += room.drain()
        room = between(room, arrived_ms)
        room.apply(event, arrived_ms)
        words += room.drain()
    room.finish()
    assert room.late == 0
    return words + room.drain()


def lines(words: Sequence[Output]) -> list[Line]:
    """Of all that was said, the numbers."""
    return [word for word in words if isinstance(word, Line)]


def made() -> st.SearchStrategy[Arrivals]:
    """A room's events in the order of their arrival."""
    return st.tuples(shows.moments(), shows.habits()).map(lambda show: decoded(shows.arrivals(*show, "r")))


def busy(seed: int) -> Arrivals:
    """The same, more of it."""
    return decoded(shows.arrivals(shows.busy_moments(seed, 250), shows.Habits(counts=seed % 2 == 0), "r"))


Between = Callable[[RoomState, int], RoomState]


def timer(chance: random.Random) -> Between:
    """Ticks up to twice before an arrival."""

    def tick(room: RoomState, arrived_ms: int) -> RoomState:
        for _ in range(chance.randrange(3)):
            room.advance(chance.randint(max(room.clock.arrived_ms, arrived_ms - 20_000), arrived_ms))
        return room

    return tick


def restarts(chance: random.Random) -> Between:
    """One arrival in ten meets a room read back from a snapshot."""

    def restart(room: RoomState, _: int) -> RoomState:
        if chance.random() < 0.9:
            return room
        restored = new()
        restored.restore(room.snapshot())
        return restored

    return restart


@limits
@given(arrivals=made(), chance=st.randoms(use_true_random=False))
def test_timers_change_nothing(arrivals: Arrivals, chance: random.Random) -> None:
    """A timer may close seconds between arrivals as often as it likes: lines, prompts and their ids stay the same."""
    assert said(arrivals, timer(chance)) == said(arrivals)


@limits
@given(arrivals=made(), chance=st.randoms(use_true_random=False))
def test_a_restored_room_goes_on(arrivals: Arrivals, chance: random.Random) -> None:
    """A room that is written down and read back anywhere says the same, to the byte."""
    assert msgspec.json.encode(said(arrivals, restarts(chance))) == msgspec.json.encode(said(arrivals))


def in_chunks(arrivals: Arrivals, sizes: Callable[[], int]) -> tuple[list[Output], RoomState]:
    """All that a room says to arrivals that come several at a time, and how it stands then."""
    room, place, words = new(), 0, list[Output]()
    while place < len(arrivals):
        chunk = arrivals[place : place + sizes()]
        columns = (written if place % 2 else columns_of)([event for _, event in chunk])
        assert room.apply_all(columns, np.array([arrived_ms for arrived_ms, _ in chunk])) == []
        words += room.drain()
        place += len(chunk)
    room.finish()
    return words + room.drain(), room


def one_at_a_time(arrivals: Arrivals) -> tuple[list[Output], RoomState]:
    """The same one by one."""
    room = new()
    for arrived_ms, event in arrivals:
        room.apply(event, arrived_ms)
    room.finish()
    return room.drain(), room


def agree_in_chunks(arrivals: Arrivals, sizes: Callable[[], int]) -> None:
    """Both ways the room says the same and stands the same."""
    (words, room), (wanted, other) = in_chunks(arrivals, sizes), one_at_a_time(arrivals)

    assert msgspec.json.encode(words) == msgspec.json.encode(wanted)
    assert facts(room) == facts(other)


def facts(room: RoomState) -> Any:
    """A room's whole state, its sets in order."""
    state = msgspec.msgpack.decode(room.snapshot(), strict=False)
    seen = state["entrance"]["seen"]
    seen |= {name: sorted(held, key=repr) for name, held in seen.items() if isinstance(held, list)}
    state["tally"]["known"] = [sorted(held) if isinstance(held, list) else held for held in state["tally"]["known"]]
    return state


@limits
@given(arrivals=made(), chance=st.randoms(use_true_random=False))
def test_chunks_change_nothing(arrivals: Arrivals, chance: random.Random) -> None:
    """However many events come at a time: words, prompt ids and state are those of one at a time."""
    agree_in_chunks(arrivals, lambda: chance.choice((1, 2, 5, 20, 100)))


@pytest.mark.parametrize("seed", range(6))
def test_chunks_change_nothing_in_busy_rooms(seed: int) -> None:
    """Nor where much happens, with stragglers, repeats, mended times and whole minutes at a time."""
    chance = random.Random(seed)
    arrivals = busy(seed)
    for place in range(0, len(arrivals), 7):  # some come again
        arrivals.insert(chance.randrange(place, len(arrivals)), arrivals[chance.randrange(place + 1)])
    newest_ms = 0
    for place, (arrived_ms, event) in enumerate(arrivals):
        newest_ms = max(newest_ms, arrived_ms)
        arrivals[place] = (newest_ms, msgspec.structs.replace(event, stamped=place % 5 == 0))
    agree_in_chunks(arrivals, lambda: chance.choice((3, 40, 400)))


@pytest.mark.parametrize("seed", range(4))
def test_busy_rooms_are_as_steady(seed: int) -> None:
    """The same for rooms in which much happens."""
    arrivals, chance = busy(seed), random.Random(seed)
    words = msgspec.json.encode(said(arrivals))

    assert msgspec.json.encode(said(arrivals, timer(chance))) == words
    assert msgspec.json.encode(said(arrivals, restarts(chance))) == words


def shuffled(moments: Sequence[shows.Moment], habit: shows.Habits, chance: random.Random) -> Arrivals:
    """The moments' events, no two at the same time, in one of the orders that the bound allows."""
    events = [event for _, event in shows.arrivals(moments, replace(habit, ids=False), "r")]
    events.sort(key=lambda event: (event["ts"], msgspec.json.encode(event)))
    last_ms = 0
    for event in events:
        last_ms = event["ts"] = max(last_ms + 1, event["ts"])
    events.sort(key=lambda event: event["ts"] + chance.randrange(3_000))
    newest_ms = [max(event["ts"] for event in events[: n + 1]) for n in range(len(events))]
    return decoded(list(zip(newest_ms, events, strict=True)))


def agree(moments: Sequence[shows.Moment], habit: shows.Habits, chance: random.Random) -> None:
    """Two orders, the same lines."""
    once, again = (lines(said(shuffled(moments, habit, chance))) for _ in range(2))
    differ = [
        (one.at_ms, key, held, other.numbers.get(key))
        for one, other in zip(once, again, strict=True)
        for key, held in one.numbers.items()
        if held != other.numbers.get(key)
    ]

    assert differ == []
    assert [plain(line) for line in once] == [plain(line) for line in again]


def plain(line: Line) -> dict[str, Any]:
    """The line without the order in which products and parts were first heard of."""
    built: dict[str, Any] = msgspec.to_builtins(line)
    return built


@limits
@given(moments=shows.moments(), habit=shows.habits(), chance=st.randoms(use_true_random=False))
def test_order_within_the_bound_changes_nothing(
    moments: list[shows.Moment], habit: shows.Habits, chance: random.Random
) -> None:
    """Events that come in another order, none more than the lateness late, give the same lines."""
    agree(moments, habit, chance)


@pytest.mark.parametrize("seed", range(4))
def test_order_changes_nothing_in_busy_rooms(seed: int) -> None:
    """Nor where much happens."""
    agree(shows.busy_moments(seed, 250), shows.Habits(counts=seed % 2 == 0), random.Random(seed))


def test_a_timer_decides_no_lateness() -> None:
    """An event that comes long after the one before it is late with and without a timer in between."""
    room = {True: new(), False: new()}
    for timed, one in room.items():
        one.apply(chat(10), shows.BEGIN_MS + 10_000)
        if timed:
            one.advance(shows.BEGIN_MS + 14_000)
        one.apply(chat(12), shows.BEGIN_MS + 100_000)
        one.finish()

    assert room[True].drain() == room[False].drain()
    assert room[True].late == room[False].late == 1


def chat(second: int) -> RoomEvent:
    """A chat message of that second."""
    return decode(b'{"type":"chat","room":"r","text":"1","ts":%d}' % (shows.BEGIN_MS + 1_000 * second))


def test_an_empty_room_says_nothing() -> None:
    """No event, no line, whatever the time."""
    room = new()
    room.advance(shows.BEGIN_MS)
    room.finish()

    assert room.drain() == []


SHARES = ("interaction_rate", "follow_rate", "fanclub_rate", "view_pay_rate", "repeat_rate")
COUNTS = ("joins", "viewers", "chats", "likes", "carts", "orders_paid", "buyers", "gmv_paid", "refunds", "gift_value")


@pytest.mark.parametrize("seed", range(4))
def test_numbers_stay_within_their_bounds(seed: int) -> None:
    """Longer windows hold what shorter ones do; shares of people lie in [0, 1]; the peak is no less than now."""
    found = lines(said(busy(seed)))
    for line in found:
        numbers = line.numbers
        values = {key: number.value for key, number in numbers.items() if number.value is not None}
        for name in COUNTS:
            held = [values[key] for w in ("1m", "5m", "10m", "show") if (key := f"{name}_{w}") in values]
            assert held == sorted(held)
        shares = [f"{name}_{w}" for name in SHARES for w in ("1m", "10m", "show")] + ["over_1min_rate_show"]
        assert all(0 <= values.get(key, 0) <= 1 for key in [*shares, "retention_30s", "retention_300s"])
        if numbers["online_1m"].den == 60:
            assert values["peak_online"] >= values["online_1m"]

    assert len(found) > 50
