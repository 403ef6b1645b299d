"""What is usual and when it has changed: simulated streams with fixed seeds, and drawings of single cases."""

from collections.abc import Iterable, Sequence
from math import comb, isnan
from typing import Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.baseline import Change, Tuning, Watch
from stream.surveying import fall_z

MINUTE_MS = 60_000
UP: Literal[1] = 1
DOWN: Literal[-1] = -1
Direction = Literal[1, -1]
STEADY = [50, 47, 52, 50, 49, 53, 48, 51]


def run(watch: Watch, counts: Iterable[int], start: int = 0) -> list[tuple[int, Change]]:
    """The changes a watch tells over minutes of counts, with the minute after which it did."""
    told = []
    for minute, count in enumerate(counts, start + 1):
        change = watch.step(count, minute * MINUTE_MS)
        if change is not None:
            told.append((minute, change))
    return told


def minutes(rng: np.random.Generator, rate: float, n: int, spread: int = 1) -> list[int]:
    """Simulated counts of mean `rate`: Poisson, or with `spread` times its variance."""
    if spread == 1:
        return [int(count) for count in rng.poisson(rate, n)]
    return [int(count) for count in rng.negative_binomial(rate / (spread - 1), 1 / spread, n)]


def false_alarms_an_hour(direction: Direction, rate: float, spread: int = 1, shows: int = 150) -> float:
    """Over steady shows of two hours."""
    rng = np.random.default_rng(1)
    return sum(len(run(Watch(direction), minutes(rng, rate, 120, spread))) for _ in range(shows)) / (2 * shows)


def delays(direction: Direction, rate: float, factor: float, shows: int = 200) -> list[int]:
    """Minutes from a shift by `factor`, half an hour into the show, to its being told; 30 where it never was."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(shows):
        watch = Watch(direction)
        if run(watch, minutes(rng, rate, 30)):
            continue  # a false alarm before the shift is counted elsewhere
        told = run(watch, minutes(rng, rate * factor, 30))
        found.append(told[0][0] if told else 30)
    return found


# --- how well it does


@pytest.mark.parametrize(
    ("direction", "rate", "bound"),
    [(UP, 30, 0.06), (UP, 60, 0.02), (UP, 100, 0.01), (DOWN, 30, 0.04), (DOWN, 60, 0.01), (DOWN, 100, 0.01)],
)
def test_a_steady_show_is_left_alone(direction: Direction, rate: float, bound: float) -> None:
    """False alarms an hour over 300 simulated hours stay below the bound: one in 15 hours at the very worst."""
    assert false_alarms_an_hour(direction, rate) <= bound


@pytest.mark.parametrize(("rate", "bound"), [(30, 0.45), (60, 0.2), (100, 0.08)])
def test_a_series_wider_than_poisson_is_not_taken_for_change(rate: float, bound: float) -> None:
    """With twice the variance the watch learns the spread: false rises stay under one in two hours."""
    assert false_alarms_an_hour(UP, rate, spread=2) <= bound


@pytest.mark.parametrize(
    ("direction", "factor", "rate", "mean", "most"),
    [
        (DOWN, 0.7, 30, 6.5, 15),
        (DOWN, 0.7, 60, 4.5, 9),
        (DOWN, 0.7, 100, 3.8, 7),
        (UP, 1.8, 30, 2.3, 3),
        (UP, 1.8, 60, 2.1, 3),
        (UP, 1.8, 100, 2.1, 2),
    ],
)
def test_a_lasting_shift_is_found_within_minutes(
    direction: Direction, factor: float, rate: float, mean: float, most: int
) -> None:
    """Average delay and 95th percentile over 200 simulated shifts."""
    found = delays(direction, rate, factor)

    assert len(found) >= 150
    assert float(np.mean(found)) <= mean
    assert float(np.percentile(found, 95)) <= most


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_the_other_direction_is_not_its_business(direction: Direction) -> None:
    """A watch for rises is silent in a fall, and the reverse."""
    assert run(Watch(direction), [*STEADY * 3, *[30 if direction == UP else 90] * 10]) == []


def test_a_small_shift_is_of_no_interest() -> None:
    """A level 10 % higher, with no noise at all, is never told however long it lasts."""
    assert run(Watch(UP), [1_000] * 20 + [1_100] * 200) == []


# --- single cases


def test_nothing_is_known_before_it_is_learnt() -> None:
    """The level is None for the first minutes, and no change is told in them."""
    watch = Watch(UP)
    known = []
    for minute, count in enumerate([*STEADY, 50, 50], 1):
        assert watch.step(count, minute * MINUTE_MS) is None
        known.append(watch.level is not None)

    assert known == [False] * 7 + [True] * 3


@pytest.mark.parametrize("burst", [0, 500, 10_000])
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_one_burst_neither_alarms_nor_moves_the_level(direction: Direction, burst: int) -> None:
    """A minute of nothing, or of 200 times as much, moves the level by less than 2 % and tells nothing."""
    watch = Watch(direction)
    told = run(watch, STEADY * 2)
    before = watch.level
    told += run(watch, [burst, *STEADY], start=16)

    assert told == []
    assert before is not None
    assert watch.level == pytest.approx(before, rel=0.02)


@pytest.mark.parametrize("burst", [0, 5_000])
def test_one_burst_while_learning_is_no_level(burst: int) -> None:
    """The lowest and the highest of the first minutes are left out."""
    watch = Watch(UP)
    run(watch, [*STEADY[:3], burst, *STEADY[4:]])

    assert watch.level == pytest.approx(50, abs=2)


def test_a_change_is_told_once_with_where_it_began_and_learnt_as_the_new_level() -> None:
    """Drawn: eight minutes of about 50, then 90 for good. One change, then quiet at the new level."""
    watch = Watch(UP)
    told = run(watch, [*STEADY, *[90] * 30])

    assert [minute for minute, _ in told] == [10]
    assert told[0][1] == Change(before=watch_level(STEADY), after=90.0, steps=2)
    assert watch.level == pytest.approx(90)


def watch_level(counts: Sequence[int]) -> float:
    """The level learnt from these counts: their mean without the lowest and the highest."""
    kept = sorted(counts)[1:-1]
    return sum(kept) / len(kept)


def test_a_burst_we_caused_ourselves_is_not_seen() -> None:
    """While held, minutes neither alarm nor teach; the first minute that begins after the hold counts again."""
    watch = Watch(UP)
    run(watch, STEADY)
    watch.hold(11 * MINUTE_MS)
    held = watch.snapshot()

    assert run(watch, [400, 400, 400], start=8) == []
    assert watch.snapshot() == held
    assert [minute for minute, _ in run(watch, [400, 400], start=11)] == [13]


def test_a_hold_is_never_shortened() -> None:
    """A second, shorter hold leaves the first."""
    watch = Watch(UP)
    run(watch, STEADY)
    watch.hold(20 * MINUTE_MS)
    watch.hold(10 * MINUTE_MS)

    assert run(watch, [400] * 12, start=8) == []


def test_a_series_of_zeros_is_a_level_too() -> None:
    """Nothing divides by the level: a quiet series is learnt, and its end is told."""
    watch = Watch(UP)
    told = run(watch, [0] * 20 + [6] * 4)

    assert [minute for minute, _ in told] == [22]


@given(
    st.lists(st.integers(0, 10**6), max_size=60),
    st.integers(0, 60),
    st.sampled_from([UP, DOWN]),
    st.none() | st.integers(1, 60),
)
def test_a_restored_watch_goes_on_the_same(counts: list[int], at: int, direction: Direction, held: int | None) -> None:
    """Snapshot anywhere, as msgpack, restore: the same changes at the same minutes."""
    whole, first, second = Watch(direction), Watch(direction), Watch(direction)
    for watch in (whole, first):
        if held is not None:
            watch.hold(held * MINUTE_MS)
    told = run(first, counts[:at])
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))

    assert told + run(second, counts[at:], start=len(counts[:at])) == run(whole, counts)


@given(st.lists(st.integers(0, 10**9), max_size=80), st.sampled_from([UP, DOWN]))
def test_any_counts_leave_a_usable_level(counts: list[int], direction: Direction) -> None:
    """Whatever comes, the level lies between the lowest and the highest count and the spread is at least Poisson's."""
    watch = Watch(direction)
    run(watch, counts)

    assert watch.spread >= 1
    if watch.level is not None:
        assert min(counts) - 1e-6 <= watch.level <= max(counts) * (1 + 1e-9)


