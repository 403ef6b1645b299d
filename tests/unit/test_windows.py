"""Rolling sums and distinct counts against brute force, against drawings, and across snapshots.

In a drawing a column is 30 seconds; `events` is what happens at its first second, a window's row is its sum at its end.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from math import isnan
from operator import add, sub
from statistics import median
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream import admitting, loops, packing, surveying
from stream.events import CartAdd, Chat, ProductClick
from stream.kinds import bits
from stream.loops import KIND, NONE, ORDER, SAYS, SAYS_USER, SOURCE, USER, WHAT, Ints
from stream.memory import lazy_zeros
from stream.names import NOBODY, Names
from stream.panes import Panes
from stream.products import Shelf
from stream.waiting import CODE, KINDS, N_COLUMNS
from stream.windows import (
    NEVER,
    SPAN_S,
    WINDOWS_S,
    Buckets,
    Distinct,
    from_plain,
    plain,
    seconds_of,
    trimmed,
)

START = 1_760_000_017  # in the middle of a minute, and of the ring
ROWS = {window: row for row, window in enumerate(WINDOWS_S)}
EDGES = (0, 1, 2, 59, 60, 61, 299, 300, 301, 599, 600, 601, 1_199, 1_200, 1_201, 1_260)


def drawing(text: str) -> dict[str, list[str]]:
    """The rows of a drawing by name, one entry a column."""
    return {name: columns for name, *columns in (line.split() for line in text.strip().splitlines())}


def ints(*values: int) -> Ints:
    """Whole numbers as the core keeps them."""
    return np.array(values, np.int64)


def column_ends(n: int) -> Iterable[tuple[int, range]]:
    """(column, its seconds) of a drawing."""
    return ((column, range(START + 30 * column, START + 30 * (column + 1))) for column in range(n))


def through_msgpack(state: Any) -> Any:
    """A snapshot as it comes back from where it was kept."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state))


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


def gathered(buckets: Buckets, column: Ints, second: int) -> None:
    """What gathered for a second counts in it, as where a room closes it or hears of it later."""
    if column is not buckets.column:
        buckets.correct(second, column)


def see(people: Distinct, keys: Ints, marks: Ints, second: int | None = None) -> None:
    """Keys are seen in a second, else in the one being closed, each in the series that its mark has bits for."""
    second = people.buckets.end_s if second is None else second
    column = people.buckets.column_of(second)
    for key, mark in zip(keys.tolist(), marks.tolist(), strict=True):
        for series in range(len(people.count)):
            if key != NOBODY and mark >> series & 1:
                loops.see(people.state, column, second, people.first + series, key)
    gathered(people.buckets, column, second)


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
    buckets = Buckets(1)
    people = Distinct(0, 1, buckets)
    buckets.start(START)
    found: dict[str, list[str]] = {name: [] for name in ("1m", "5m", "show")}
    for column, seconds in column_ends(len(rows["events"])):
        if rows["events"][column] != ".":
            see(people, ints(".ab".index(rows["events"][column])), ints(1))
        for _ in seconds:
            buckets.step()
        found["1m"].append(str(buckets.totals[ROWS["1m"], 0] or "."))
        found["5m"].append(str(buckets.totals[ROWS["5m"], 0] or "."))
        found["show"].append(str(people.count[0]))

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
                assert between(buckets, series, start_s, stop_s) == brute(series, start_s, min(stop_s, end_s))
        for minute, sums in buckets.minutes.items():
            assert sums[series] == brute(series, 60 * minute, 60 * minute + 60)
        assert sum(int(sums[series]) for sums in buckets.minutes.values()) == buckets.show[series]
        for minutes in (16, 10, 3):
            mine, other = (
                [brute(one, end_s - 60 * k, end_s - 60 * (k - 1)) for k in range(minutes, 0, -1)]
                for one in (series, 1 - series)
            )
            assert usual(buckets, ints(series), ints(), end_s, minutes) == median(mine)
            assert usual(buckets, ints(0, 1), ints(), end_s, minutes) == median(map(add, mine, other))
            assert usual(buckets, ints(series), ints(1 - series), end_s, minutes) == median(map(sub, mine, other))
        assert [usual(buckets, ints(series), ints(), end_s, minutes) for minutes in (-1, 0, 2)] == [None] * 3


def between(buckets: Buckets, series: int, start_s: int, stop_s: int) -> int:
    """The sum of a series over any seconds."""
    return int(surveying.between(buckets.ring, buckets.end_s, series, start_s, stop_s))


def usual(buckets: Buckets, plus: Ints, less: Ints, stop_s: int, minutes: int) -> float | None:
    """The median of minutes; None of too few."""
    level: float = surveying.usual(buckets.ring, buckets.end_s, plus, less, stop_s, minutes)
    return None if isnan(level) else level


