"""Rolling sums and distinct counts against brute force, against drawings, and across snapshots.

In a drawing a column is 30 seconds; `events` is what happens at its first second, a window's row is its sum at its end.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.panes import Panes
from stream.windows import SPAN_S, WINDOWS_S, Buckets, Distinct, settle

START = 1_760_000_017  # in the middle of a minute, and of the ring
ROWS = {window: row for row, window in enumerate(WINDOWS_S)}
EDGES = (0, 1, 2, 59, 60, 61, 299, 300, 301, 599, 600, 601, 1_199, 1_200, 1_201, 1_260)


def drawing(text: str) -> dict[str, list[str]]:
    """The rows of a drawing by name, one entry a column."""
    return {name: columns for name, *columns in (line.split() for line in text.strip().splitlines())}


def column_ends(n: int) -> Iterable[tuple[int, range]]:
    """(column, its seconds) of a drawing."""
    return ((column, range(START + 30 * column, START + 30 * (column + 1))) for column in range(n))


# --- drawings


@pytest.mark.parametrize(
    "text",
    [
        """
        events  2 . . . . . . . . . . . . . . . . . . . . . .
        1m      2 2 . . . . . . . . . . . . . . . . . . . . .
        5m      2 2 2 2 2 2 2 2 2 2 . . . . . . . . . . . . .
        10m     2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 . . .
        show    2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2
        """,
        """
        events  1 1 1 1 1 1 1 1 1 1  1  1  .  .  3
        1m      1 2 2 2 2 2 2 2 2 2  2  2  1  .  3
        5m      1 2 3 4 5 6 7 8 9 10 10 10 9  8  10
        10m     1 2 3 4 5 6 7 8 9 10 11 12 12 12 15
        show    1 2 3 4 5 6 7 8 9 10 11 12 12 12 15
        """,
    ],
)
def test_a_window_holds_what_the_drawing_shows(text: str) -> None:
    """[T - W, T): an event leaves exactly when the window's beginning has passed it."""
    rows = drawing(text)
    buckets = Buckets(2)
    buckets.start(START)
    found: dict[str, list[str]] = {name: [] for name in ("1m", "5m", "10m", "show")}
    for column, seconds in column_ends(len(rows["events"])):
        if rows["events"][column] != ".":
            buckets.add(1, seconds.start, int(rows["events"][column]))
        for _ in seconds:
            buckets.step()
        for window, row in ROWS.items():
            found[window].append(str(buckets.totals[row, 1] or "."))
        found["show"].append(str(buckets.show[1] or "."))

    assert found == {name: rows[name] for name in found}
    assert not buckets.totals[:, 0].any()


def test_the_edges_of_a_window_are_half_open() -> None:
    """Drawn for the minute: seen in second 0, counted at the ends 1 to 60, gone at 61.

    second    0   1   2  …  59  60  61
    event     x
    [T-60,T)  └──────────────┘           T = 60 still holds it
                  └──────────────┘       T = 61 does not
    """
    buckets = Buckets(1)
    buckets.start(START)
    buckets.add(0, START, 1)
    sums = []
    for _ in range(62):
        buckets.step()
        sums.append(int(buckets.totals[ROWS["1m"], 0]))

    assert sums == [1] * 60 + [0] * 2


def test_a_key_is_counted_once_and_stays_while_it_was_last_seen_in_the_window() -> None:
    """Drawn: `a` comes twice, `b` once; the second `a` moves it to the later second."""
    rows = drawing(
        """
        events  a b a . . . . . . . .  .  .  .
        1m      1 2 2 1 . . . . . . .  .  .  .
        5m      1 2 2 2 2 2 2 2 2 2 2  1  .  .
        show    1 2 2 2 2 2 2 2 2 2 2  2  2  2
        """
    )
    buckets, people = Buckets(1), Distinct(0, 100)
    buckets.start(START)
    found: dict[str, list[str]] = {name: [] for name in ("1m", "5m", "show")}
    for column, seconds in column_ends(len(rows["events"])):
        if rows["events"][column] != ".":
            people.see(rows["events"][column], seconds.start, buckets)
        for _ in seconds:
            settle([people], buckets)
            buckets.step()
        found["1m"].append(str(buckets.totals[ROWS["1m"], 0] or "."))
        found["5m"].append(str(buckets.totals[ROWS["5m"], 0] or "."))
        found["show"].append(str(len(people.last)))

    assert found == {name: rows[name] for name in found}