def test_steps_may_be_of_any_length() -> None:
    """A watch of 10-second steps holds and learns by its own step."""
    watch = Watch(UP, Tuning(step_ms=10_000, learn=3))
    for n in range(1, 4):
        watch.step(20, n * 10_000)
    watch.hold(35_000)

    assert watch.level == 20
    assert watch.step(500, 40_000) is None
    assert watch.snapshot()[3] == 0.0
    watch.step(500, 50_000)
    assert watch.snapshot()[3] > 0.0


# --- single tests


def test_a_fall_is_as_surprising_as_the_sign_test_says() -> None:
    """Given the sum, the exact tail of Binomial(sum, 1/2) beyond z = 3 is within a factor of two of the normal's."""
    for both in (60, 100, 400):
        tail = sum(comb(both, then) for then in range(both + 1) if fall_z(both - then, then) >= 3) / 2**both
        assert 0.00135 / 2 <= tail <= 0.00135 * 2


def test_falls_by_chance_are_as_rare_as_normal() -> None:
    """Over 200,000 pairs of equal Poisson counts, z has mean 0, variance 1 and passes 3 in 0.1 to 0.2 % of cases."""
    rng = np.random.default_rng(3)
    pairs = rng.poisson(80, (200_000, 2))
    z = np.array([fall_z(int(now), int(then)) for now, then in pairs])

    assert abs(z.mean()) < 0.01
    assert abs(z.var() - 1) < 0.02
    assert 0.001 <= (z >= 3).mean() <= 0.002


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_fall_one_way_is_a_rise_the_other(a: int, b: int) -> None:
    """The statistic changes its sign when the counts change places; of nothing it says nothing."""
    forth, back = fall_z(a, b), fall_z(b, a)
    if a == b == 0:
        assert isnan(forth)
        assert isnan(back)
    else:
        assert forth == -back