def test_a_slice_beyond_what_is_held_is_cut() -> None:
    """Older than the span, or not yet closed: nothing is invented."""
    buckets = Buckets(1)
    buckets.start(START)
    for _ in range(SPAN_S + 5):
        buckets.add(0, buckets.end_s, 1)
        buckets.step()

    assert between(buckets, 0, START, START + 10**6) == SPAN_S
    assert between(buckets, 0, START, START + 5) == 0
    assert between(buckets, 0, START + 10, START + 10) == 0
    assert between(buckets, 0, START + 20, START + 10) == 0


@settings(max_examples=30)
@given(st.integers(SPAN_S + 1, 10**5), st.integers(0, 10**6), st.sampled_from(EDGES), amounts)
def test_skipping_equals_stepping(skipped: int, each: int, before: int, amount: int) -> None:
    """Seconds that are all alike, skipped in one go, leave every window and the show as if they were closed singly."""
    buckets = Buckets(2)
    buckets.start(START)
    buckets.add(0, START, amount)
    for _ in range(before + 1):
        buckets.step()
    buckets.skip(skipped, ints(0, each))

    end_s = START + before + 1 + skipped
    assert (buckets.end_s, buckets.edge_s) == (end_s, end_s)
    assert buckets.totals.tolist() == [[0, each * size] for size in WINDOWS_S.values()]
    assert buckets.show.tolist() == [amount, each * skipped]
    assert between(buckets, 1, end_s - 70, end_s - 3) == 67 * each
    for _ in range(601):
        buckets.step()
    assert not buckets.totals.any()
    assert between(buckets, 1, 0, buckets.end_s) == each * (SPAN_S - 601)


# --- distinct keys

SERIES = 2  # of the same sort of keys; a key's mark has a bit for each
sighting = st.tuples(st.integers(NOBODY, 60), st.integers(0, 3))  # key, mark
sightings = st.lists(
    st.tuples(st.sampled_from(EDGES), st.lists(sighting, max_size=50), st.sampled_from((0, 0, *EDGES))),
    min_size=1,
    max_size=7,
)
Sightings = list[tuple[int, list[tuple[int, int]], int]]
WAYS = ("singly", "as users")


def rows_of(users: Ints, kinds: Ints) -> Ints:
    """Rows of events that say who and what alone."""
    rows = np.zeros((len(users), N_COLUMNS), np.int64)
    rows[:, USER], rows[:, KIND] = users, kinds
    return rows


class Crowd:
    """Two distinct counts behind a series of another kind, and all that was ever seen of them."""

    def __init__(self, way: str = "singly") -> None:
        self.way = way
        self.buckets = Buckets(1 + SERIES)
        self.buckets.start(START)
        self.people = Distinct(1, SERIES, self.buckets)
        self.held: list[tuple[int, int, int]] = []  # series, key, second

    def see(self, seen: list[tuple[int, int]], late: int) -> int:
        """In the second being closed, or `late` seconds before; returns that second."""
        second = max(START, self.buckets.end_s - late)
        keys, marks = np.array(seen, np.int64).reshape(-1, 2).T.copy()
        self.people.make_room(int(keys.max(initial=0)))
        if self.way == "singly":
            see(self.people, keys, marks, second)
        else:
            column = self.buckets.column_of(second)
            by_kind = np.array([(NONE, NONE, *series) for series in ((NONE, NONE), (1, NONE), (2, NONE), (1, 2))])
            loops.see_users(self.people.state, column, second, rows_of(keys, marks), by_kind)
            gathered(self.buckets, column, second)
        self.held += [
            (series, key, second) for key, mark in seen if key != NOBODY for series in (0, 1) if mark >> series & 1
        ]
        return second

    def check(self) -> None:
        """Every count equals the number of keys among all that were seen."""
        end_s = self.buckets.end_s
        for series in range(SERIES):
            mine = [(key, second) for one, key, second in self.held if one == series]
            for window, size in WINDOWS_S.items():
                inside = {key for key, second in mine if end_s - size <= second < end_s}
                assert self.buckets.totals[ROWS[window], 1 + series] == len(inside)
            assert self.people.count[series] == len({key for key, _ in mine})
        assert not self.buckets.totals[:, 0].any()


@settings(max_examples=90)
@given(sightings, st.sampled_from(WAYS))
@example([(0, [(n, 1) for n in range(50)], 0), (1_201, [(n, 1) for n in range(50)], 0)], "singly")
@example(
    [(0, [(n, 3) for n in range(50)], 0), (1_199, [(n, 2) for n in range(20, 60)], 0), (1, [(1, 3)], 600)], "at once"
)
def test_distinct_counts_equal_brute_force(script: Sightings, way: str) -> None:
    """In every window, the number of different keys seen in it, singly, at once or by their events, however late."""
    crowd = Crowd(way)
    for gap, seen, late in script:
        for _ in range(gap):
            crowd.buckets.step()
        if crowd.see(seen, late) < crowd.buckets.end_s:
            crowd.check()
        crowd.buckets.step()
        crowd.check()


