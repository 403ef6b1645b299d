"""Room time: it follows the events' own time, moves on between them, and never goes back."""

from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream.clock import RoomClock

WALL = 1_800_000_000_000  # when the records arrive
EVENT = 1_760_000_000_000  # when it happened: a recording of last year


class Step(NamedTuple):
    """`passed_ms` after the last arrival (possibly before it), an event of EVENT + `ts`, or none."""

    passed_ms: int
    ts: int | None


def run(steps: list[Step], speed: int = 1) -> list[int]:
    """Room time after each step."""
    clock, arrived, times = RoomClock(), WALL, []
    for step in steps:
        arrived += step.passed_ms // speed
        clock.arrive(arrived)
        if step.ts is not None:
            clock.see(EVENT + step.ts)
        times.append(clock.now_ms)
    return times


scripts = st.lists(st.builds(Step, st.integers(-5_000, 60_000), st.none() | st.integers(0, 600_000)), max_size=30)


def test_before_the_first_event_there_is_no_room_time() -> None:
    """Arrivals alone say nothing about when things happened."""
    assert run([Step(0, None), Step(5_000, None)]) == [0, 0]


def test_it_is_the_newest_event_and_what_has_passed_since_it_arrived() -> None:
    """The wall is 40 million seconds ahead and does not matter."""
    assert run([Step(0, 0), Step(700, None), Step(300, 500), Step(200, None)]) == [
        EVENT,
        EVENT + 700,
        EVENT + 1_000,
        EVENT + 1_000,
    ]


def test_a_newer_event_starts_the_count_again() -> None:
    """An event of second 10 that arrives now means it is second 10 now."""
    assert run([Step(0, 0), Step(1_000, 10_000), Step(500, None)])[-1] == EVENT + 10_500


def test_an_older_event_changes_nothing() -> None:
    """Stragglers neither set it back nor restart the count."""
    assert run([Step(0, 10_000), Step(1_000, 2_000), Step(1_000, None)])[1:] == [EVENT + 11_000, EVENT + 12_000]


def test_an_arrival_out_of_order_is_no_time_passed() -> None:
    """Two gateways' clocks differ: the running maximum counts."""
    assert run([Step(0, 0), Step(5_000, None), Step(-3_000, None), Step(3_000, None), Step(1_000, None)]) == [
        EVENT + ms for ms in (0, 5_000, 5_000, 5_000, 6_000)
    ]


@given(scripts)
def test_it_never_goes_back(steps: list[Step]) -> None:
    """Whatever arrives, in whatever order."""
    times = run(steps)

    assert times == sorted(times)


@given(scripts)
def test_it_is_never_behind_the_newest_event(steps: list[Step]) -> None:
    """What has happened has happened."""
    newest = 0
    for step, now_ms in zip(steps, run(steps), strict=True):
        newest = max(newest, EVENT + step.ts) if step.ts is not None else newest
        assert now_ms >= newest


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=30), st.integers(1, 1_000))
def test_a_replay_at_any_speed_shows_the_same_time_at_every_event(gaps: list[int], speed: int) -> None:
    """In order, at speed 1 or more, room time at each event is the event's own."""
    at, steps = 0, []
    for gap in gaps:
        at += gap
        steps.append(Step(gap, at))

    assert run(steps, speed) == [EVENT + step.ts for step in steps if step.ts is not None]


@given(scripts, st.integers(0, 30), scripts)
def test_a_timer_changes_nothing_that_is_seen_later(steps: list[Step], at: int, ticks: list[Step]) -> None:
    """Extra looks at the clock between two arrivals, none beyond the next, leave every later time as it was."""
    plain, looked = RoomClock(), RoomClock()
    arrived = WALL
    for n, step in enumerate(steps):
        before, arrived = arrived, max(arrived, arrived + step.passed_ms)
        if n == at:
            for tick in ticks:
                looked.arrive(min(arrived, before + abs(tick.passed_ms)))
        for clock in (plain, looked):
            clock.arrive(arrived)
            if step.ts is not None:
                clock.see(EVENT + step.ts)
        assert looked.now_ms == plain.now_ms


@given(scripts, scripts)
def test_a_restored_clock_goes_on_the_same(before: list[Step], after: list[Step]) -> None:
    """Snapshot in between, as msgpack."""
    first, second = RoomClock(), RoomClock()
    arrived = WALL

    def feed(clock: RoomClock, steps: list[Step], arrived: int) -> int:
        for step in steps:
            arrived += step.passed_ms
            clock.arrive(arrived)
            if step.ts is not None:
                clock.see(EVENT + step.ts)
        return arrived

    arrived = feed(first, before, arrived)
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))
    feed(first, after, arrived)
    feed(second, after, arrived)

    assert second.snapshot() == first.snapshot()