# --- brute force

amounts = st.integers(1, 10**12)
steps = st.lists(
    st.tuples(
        st.sampled_from(EDGES),  # seconds that pass before
        st.integers(0, 1),  # series
        amounts,
        st.sampled_from((0, *EDGES)),  # how late the event is; 0: in the second being closed
    ),
    min_size=1,
    max_size=7,
)


def replay(buckets: Buckets, script: list[tuple[int, int, int, int]], put: Callable[[int, int, int], None]) -> None:
    """Move `buckets` along the script; each event is put at its second, no earlier than the start."""
    for gap, series, amount, late in script:
        for _ in range(gap):
            buckets.step()
        put(series, max(START, buckets.end_s - late), amount)
    buckets.step()


@settings(max_examples=60)
@given(steps)
def test_sums_equal_brute_force(script: list[tuple[int, int, int, int]]) -> None:
    """Every window, any slice, each minute and the show, with events as late as one likes."""
    buckets = Buckets(2)
    buckets.start(START)
    held: list[tuple[int, int, int]] = []

    def put(series: int, second: int, amount: int) -> None:
        buckets.add(series, second, amount)
        held.append((series, second, amount))

    replay(buckets, script, put)

    def brute(series: int, start_s: int, end_s: int) -> int:
        return sum(amount for one, second, amount in held if one == series and start_s <= second < end_s)

    end_s = buckets.end_s
    for series in (0, 1):
        for window, size in WINDOWS_S.items():
            assert buckets.totals[ROWS[window], series] == brute(series, end_s - size, end_s)
        assert buckets.show[series] == brute(series, 0, end_s)
        for start_s in (end_s - SPAN_S, end_s - 61, end_s - 1, end_s - 700):
            for stop_s in (start_s, start_s + 1, start_s + 60, end_s):
                assert buckets.between(series, start_s, stop_s) == brute(series, start_s, min(stop_s, end_s))
        for minute, sums in buckets.minutes.items():
            assert sums[series] == brute(series, 60 * minute, 60 * minute + 60)
        assert sum(int(sums[series]) for sums in buckets.minutes.values()) == buckets.show[series]
        assert buckets.per_minute(series, end_s, 16) == [
            brute(series, end_s - 60 * k, end_s - 60 * (k - 1)) for k in range(16, 0, -1)
        ]


def test_a_slice_beyond_what_is_held_is_cut() -> None:
    """Older than the span, or not yet closed: nothing is invented."""
    buckets = Buckets(1)
    buckets.start(START)
    for _ in range(SPAN_S + 5):
        buckets.add(0, buckets.end_s, 1)
        buckets.step()

    assert buckets.between(0, START, START + 10**6) == SPAN_S
    assert buckets.between(0, START, START + 5) == 0
    assert buckets.between(0, START + 10, START + 10) == 0
    assert buckets.between(0, START + 20, START + 10) == 0


@settings(max_examples=30)
@given(st.integers(SPAN_S + 1, 10**5), st.integers(0, 10**6), st.sampled_from(EDGES), amounts)
def test_skipping_equals_stepping(skipped: int, each: int, before: int, amount: int) -> None:
    """Seconds that are all alike, skipped in one go, leave every window and the show as if they were closed singly."""
    buckets = Buckets(2)
    buckets.start(START)
    buckets.add(0, START, amount)
    for _ in range(before + 1):
        buckets.step()
    buckets.skip(skipped, [0, each])

    end_s = START + before + 1 + skipped
    assert (buckets.end_s, buckets.edge_s) == (end_s, end_s)
    assert buckets.totals.tolist() == [[0, each * size] for size in WINDOWS_S.values()]
    assert buckets.show.tolist() == [amount, each * skipped]
    assert buckets.between(1, end_s - 70, end_s - 3) == 67 * each
    for _ in range(601):
        buckets.step()
    assert not buckets.totals.any()
    assert buckets.between(1, 0, buckets.end_s) == each * (SPAN_S - 601)