@settings(max_examples=40)
@given(sightings)
def test_the_second_a_key_was_last_seen_in_is_known(script: Sightings) -> None:
    """By each series for itself, NEVER where it was not; one key or many."""
    crowd = Crowd()
    for gap, seen, late in script:
        for _ in range(gap):
            crowd.buckets.step()
        crowd.see(seen, late)
        crowd.buckets.step()
    crowd.people.make_room(60)
    for series in range(SERIES):
        last = [
            max((second for one, seen, second in crowd.held if (one, seen) == (series, key)), default=NEVER)
            for key in range(61)
        ]
        assert [crowd.people.seen_in(1 + series, key) for key in range(61)] == last
        assert crowd.people.seen_last(1 + series, np.arange(61)) == last


Line = tuple[int, int, int, int, int]  # product, order, user, pieces, amount
SALE = 8  # the kind of event that order lines are here


def order_lines(lines: Iterable[Line], says: int = SAYS_USER) -> Ints:
    """Rows of order lines, in their order."""
    told = np.array([*lines], np.int64).reshape(-1, 5)
    rows = rows_of(told[:, 2], np.full(len(told), SALE))
    rows[:, WHAT], rows[:, ORDER], rows[:, loops.PIECES], rows[:, loops.AMOUNT] = told[:, [0, 1, 3, 4]].T
    rows[:, SAYS] = says
    return rows


@settings(max_examples=40)
@given(sightings, st.lists(st.integers(NOBODY, 60), max_size=30), st.booleans())
def test_pairs_of_orders_equal_brute_force(script: Sightings, orders: list[int], each: bool) -> None:
    """Different orders never seen here and seen there before, in both directions, at once or one by one."""
    crowd = Crowd()
    for _, seen, late in script:
        crowd.see(seen, late)
        crowd.buckets.step()
    crowd.people.make_room(60)
    second = crowd.buckets.end_s
    for here, there in ((0, 1), (1, 0)):
        known = [{key for one, key, _ in crowd.held if one == series} for series in (here, there)]
        series = ints(NONE, 0, NONE, 0, 1 + here, 1 + there)
        pairs = 0
        for some in [[order] for order in orders] if each else [orders]:
            rows = order_lines((NOBODY, order or NONE, NOBODY, 0, 0) for order in some)
            pairs += loops.count_orders(crowd.people.state, crowd.buckets.column, second, rows, SALE, series)[0]
        crowd.held += [(here, order, second) for order in orders if order]

        assert pairs == len(set(orders) & known[1] - known[0])
    crowd.buckets.step()
    crowd.check()


def test_every_type_of_event_has_a_bit() -> None:
    """A whole number of the loops has room for those that came in a second."""
    chat = rows_of(ints(1), ints(CODE[Chat]))
    last = rows_of(ints(NOBODY), ints(len(KINDS) - 1))
    last[:, SOURCE] = 4

    assert admitting.said(chat) == (bits([CODE[Chat]]), bits([CODE[Chat]]), NOBODY)
    assert admitting.said(last) == (bits([len(KINDS) - 1]), 0, 4)
    assert admitting.said(np.concatenate([chat, last]))[2] == NONE
    assert len(KINDS) <= 63


def test_order_lines_add_up() -> None:
    """Pieces, amounts, those with a user, and lines without an order, of the rows of their kind alone.

    An order that was left out is one, without a number.
    """
    buckets = Buckets(6)
    buckets.start(START)
    orders = Distinct(4, 2, buckets)
    orders.make_room(9)
    rows = order_lines([(0, 7, 2, 2, 100), (0, NOBODY, NOBODY, 1, 30), (0, 7, 5, 5, 1_000), (0, 9, 6, 5, 1_000)])
    rows[2:, SAYS] = 0
    left_out, others = order_lines([(0, NONE, 1, 1, 10)]), rows_of(ints(1, 4), ints(3, 3))
    left_out[:, loops.TS] = 5
    rows = np.concatenate([others, rows, left_out, others])

    assert loops.count_orders(orders.state, buckets.column, START, rows, SALE, np.arange(6)) == (0, 5)
    assert buckets.column.tolist() == [14, 2_140, 140, 1, 2, 0]


@settings(max_examples=40)
@given(sightings, sightings)
def test_restored_distinct_counts_go_on_the_same(before: Sightings, after: Sightings) -> None:
    """Snapshot between two scripts, as msgpack."""
    crowd = Crowd()
    for n, (gap, seen, late) in enumerate([*before, *after]):
        if n == len(before):
            again = Crowd()
            again.buckets.restore(through_msgpack(crowd.buckets.snapshot()))
            see(again.people, ints(7), ints(3))  # what was there before is forgotten
            again.buckets.column[:] = 0
            again.people.restore(through_msgpack(crowd.people.snapshot()))
            again.held = crowd.held
            crowd = again
        for _ in range(gap):
            crowd.buckets.step()
        crowd.see(seen, late)
        crowd.buckets.step()
        crowd.check()


def test_room_for_many_keys_is_made_as_they_come() -> None:
    """Thousands of keys, a few more each second: what was counted before stays."""
    crowd = Crowd()
    for second in range(40):
        crowd.see([(key, 1 + key % 3) for key in range(1 + 100 * second, 101 + 100 * second)], 0)
        crowd.buckets.step()
        crowd.check()
    crowd.see([(key, 3) for key in range(1, 4_001)], 0)
    crowd.buckets.step()

    crowd.check()
    assert crowd.people.count.tolist() == [4_000, 4_000]


def test_beyond_the_limit_of_names_a_distinct_count_says_so() -> None:
    """Keys already known go on being counted; new ones are not, and `full` is set."""
    buckets, names = Buckets(1), Names(2)
    people = Distinct(0, 1, buckets)
    buckets.start(START)

    def come(*keys: str) -> None:
        see(people, names.numbers(keys), np.ones(len(keys), np.int64))
        buckets.step()

    come("a", "b")
    assert not names.full

    come("c")
    come("a")
    assert names.full
    assert (buckets.totals[0, 0], people.count[0]) == (2, 2)
    names.clear()
    people.clear()
    assert (names.full, people.count[0], people.seen_in(0, 1)) == (False, 0, NEVER)


def test_all_at_once_keeps_the_limit_too() -> None:
    """Where not all of them fit, those that do are counted and `full` is set."""
    buckets, names = Buckets(1), Names(3)
    people = Distinct(0, 1, buckets)
    buckets.start(START)
    see(people, names.numbers(["a", "b"]), ints(1, 1))
    assert not names.full
    see(people, names.numbers(["a", "c", "d"]), ints(1, 1, 1))
    buckets.step()

    assert (names.full, people.count[0], buckets.totals[0, 0]) == (True, 3, 3)


# --- panes


def reread(panes: Panes) -> Panes:
    """The same panes out of their snapshot."""
    again = Panes(panes.n_series)
    again.restore(through_msgpack(panes.snapshot()))
    assert again.snapshot() == panes.snapshot()
    return again


def held_in(panes: Panes) -> dict[tuple[int, int], int]:
    """What the seconds of the windows hold, by place and second."""
    places, before_s, amounts = (from_plain(column).tolist() for column in panes.snapshot()["entries"])
    entries = zip(places, before_s, amounts, strict=True)
    held = {(place, panes.end_s - before): amount for place, before, amount in entries}
    assert len(held) == len(places)
    return held


@pytest.mark.parametrize("place", [-1, 2, 10**6, 2**40])
def test_panes_with_an_entry_that_lies_nowhere_are_refused(place: int) -> None:
    """Loops would write there."""
    panes = Panes(2)
    panes.start(START)
    panes.place("a")
    state = panes.snapshot() | {"entries": [plain(ints(place)), plain(ints(1)), plain(ints(1))]}

    with pytest.raises(ValueError, match="place that there is not"):
        Panes(2).restore(through_msgpack(state))