keys = st.integers(0, 60).map(str)
sightings = st.lists(
    st.tuples(st.sampled_from(EDGES), st.lists(keys, max_size=50), st.sampled_from((0, 0, *EDGES))),
    min_size=1,
    max_size=7,
)


@settings(max_examples=60)
@given(sightings, st.booleans())
@example([(0, [str(n) for n in range(50)], 0), (1_201, [str(n) for n in range(50)], 0)], False)
@example([(0, [str(n) for n in range(50)], 0), (1_199, [str(n) for n in range(20, 60)], 0), (1, ["1"], 600)], True)
def test_distinct_counts_equal_brute_force(script: list[tuple[int, list[str], int]], at_once: bool) -> None:
    """In every window, the number of different keys seen in it, singly or all at once, however late."""
    buckets, people = Buckets(1), Distinct(0, 1_000)
    buckets.start(START)
    held: list[tuple[str, int]] = []

    def close() -> None:
        settle([people], buckets)
        buckets.step()

    def check() -> None:
        for window, size in WINDOWS_S.items():
            inside = {key for key, second in held if buckets.end_s - size <= second < buckets.end_s}
            assert buckets.totals[ROWS[window], 0] == len(inside)
        assert len(people.last) == len({key for key, _ in held})

    for gap, seen, late in script:
        for _ in range(gap):
            close()
        second = max(START, buckets.end_s - late)
        if at_once and seen:
            people.see_all(set(seen), second, buckets)
        for key in seen:
            if not at_once:
                people.see(key, second, buckets)
            held.append((key, second))
        if second < buckets.end_s:
            check()
        close()
        check()


def test_beyond_its_limit_a_distinct_count_says_so() -> None:
    """Keys already known go on being counted; new ones are not, and `full` is set."""
    buckets, people = Buckets(1), Distinct(0, 2)
    buckets.start(START)
    for key in ("a", "b"):
        people.see(key, START, buckets)
    assert not people.full

    people.see("c", START, buckets)
    settle([people], buckets)
    buckets.step()
    people.see("a", START + 1, buckets)
    settle([people], buckets)
    buckets.step()
    assert people.full
    assert buckets.totals[0, 0] == 2
    people.clear()
    assert (people.full, people.last) == (False, {})


def test_all_at_once_keeps_the_limit_too() -> None:
    """Where not all of them fit, those that do are counted and `full` is set."""
    buckets, people = Buckets(1), Distinct(0, 3)
    buckets.start(START)
    people.see_all({"a", "b"}, START, buckets)
    assert not people.full
    people.see_all({"a", "c", "d"}, START, buckets)
    settle([people], buckets)
    buckets.step()

    assert (people.full, len(people.last), buckets.totals[0, 0]) == (True, 3, 3)


# --- panes

pane_steps = st.lists(
    st.tuples(st.sampled_from(EDGES), st.sampled_from("abc"), st.integers(0, 1), amounts, st.sampled_from((0, *EDGES))),
    min_size=1,
    max_size=7,
)