pane_steps = st.lists(
    st.tuples(
        st.sampled_from(EDGES),
        st.sampled_from("abc"),
        st.integers(0, 1),
        amounts,
        st.sampled_from((0, *EDGES)),
        st.booleans(),  # whether the show counts it
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=60)
@given(pane_steps, st.booleans(), st.booleans())
def test_panes_equal_brute_force(script: list[tuple[int, str, int, int, int, bool]], saved: bool, each: bool) -> None:
    """Per key: every window and the show, however late and whenever settled; a snapshot in between changes nothing."""
    panes = Panes(2)
    panes.start(START)
    held: list[tuple[str, int, int, int, bool]] = []
    for gap, key, series, amount, late, shown in script:
        for _ in range(gap + 1):
            panes.step()
        second = max(START, panes.end_s - 1 - late)
        for part in (1, amount - 1, 1, -1):
            panes.add(key, series, second, part, shown)
            if each:
                panes.settle()
        panes.settle()
        held.append((key, series, second, amount, shown))
        if saved:
            panes = reread(panes)

    end_s = panes.end_s

    def brute(key: str, series: int, size: int) -> int:
        inside = [one for one in held if one[:2] == (key, series) and end_s - size <= one[2] < end_s]
        return sum(amount for *_, amount, _ in inside)

    for key in {key for key, *_ in held}:
        for series in (0, 1):
            show = sum(one[3] for one in held if one[:2] == (key, series) and one[4])
            expected = [*(brute(key, series, size) for size in WINDOWS_S.values()), show]
            assert [row[series] for row in panes.totals[key]] == expected
            assert [row[series] for row in panes.sums(key) or []] == expected
    recent = Counter[tuple[int, int]]()
    for key, series, second, amount, _ in held:
        if end_s - 600 <= second:
            recent[panes.place(key) + series, second] += amount
    assert held_in(panes) == recent


def test_panes_of_a_key_never_added_are_unknown() -> None:
    """None, not zeros; a key has as many places as there are series, from the first on that it was known by."""
    panes = Panes(3)
    places = [panes.place(key) for key in "abca"]

    assert places == [0, 3, 6, 0]
    assert panes.sums("d") is None
    assert panes.sums("b") == [[0, 0, 0]] * 4


# Order lines of three types, each with its series: those of pieces, amount, lines without an order, orders, users, and
# the orders it pairs with. The first pairs with none; the second and the third, which counts neither pieces nor users,
# with one another.
UNITS, AMOUNT, NAMELESS, ORDERS, PEOPLE, TWINS = range(6)
LINES = ((0, 1, 2, 3, 4, NONE), (5, 6, 7, 8, 9, 12), (NONE, 10, 11, 12, NONE, 8))
N_LINE_SERIES = 13
PLACELESS = 3  # a product, by number, without a place
some_lines = st.lists(
    st.tuples(
        st.integers(NOBODY, PLACELESS),
        st.integers(0, 4),
        st.integers(NOBODY, 4),
        st.integers(0, 3),
        st.integers(0, 10**12),
    ),
    max_size=12,
)
line_script = st.lists(
    st.tuples(
        st.sampled_from(EDGES),
        st.lists(st.tuples(st.integers(0, 2), some_lines, st.sampled_from((0, 0, *EDGES))), max_size=3),
    ),
    min_size=1,
    max_size=6,
)


def count_lines(
    panes: Panes, lines: Iterable[Line], series: tuple[int, ...], places: Ints, touched: Ints, second: int
) -> list[int]:
    """Order lines come to panes; returns the products of which an order makes a pair."""
    rows = order_lines(lines)
    panes.make_room(7 * len(rows), 2 * len(rows))
    paired = np.empty(1 + len(rows), np.int64)
    complete, pairs = loops.count_lines(panes.state, rows, SALE, ints(*series), places, touched, second, paired, 1)
    named = rows[rows[:, WHAT] != NOBODY, WHAT]
    assert complete == (NONE not in [loops.place_of(places, product) for product in named])
    products: list[int] = paired[1:pairs].tolist()
    return products


class Stall:
    """Panes of the products a and b, to which order lines come, and all that ever came."""

    def __init__(self) -> None:
        self.panes = Panes(N_LINE_SERIES)
        self.panes.start(START)
        self.places = ints(NONE, self.panes.place("a"), self.panes.place("b"), NONE)
        self.touched = np.zeros(4, np.int64)
        self.amounts: list[tuple[int, int, int]] = []  # place, second, amount
        self.seen: list[tuple[int, int, int]] = []  # place, second, order or user
        self.newest = [0] * 4  # by product

    def take(self, kind: int, lines: list[Line], late: int, each: bool) -> list[int]:
        """In the second being closed, or `late` seconds before, at once or one by one; returns what made pairs."""
        second = max(START, self.panes.end_s - 1 - late)
        found: list[int] = []
        for some in [[line] for line in lines] if each else [lines]:
            found += count_lines(self.panes, some, LINES[kind], self.places, self.touched, second)
        return found

    def note(self, kind: int, lines: list[Line], late: int) -> list[int]:
        """Take the same down for `check`; returns the products of which an order should have made a pair."""
        second, series, pairs = max(START, self.panes.end_s - 1 - late), LINES[kind], list[int]()
        for product, order, user, pieces, amount in lines:
            place = int(self.places[product])
            if place == NONE:
                continue
            self.newest[product] = max(second, self.newest[product])
            for one, much in ((UNITS, pieces), (AMOUNT, amount), (NAMELESS, int(not order))):
                if series[one] != NONE:
                    self.amounts.append((place + series[one], second, much))
            known = {(at, key) for at, _, key in self.seen}
            here, there = (place + series[ORDERS], order), (place + series[TWINS], order)
            if order and series[TWINS] != NONE and here not in known and there in known:
                pairs.append(product)
            if order:
                self.seen.append((place + series[ORDERS], second, order))
            if user and series[PEOPLE] != NONE:
                self.seen.append((place + series[PEOPLE], second, user))
        return pairs

    def check(self) -> None:
        """Every window and the show of both products equal what was taken down."""
        ends = [self.panes.end_s - size for size in (*WINDOWS_S.values(), 10**9)]
        distinct = {series[one] for series in LINES for one in (ORDERS, PEOPLE)}
        for product, sums in self.panes.totals.items():
            for series in range(N_LINE_SERIES):
                place = self.panes.place(product) + series
                added = [(second, amount) for at, second, amount in self.amounts if at == place]
                seen = [(second, key) for at, second, key in self.seen if at == place]
                if series in distinct:
                    wanted = [len({key for second, key in seen if second >= end}) for end in ends]
                else:
                    wanted = [sum(amount for second, amount in added if second >= end) for end in ends]
                assert [row[series] for row in sums] == wanted
        assert self.touched.tolist() == self.newest


@settings(max_examples=150)
@given(line_script, st.booleans(), st.booleans())
@example([(0, [(1, [(1, 1, 1, 1, 1)], 0), (2, [(1, 1, 1, 1, 1)], 0)])], False, False)
@example([(0, [(2, [(1, 1, 1, 1, 1)], 0)]), (1_260, [(1, [(2, 1, 1, 1, 1), (1, 1, 1, 1, 1)], 60)])], True, True)
def test_order_lines_equal_brute_force(
    script: list[tuple[int, list[tuple[int, list[Line], int]]]], saved: bool, each: bool
) -> None:
    """Pieces, amounts and nameless lines, different orders and users, pairs: however late, at once or one by one.

    Order 0 is none and user 0 nobody; a product without a place is left out; who is seen again moves to the later
    second and counts once; a snapshot in between changes nothing.
    """
    stall = Stall()
    for gap, batches in script:
        for _ in range(gap + 1):
            stall.panes.step()
        for kind, lines, late in batches:
            expected = stall.note(kind, lines, late)
            assert stall.take(kind, lines, late, each) == expected
        if saved:
            stall.panes = reread(stall.panes)
        stall.check()


@pytest.mark.parametrize(
    ("part", "place", "values"),
    [
        ("entries", 0, [-1]),
        ("entries", 0, [N_LINE_SERIES * 2]),
        ("entries", 1, [0]),
        ("entries", 1, [-5]),
        ("pairs", 0, [-(1 << 32)]),
        ("pairs", 0, [N_LINE_SERIES * 2 << 32 | 1]),
        ("pairs", 0, [3 << 32 | 1 << 25]),
    ],
)
def test_panes_of_what_cannot_be_are_refused(part: str, place: int, values: list[int]) -> None:
    """Places that there are not, times that have not been, keys that no room has: loops would go astray by them."""
    stall = Stall()
    stall.panes.step()
    stall.take(0, [(1, 5, 2, 1, 1)], 0, each=False)
    state = stall.panes.snapshot()
    for held in state[part]:
        assert len(from_plain(held)) > 0
    state[part] = [plain(from_plain(held)[:1]) for held in state[part]]
    Panes(N_LINE_SERIES).restore(state)
    state[part][place] = plain(ints(*values))

    with pytest.raises(ValueError, match="an entry"):
        Panes(N_LINE_SERIES).restore(state)


def test_an_order_makes_a_pair_once_and_only_of_its_product() -> None:
    """Whichever half comes first; another product's order of that number, or one of no twins, is no find."""
    stall = Stall()
    stall.panes.step()

    def pairs(kind: int, *orders: tuple[int, int]) -> list[int]:
        return stall.take(kind, [(product, order, 0, 1, 1) for product, order in orders], 0, each=False)

    assert pairs(0, (1, 5)) == []
    assert pairs(1, (1, 5)) == []  # the first type is not asked
    assert pairs(2, (2, 5), (PLACELESS, 5), (1, 6), (1, 0)) == []
    assert pairs(2, (1, 5), (1, 5), (1, 6)) == [1]
    assert pairs(2, (1, 5)) == []  # no longer new
    assert pairs(1, (1, 6), (2, 5), (1, 6), (1, 5), (2, 6), (1, 0)) == [1, 2]


# Kinds of events by number: one that is about nothing, one that counts in the series 0 and 1, one in 2 and 3.
COUNTS_IN = np.array([[NONE, NONE], [0, 1], [2, 3]])
product_rows = st.lists(
    st.tuples(
        st.sampled_from(EDGES),
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(NOBODY, 5), st.integers(NOBODY, PLACELESS)),
            max_size=30,
        ),
        st.sampled_from((0, 0, *EDGES)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60)
@given(product_rows, st.booleans())
def test_rows_about_products_equal_brute_force(
    script: list[tuple[int, list[tuple[int, int, int]], int]], saved: bool
) -> None:
    """Events and their different users, by kind and product, in every window; nobody and what has no place aside."""
    panes = Panes(4)
    panes.start(START)
    places = ints(NONE, panes.place("a"), panes.place("b"), NONE)
    touched = np.zeros(4, np.int64)
    events: list[tuple[int, int, int]] = []  # place, user, second
    newest: dict[int, int] = {}
    for gap, about, late in script:
        for _ in range(gap + 1):
            panes.step()
        second = max(START, panes.end_s - 1 - late)
        kinds, users, products = np.array(about, np.int64).reshape(-1, 3).T
        rows = rows_of(users, kinds)
        rows[:, WHAT] = products
        panes.make_room(3 * len(rows), len(rows))
        loops.count_products(panes.state, rows, COUNTS_IN, places, touched, second)
        for kind, user, product in about:
            if kind and product not in (NOBODY, PLACELESS):
                events.append((int(places[product]) + 2 * (kind - 1), user, second))
                newest[product] = max(second, newest.get(product, 0))
        if saved:
            panes = reread(panes)

    ends = [panes.end_s - size for size in (*WINDOWS_S.values(), 10**9)]
    for product in ("a", "b"):
        for series in (0, 2):
            mine = [(user, second) for place, user, second in events if place == panes.place(product) + series]
            people = [{user for user, second in mine if user and second >= end} for end in ends]
            sums = panes.totals[product]
            assert [row[series] for row in sums] == [sum(second >= end for _, second in mine) for end in ends]
            assert [row[series + 1] for row in sums] == [len(one) for one in people]
    assert touched.tolist() == [newest.get(product, 0) for product in range(4)]


@given(st.lists(st.tuples(st.sampled_from((Chat, ProductClick, CartAdd)), st.integers(NOBODY, 6)), max_size=30))
def test_products_appear_once_in_the_order_of_their_rows(about: list[tuple[type, int]]) -> None:
    """Those that events are about, after what was known before; not all have a place if one has no number."""
    names = Names(6)
    names.numbers("abcdef")
    shelf = Shelf(names)
    shelf.start(START)
    shelf.panes.step()
    shelf.known("c")
    rows = rows_of(np.zeros(len(about), np.int64), ints(*(CODE[kind] for kind, _ in about)))
    rows[:, WHAT] = [product for _, product in about]
    shelf.make_room(rows)
    held, *told_by = shelf.state
    complete = loops.count_products(held, rows, *told_by, START)

    told = [product for kind, product in about if kind is not Chat]
    assert [*shelf.numbers.items()] == [*dict.fromkeys([("c", 3), *(("?abcdef"[n], n) for n in told if n != NOBODY)])]
    assert complete == (NOBODY not in told)


ORDER_ALONE = (NONE, NONE, NONE, 1, NONE, NONE)  # of a line only its order counts, in the second series


def ordered(panes: Panes, key: str, orders: Iterable[int], second: int) -> None:
    """Orders are seen at a key."""
    lines = [(1, order, 0, 1, 1) for order in orders]
    assert count_lines(panes, lines, ORDER_ALONE, ints(NONE, panes.place(key)), np.zeros(2, np.int64), second) == []


def test_skipped_panes_are_empty_and_keep_the_show() -> None:
    """After a long silence only the show's sums are left, and what was seen before is still no new one."""
    panes = Panes(2)
    panes.start(START)
    panes.step()
    panes.add("a", 0, START, 5)
    ordered(panes, "a", [9], START)
    panes.settle()
    panes.skip(10_000)

    assert panes.totals == {"a": [[0, 0], [0, 0], [0, 0], [5, 1]]}
    assert held_in(panes) == {}
    panes.step()
    panes.add("a", 0, panes.end_s - 1, 2)
    ordered(panes, "a", [9], panes.end_s - 1)
    panes.settle()
    assert panes.totals == {"a": [[2, 1], [2, 1], [2, 1], [7, 1]]}


@pytest.mark.parametrize("saved", [False, True])
def test_panes_of_many_keys_grow(saved: bool) -> None:
    """Hundreds of keys with thousands of entries and orders, added, seen, let go and added again."""
    panes = Panes(2)
    panes.start(START)
    held: list[tuple[int, int]] = []  # key, second
    seen: dict[tuple[int, int], int] = {}  # by key and order
    for second in range(700):
        panes.step()
        for n in range(20):
            key = (second * 7 + n * n) % 300
            panes.add(f"k{key}", 0, START + second, 1)
            held.append((key, second))
            orders = [1_000 * n + order for order in range(1, 4 if second % 50 else 60)]
            ordered(panes, f"k{key}", orders, START + second)
            seen |= {(key, order): second for order in orders}
        panes.settle()
        if saved and second % 150 == 0:
            panes = reread(panes)

    assert len(panes.place_of) == 300
    assert len(seen) > 5_000
    for row, size in enumerate((*WINDOWS_S.values(), 10**9)):
        added = Counter(key for key, second in held if second >= 700 - size)
        orders_in = Counter(key for (key, _), second in seen.items() if second >= 700 - size)
        assert {key: sums[row] for key, sums in panes.totals.items()} == {
            f"k{key}": [added[key], orders_in[key]] for key in range(300) if f"k{key}" in panes.place_of
        }


def test_what_is_added_to_the_newest_second_is_one_entry() -> None:
    """Memory goes by what differs: ten thousand additions to a second, in as many turns, take one place in it."""
    panes = Panes(1)
    panes.start(START)
    for second in range(3):
        panes.step()
        for _ in range(10_000):
            panes.add("a", 0, START + second, 1)
            panes.settle()
    assert len(panes._entries) < 100

    assert held_in(panes) == {(0, START + second): 10_000 for second in range(3)}
    for _ in range(10_000):  # a straggler's second holds one of each, and its snapshot one of all
        panes.add("a", 0, START, 1)
        panes.settle()
    assert held_in(panes)[0, START] == 20_000
    assert panes.totals == {"a": [[40_000]] * 4}


def test_entries_that_were_let_go_are_used_again() -> None:
    """Half an hour takes no more memory than the windows hold, and nothing counts for who had the entry before."""
    panes, chance = Panes(1), random.Random(3)
    panes.start(START)
    held: list[tuple[str, int]] = []
    for second in range(1_800):
        panes.step()
        for key in chance.sample("abc", chance.randint(0, 3)):
            for _ in range(chance.randint(1, 2)):
                panes.add(key, 0, START + second, 1)
                held.append((key, second))
        panes.settle()

    assert len(panes._entries) < 3_000
    for row, size in enumerate((*WINDOWS_S.values(), 10**9)):
        added = Counter(key for key, second in held if second >= 1_800 - size)
        assert {key: sums[row] for key, sums in panes.totals.items()} == {key: [added[key]] for key in "abc"}


# --- snapshots

BOUNDS = (0, 1, 2**8 - 1, 2**8, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**62)  # of the sizes numbers are kept in
numbers = st.integers(-(2**62), 2**62) | st.sampled_from(BOUNDS) | st.sampled_from(BOUNDS).map(lambda n: -n)


def lists_up_to(most: int) -> st.SearchStrategy[list[int]]:
    """Lists of whole numbers, none larger than `most`."""
    return st.lists(st.integers(0, most), max_size=20)


@given(st.lists(numbers, max_size=20) | st.sampled_from(BOUNDS).flatmap(lists_up_to))
@example([])
@example([0])
@example([-1])
@example([2**62])
@example([0, 2**32 - 1])
def test_plain_numbers_come_back_in_few_bytes(values: list[int]) -> None:
    """Every number, as an array of its own, in the fewest bytes a number that all fit in; the first says how many."""
    state = through_msgpack(plain(ints(*values)))
    again = from_plain(state)

    assert again.tolist() == values
    assert again.dtype == np.int64
    assert again.flags.writeable
    fits = [size for size in (1, 2, 4) if all(0 <= value < 256**size for value in values)]
    size = min(fits, default=8)
    assert (state[0], len(state)) == (size, 1 + size * len(values))


@given(st.lists(st.tuples(numbers, numbers, numbers), max_size=8))
def test_plain_tables_come_back_in_one_row(rows: list[tuple[int, int, int]]) -> None:
    """Row after row, also where the table is a view: turned, or of some of the columns."""
    table = np.array(rows, np.int64).reshape(-1, 3)

    assert from_plain(plain(table)).tolist() == [value for row in rows for value in row]
    assert from_plain(plain(table.T)).tolist() == [row[column] for column in range(3) for row in rows]
    assert from_plain(plain(table[:, ::2])).tolist() == [value for row in rows for value in row[::2]]


def test_plain_numbers_are_the_same_on_every_machine() -> None:
    """Smallest byte first."""
    assert plain(ints(1, 256)) == b"\x02\x01\x00\x00\x01"
    assert plain(ints(-2)) == b"\x08\xfe" + 7 * b"\xff"


def test_what_is_not_written_takes_no_memory_even_where_it_is_read() -> None:
    """A room has series that nobody ever counts in: of two thousand rooms that would be a gigabyte."""
    before = psutil.Process().memory_info().rss
    held = lazy_zeros(1_024, 8_192)

    assert (held.shape, int(held.sum())) == ((1_024, 8_192), 0)
    assert psutil.Process().memory_info().rss - before < held.nbytes // 8
    held[3, 5] = 7
    assert (held[3, 5], int(held.sum())) == (7, 7)


@given(st.integers(2, 2**32 - 1), st.data())
def test_ages_come_back_as_seconds(end_s: int, data: st.DataObject) -> None:
    """Seconds before the end, the newest one 1; NEVER is 0, and stays apart from all others.

    Of each series as many as there are keys that were seen in any.
    """
    seconds = data.draw(st.lists(st.just(NEVER) | st.just(end_s - 1) | st.integers(1, end_s - 1), max_size=20))
    beside = [1, *([NEVER] * 3)]
    last = np.array([(second, 0, 1) for second in seconds] + [(0, 0, second) for second in beside], np.uint32)
    first, second, third = packing.ages_of(last, end_s)
    held = first[:-1]

    assert (first[-1], second.any(), third.tolist()) == (0, False, [end_s - 1] * (len(seconds) + 1))
    assert held.tolist() == [0 if second == NEVER else end_s - second for second in seconds]
    assert seconds_of(held.astype(np.int64), end_s).tolist() == seconds
    assert seconds_of(from_plain(plain(held)), end_s).tolist() == seconds


@given(st.lists(st.integers(-1, 1), max_size=12))
@example([])
@example([0, 0])
@example([0, 1, 0, -1])
def test_a_trimmed_row_lacks_the_zeros_at_its_end_alone(row: list[int]) -> None:
    """Those before the last other number stay; of nothing else nothing is left."""
    wanted = [*row]
    while wanted and wanted[-1] == 0:
        wanted.pop()

    assert trimmed(ints(*row)).tolist() == wanted


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
    second.restore(through_msgpack(first.snapshot()))
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