@settings(max_examples=60)
@given(pane_steps, st.booleans())
def test_panes_equal_brute_force(script: list[tuple[int, str, int, int, int]], saved: bool) -> None:
    """Per key: every window and the show, however late; a snapshot in between changes nothing."""
    panes = Panes(2)
    panes.start(START)
    held: list[tuple[str, int, int, int]] = []
    for gap, key, series, amount, late in script:
        for _ in range(gap + 1):
            panes.step()
        second = max(START, panes.end_s - 1 - late)
        panes.add(key, series, second, amount)
        held.append((key, series, second, amount))
        if saved:
            again = Panes(2)
            again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(panes.snapshot())))
            panes = again

    end_s = panes.end_s

    def brute(key: str, series: int, size: int) -> int:
        inside = [one for one in held if one[:2] == (key, series) and end_s - size <= one[2] < end_s]
        return sum(amount for *_, amount in inside)

    for key in {key for key, *_ in held}:
        for series in (0, 1):
            expected = [brute(key, series, size) for size in (*WINDOWS_S.values(), 10**9)]
            assert [row[series] for row in panes.totals[key]] == expected
    recent = {key for key, _, second, _ in held if end_s - 600 <= second}
    assert set(panes.active()) == recent


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(EDGES), st.sets(st.sampled_from(("a1", "a2", "a3", "b1", "b2")))),
        min_size=1,
        max_size=7,
    )
)
def test_people_of_panes_equal_brute_force(script: list[tuple[int, set[str]]]) -> None:
    """New keys are added to the newest second, known ones moved to it: a distinct count a product and window."""
    panes = Panes(2)
    panes.start(START)
    last: dict[str, int] = {}
    for gap, seen in script:
        for _ in range(gap + 1):
            panes.step()
        now = panes.end_s - 1
        known = {user for user in seen if user in last}
        new = [panes.place(user[0]) + 1 for user in sorted(seen - known)]
        panes.add_newest(new, [1] * len(new))
        panes.move_newest([(panes.place(user[0]) + 1, last[user]) for user in sorted(known)])
        last |= dict.fromkeys(seen, now)
        for product in {user[0] for user in last}:
            mine = [second for user, second in last.items() if user[0] == product]
            expected = [sum(panes.end_s - second <= size for second in mine) for size in WINDOWS_S.values()]
            assert panes.totals[product] == [[0, count] for count in [*expected, len(mine)]]


def test_skipped_panes_are_empty_and_keep_the_show() -> None:
    """After a long silence only the show's sums are left."""
    panes = Panes(1)
    panes.start(START)
    panes.step()
    panes.add("a", 0, START, 5)
    panes.skip(10_000)

    assert panes.totals == {"a": [[0], [0], [0], [5]]}
    assert list(panes.active()) == []
    panes.step()
    panes.add("a", 0, panes.end_s - 1, 2)
    assert panes.totals == {"a": [[2], [2], [2], [7]]}


# --- snapshots


def same(a: Buckets, b: Buckets) -> bool:
    """Whether two hold the same sums everywhere."""
    pairs: list[tuple[Any, Any]] = [(a.ring, b.ring), (a.totals, b.totals), (a.show, b.show)]
    minutes = a.minutes.keys() == b.minutes.keys() and all(
        np.array_equal(sums, b.minutes[minute]) for minute, sums in a.minutes.items()
    )
    return a.end_s == b.end_s and minutes and all(np.array_equal(one, other) for one, other in pairs)


@settings(max_examples=30)
@given(steps, steps)
def test_restored_buckets_go_on_the_same(
    before: list[tuple[int, int, int, int]], after: list[tuple[int, int, int, int]]
) -> None:
    """Snapshot between two scripts, as msgpack; the rest of the run is the same."""
    first, second = Buckets(2), Buckets(2)
    first.start(START)
    replay(first, before, first.add)
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))
    assert same(first, second)

    for buckets in (first, second):
        replay(buckets, after, buckets.add)
    assert same(first, second)


def test_a_start_forgets_everything() -> None:
    """The next show begins with nothing, also where the ring was full and a second half closed."""
    buckets = Buckets(1)
    buckets.start(START)
    for _ in range(SPAN_S):
        buckets.add(0, buckets.end_s, 7)
        buckets.step()
    buckets.add(0, buckets.end_s, 7)
    buckets.start(START + 5_000)
    buckets.step()

    assert not buckets.ring.any()
    assert not buckets.totals.any()
    assert not buckets.show.any()
    assert buckets.minutes == {}
