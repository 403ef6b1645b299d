"""Sessions against a plain recount, the online count of one and of two feeds, and sources that mask their users."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream import loops
from stream import series as s
from stream.audience import Masking, Online, Sessions
from stream.events import Chat, RoomEvent, Shown, ViewerCount, ViewerJoin, ViewerLeave
from stream.loops import RETURN_MS, Ints
from stream.names import NOBODY, hashed
from stream.waiting import N_COLUMNS, Waiting
from stream.windows import SPAN_S, Buckets, from_plain

START_S = 1_760_000_000
START_MS = START_S * 1000


class Move(NamedTuple):
    """`user` comes or goes `at_ms` after the start; the room hears of it `late_s` seconds after its second closed."""

    at_ms: int
    user: str | None
    comes: bool
    late_s: int = 0


def through_msgpack(state: Any) -> Any:
    """A snapshot as it comes back from where it was kept."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state))


def rows_of(waiting: Waiting, events: Sequence[RoomEvent]) -> Ints:
    """Events as rows."""
    return np.array([waiting.row(event) for event in events], np.int64).reshape(-1, N_COLUMNS)


class House:
    """Sessions and their buckets, closed second by second as a room does it."""

    def __init__(self, at_once: bool = False) -> None:
        self.at_once = at_once
        self.waiting = Waiting()
        self.buckets = Buckets(s.N_SERIES)
        self.buckets.start(START_S)
        self.sessions = Sessions(self.buckets)

    def run(self, moves: list[Move], until_s: int) -> "House":
        """Close every second before `until_s`, hearing of each move when it arrives."""
        heard: dict[int, list[Move]] = {}
        for move in sorted(moves, key=lambda move: move.at_ms):
            heard.setdefault(move.at_ms // 1000 + move.late_s, []).append(move)
        for second in range(self.buckets.end_s - START_S, until_s):
            now = heard.get(second, [])
            self._take([move for move in now if move.late_s])  # stragglers are taken between two seconds
            self.buckets.edge_s = self.buckets.end_s + 1
            self.sessions.second_begins()
            self._take([move for move in now if not move.late_s])
            self.buckets.step()
        return self

    def _take(self, moves: list[Move]) -> None:
        """One by one, or all of a second at once, with what else happens in it."""
        at_once: list[list[Move]] = [[move] for move in moves]
        if self.at_once:
            seconds = sorted({move.at_ms // 1000 for move in moves})
            at_once = [[move for move in moves if move.at_ms // 1000 == second] for second in seconds]
        for some in at_once:
            events: list[RoomEvent] = []
            for move in some:
                ts, kind = START_MS + move.at_ms, ViewerJoin if move.comes else ViewerLeave
                events += [Chat(room="r", ts=ts, user="z", text="a"), kind(room="r", ts=ts, user=move.user)]
            rows = rows_of(self.waiting, events)
            self.sessions.make_room(self.waiting.users.count)
            loops.come_and_go(self.sessions.state, rows)

    def again(self) -> "House":
        """The same house out of its snapshots, as msgpack."""
        again = House(self.at_once)
        again.waiting.restore(through_msgpack(self.waiting.snapshot()))
        again.buckets.restore(through_msgpack(self.buckets.snapshot()))
        again.sessions.restore(through_msgpack(self.sessions.snapshot()))
        return again

    def remembered(self) -> list[int]:
        """Users whose sessions are open or may be continued, by the hashes of their names."""
        users = from_plain(self.sessions.snapshot()["users"][0]).cumsum()
        hashes = self.waiting.users.by_number()
        found: list[int] = hashes[users].tolist()
        return found

    def sums(self, series: int) -> list[int]:
        """The series in the windows and in the show."""
        return [*self.buckets.totals[:, series].tolist(), int(self.buckets.show[series])]


class Stay(NamedTuple):
    """A session as a recount gives it; the end is None while it lasts."""

    start_ms: int
    end_ms: int | None


def recount(moves: list[Move]) -> list[Stay]:
    """Sessions straight from the definition: a return within RETURN_MS continues the one before."""
    stays: dict[str, list[Stay]] = {}
    for move in sorted(moves, key=lambda move: move.at_ms):
        assert move.user is not None
        mine = stays.setdefault(move.user, [])
        here = bool(mine) and mine[-1].end_ms is None
        if move.comes and not here:
            if mine and mine[-1].end_ms is not None and move.at_ms - mine[-1].end_ms <= RETURN_MS:
                mine[-1] = Stay(mine[-1].start_ms, None)
            else:
                mine.append(Stay(move.at_ms, None))
        elif not move.comes and here:
            mine[-1] = Stay(mine[-1].start_ms, move.at_ms)
    return [stay for mine in stays.values() for stay in mine]


def windows(until_s: int) -> list[tuple[int, int]]:
    """1, 5 and 10 minutes and the show, in ms since the start."""
    return [(1000 * (until_s - size), 1000 * until_s) for size in (60, 300, 600)] + [(-(10**9), 1000 * until_s)]


def check(house: House, moves: list[Move], until_s: int) -> None:
    """Every sum of the sessions equals the recount."""
    stays = recount([move for move in moves if move.at_ms // 1000 + move.late_s < until_s])
    assert house.sessions.open == sum(stay.end_ms is None for stay in stays)
    assert house.sessions.began == len(stays)
    for n, (start_ms, end_ms) in enumerate(windows(until_s)):
        watched = sum(
            max(0, min(end_ms, end_ms if stay.end_ms is None else stay.end_ms) - max(start_ms, stay.start_ms))
            for stay in stays
        )
        assert house.sums(s.WATCH_MS)[n] == watched
        begun = [stay for stay in stays if start_ms <= stay.start_ms // 1000 * 1000 < end_ms]
        assert house.sums(s.BEGAN)[n] == len(begun)
        for limit_s, series in s.SHORT.items():
            short = sum(stay.end_ms is not None and stay.end_ms - stay.start_ms < 1000 * limit_s for stay in begun)
            assert house.sums(series)[n] == short


# --- sessions


def test_a_stay_is_watched_to_the_millisecond() -> None:
    """Drawn: comes at 1.5 s, goes at 4.25 s.

    second   0    1    2    3    4    5
    here     |    |  ┌─|────|────|┐   |
    ms       0    500  1000 1000 250  0
    """
    house = House()
    watched = []
    for second in range(1, 7):
        house.run([Move(1_500, "a", True), Move(4_250, "a", False)], second)
        watched.append(house.buckets.ring[s.WATCH_MS, (START_S + second - 1) % SPAN_S])

    assert watched == [0, 500, 1_000, 1_000, 250, 0]


@pytest.mark.parametrize(("away_ms", "sessions", "short"), [(RETURN_MS, 1, 0), (RETURN_MS + 1, 2, 1)])
def test_a_return_within_half_a_minute_continues_the_session(away_ms: int, sessions: int, short: int) -> None:
    """30 s exactly still does, and the time away counts as stay; 1 ms more and it is a new session."""
    house = House().run([Move(0, "a", True), Move(10_000, "a", False), Move(10_000 + away_ms, "a", True)], until_s=60)

    assert house.sessions.began == sessions
    assert house.sums(s.SHORT_30)[0] == short
    assert house.sums(s.WATCH_MS)[0] == (60_000 if sessions == 1 else 60_000 - away_ms)


def test_who_comes_twice_or_goes_twice_is_one_person() -> None:
    """Readers repeat joins, and leaves of people who never came say nothing."""
    moves = [Move(0, "a", True), Move(5_000, "a", True), Move(9_000, "b", False), Move(20_000, "a", False)]
    house = House().run([*moves, Move(21_000, "a", False)], until_s=60)

    assert (house.sessions.open, house.sessions.began) == (0, 1)
    assert house.sums(s.WATCH_MS)[0] == 20_000


def test_who_goes_and_comes_in_one_millisecond_stays() -> None:
    """In the order of the log: the join comes after the leave; one a millisecond before it says nothing."""
    for again_ms, here in ((9_999, 0), (10_000, 1)):
        house = House().run([Move(0, "a", True), Move(10_000, "a", False), Move(again_ms, "a", True, 15)], until_s=40)

        assert (house.sessions.open, house.sessions.began) == (here, 1)
        assert house.sums(s.WATCH_MS)[0] == (40_000 if here else 10_000)


def test_visitors_without_a_name_are_counted_as_joins_less_leaves() -> None:
    """They have no session, and more leaves than joins are nobody."""
    house = House().run([Move(0, None, True), Move(1, None, True), Move(2, "a", True), Move(3, None, False)], 1)
    assert (house.sessions.online(), house.sessions.open) == (2, 1)
    house.run([Move(1_000, None, False), Move(1_001, None, False)], 2)

    assert house.sessions.online() == 1


def test_who_left_is_forgotten_after_a_minute() -> None:
    """Long enough for a return that is heard of late; then the memory is free again."""
    house = House().run([Move(0, "a", True), Move(1_000, "a", False)], until_s=61)
    assert house.remembered() == [hashed("a")]
    house.run([], until_s=70)

    assert house.remembered() == []


@pytest.mark.parametrize(("late_s", "sessions"), [(61, 1), (62, 2)])
def test_a_straggler_finds_who_left_for_a_minute(late_s: int, sessions: int) -> None:
    """A join from before the leave says nothing while that is remembered; then it is a session like any other."""
    moves = [Move(0, "a", True), Move(500, "a", True, late_s), Move(1_000, "a", False)]
    house = House().run(moves, until_s=80)

    assert (house.sessions.began, house.sessions.open) == (sessions, sessions - 1)


def test_a_stay_longer_than_the_rings_span_still_counts_for_the_show() -> None:
    """A leave that is heard of half an hour late takes its time away from the show, too."""
    late_s = SPAN_S + 600
    moves = [Move(0, "a", True), Move(10_000, "a", False, late_s)]
    house = House().run(moves, until_s=late_s + 60)

    assert house.sums(s.WATCH_MS) == [0, 0, 0, 10_000]


scripts = st.lists(
    st.builds(
        Move,
        st.integers(0, 400_000),
        st.sampled_from("abc"),
        st.booleans(),
        st.just(0),
    ),
    max_size=14,
    unique_by=lambda move: (move.user, move.at_ms),
)


@settings(max_examples=60)
@given(scripts, st.booleans())
def test_sessions_equal_a_recount(moves: list[Move], at_once: bool) -> None:
    """Open, begun, short and watched in every window, for three people coming and going at random."""
    check(House(at_once).run(moves, 420), moves, 420)


@settings(max_examples=60)
@given(scripts, st.sampled_from((1, 5, 20)), st.booleans())
def test_stragglers_change_when_it_is_known_not_what(moves: list[Move], late_s: int, at_once: bool) -> None:
    """Heard of late, all alike: once all is in, every sum is as if it had come in time."""
    late = [move._replace(late_s=late_s) for move in moves]

    check(House(at_once).run(late, 440), late, 440)


def test_a_busy_second_is_taken_at_once_as_one_by_one() -> None:
    """Comings, goings and returns of one second, with and without names, in both ways."""
    moves = [Move(10 * n, ("a", "b", None)[n % 3], n % 4 != 3) for n in range(60)]
    one, many = House().run(moves, 3), House(at_once=True).run(moves, 3)

    assert many.sessions.snapshot() == one.sessions.snapshot()
    assert many.buckets.snapshot() == one.buckets.snapshot()


@settings(max_examples=40)
@given(scripts, st.integers(0, 420))
def test_restored_sessions_go_on_the_same(moves: list[Move], at_s: int) -> None:
    """Snapshot at any second, as msgpack."""
    house = House().run([move for move in moves if move.at_ms < 1000 * at_s], at_s)
    again = house.again().run([move for move in moves if move.at_ms >= 1000 * at_s], 440)

    check(again, moves, 440)


lates = st.lists(
    st.builds(Move, st.integers(0, 100_000), st.sampled_from(("a", "b", None)), st.booleans(), st.integers(0, 95)),
    max_size=14,
)


@settings(max_examples=80)
@given(lates, st.integers(1, 200))
@example([Move(0, "a", True), Move(500, "a", True, 61), Move(1_000, "a", False)], 61)
@example([Move(0, "a", True), Move(500, "a", True, 62), Move(1_000, "a", False)], 62)
def test_what_a_snapshot_leaves_out_does_not_matter(moves: list[Move], at_s: int) -> None:
    """Whoever left too long ago is nobody's concern, however late what is heard next."""
    house = House().run(moves, at_s)
    again = house.again()
    assert again.sessions.snapshot() == house.sessions.snapshot()
    for one in (house, again):
        one.run(moves, 200)

    assert again.buckets.snapshot() == house.buckets.snapshot()
    assert again.sessions.snapshot() == house.sessions.snapshot()


def test_room_for_many_people_is_made_as_they_come() -> None:
    """Thousands come, a few more each second; half of them go."""
    moves = [Move(10 * n, f"u{n}", True) for n in range(3_000)]
    moves += [Move(40_000 + 5 * n, f"u{n}", False) for n in range(0, 3_000, 2)]
    house = House(at_once=True).run(moves, 60)

    assert (house.sessions.open, house.sessions.began, len(house.remembered())) == (1_500, 3_000, 3_000)
    check(house, moves, 60)
    check(house.again(), moves, 60)


def test_a_new_show_finds_nobody() -> None:
    """Those who stay must be heard of again."""
    house = House().run([Move(0, "a", True), Move(1, None, True)], 1)
    house.sessions.clear()

    assert (house.sessions.online(), house.sessions.began, house.sessions.open) == (0, 0, 0)
    assert house.remembered() == []


# --- online


def reading(online: Shown | None, at_s: int = 0, source: str | None = None, total: Shown | None = None) -> ViewerCount:
    return ViewerCount(room="r", ts=START_MS + 1000 * at_s, source=source, online=online, total=total)


def after(*readings: ViewerCount, preferred: str | None = None) -> tuple[int | None, bool, list[int]]:
    """(online, whether exact, the rises of the total) after the readings."""
    online = Online(preferred)
    rises = [online.take(one) for one in readings]
    return online.value, online.exact, rises


def test_the_newest_reading_by_event_time_holds() -> None:
    """A straggler says nothing; of two at one time the later in the log does."""
    assert after(reading(5, 10), reading(9, 8))[0] == 5
    assert after(reading(5, 10), reading(9, 10))[0] == 9
    assert after()[0] is None


@pytest.mark.parametrize(("shown", "value", "exact"), [("6.8万", 68_000, False), ("980", 980, True), (0, 0, True)])
def test_a_display_string_is_read_and_marked(shown: Shown, value: int, exact: bool) -> None:
    """A rounded count is not exact; a number in text is."""
    assert after(reading(shown))[:2] == (value, exact)


@pytest.mark.parametrize("shown", ["many", "", ",", -1, 10**13])
def test_a_reading_that_is_none_leaves_the_last_one(shown: Shown) -> None:
    """Neither value nor time nor source change."""
    assert after(reading(7, 1), reading(shown, 5), reading(8, 2))[0] == 8


def test_of_two_feeds_without_preference_the_newest_reading_holds() -> None:
    """Named or not: a feed without a source has no precedence."""
    assert after(reading(5, 10, "a"), reading(9, 9, "b"))[0] == 5
    assert after(reading(5, 10, "a"), reading(9, 9, None))[0] == 5
    assert after(reading(5, 10, None), reading(9, 9, "a"))[0] == 5


def test_of_two_feeds_the_preferred_one_holds_from_its_first_reading_on() -> None:
    """Until it speaks the other one does; then not even newer readings of the other count."""
    other, mine = reading(500, 10, "other"), reading(80, 8, "mine")

    assert after(other, preferred="mine")[0] == 500
    assert after(other, mine, preferred="mine")[0] == 80
    assert after(mine, other, preferred="mine")[0] == 80
    assert after(mine, other, reading(70, 12, "mine"), preferred="mine")[0] == 70
    assert after(mine, reading("many", 20, "mine"), other, preferred="mine")[0] == 80


def test_the_total_counts_by_its_rises() -> None:
    """The first reading is where counting begins; a lower one is a straggler."""
    totals = [reading(None, n, "a", total) for n, total in enumerate((100, 130, 120, 150, "1.2万"))]

    assert after(*totals)[2] == [0, 30, 0, 20, 11_850]


def test_the_totals_of_two_feeds_are_not_mixed_where_one_is_preferred() -> None:
    """Its first total takes over without a jump; afterwards the other's is nothing."""
    script = [
        reading(None, 1, "other", 1_000),
        reading(None, 2, "other", 1_010),
        reading(None, 3, "mine", 400),
        reading(None, 4, "other", 1_050),
        reading(None, 5, "mine", 425),
    ]

    assert after(*script, preferred="mine")[2] == [0, 10, 0, 0, 25]


def test_a_feed_may_be_preferred_that_sends_totals_only() -> None:
    """Its totals rise although the online count is another feed's, and the other way round."""
    script = [
        reading(50, 1, "other"),
        reading(None, 2, "mine", 400),
        reading(60, 3, "other"),
        reading(None, 4, "mine", 425),
    ]

    assert after(*script, preferred="mine") == (60, True, [0, 0, 0, 25])


readings = st.lists(
    st.builds(
        reading,
        st.none() | st.integers(0, 100),
        st.integers(0, 50),
        st.sampled_from([None, "a", "b"]),
        st.none() | st.integers(0, 1_000),
    ),
    max_size=15,
)


@given(readings, st.sampled_from([None, "a"]))
def test_the_online_count_equals_its_definition(script: list[ViewerCount], preferred: str | None) -> None:
    """Of the preferred feed if it ever stated one, else of all, the newest reading, the later of equals."""
    counted = [one for one in script if one.online is not None]
    mine = [one for one in counted if preferred is not None and one.source == preferred]
    newest = max(enumerate(mine or counted), key=lambda pair: (pair[1].ts, pair[0]), default=(0, None))[1]

    assert after(*script, preferred=preferred)[0] == (newest.online if newest else None)


@given(readings, readings, st.sampled_from([None, "a"]))
def test_a_restored_online_count_goes_on_the_same(
    before: list[ViewerCount], later: list[ViewerCount], preferred: str | None
) -> None:
    """Snapshot in between, as msgpack."""
    first, second = Online(preferred), Online(preferred)
    for one in before:
        first.take(one)
    second.restore(through_msgpack(first.snapshot()))

    assert [first.take(one) for one in later] == [second.take(one) for one in later]
    assert first.snapshot() == second.snapshot()


# --- masking


def hear(masking: Masking, rows: Ints, source: int, waiting: Waiting) -> None:
    """Rows of a source, and of others."""
    masking.make_room(waiting.users.count)
    masking.saw(*loops.count_users(masking.by_user, rows, source))


class Source:
    """A source and what is known of its ids, with rows as a room has them."""

    def __init__(self) -> None:
        self.waiting = Waiting()
        self.masking = Masking()

    def take(self, users: Sequence[str | None], together: int) -> None:
        """Events of these users, so many at a time."""
        for n in range(0, len(users), together):
            events = [Chat(room="r", ts=START_MS, user=user, text="a") for user in users[n : n + together]]
            rows = rows_of(self.waiting, events)
            hear(self.masking, rows, NOBODY, self.waiting)


@pytest.mark.parametrize(
    ("same", "others", "masked"),
    [
        (10, 39, False),
        (49, 0, False),
        (50, 0, True),
        (10, 40, False),
        (11, 39, True),
        (200, 801, False),
        (201, 799, True),
    ],
)
def test_more_than_a_fifth_under_one_id_masks_a_source(same: int, others: int, masked: bool) -> None:
    """Of at least 50 events with a user; a fifth exactly does not."""
    source = Source()
    source.take([f"u{n}" for n in range(others)], together=1)
    source.take(["111111"] * same, together=1)

    assert source.masking.masked is masked


@given(st.lists(st.integers(0, 8), max_size=120), st.integers(1, 30))
def test_masking_equals_counting(users: list[int], together: int) -> None:
    """The most frequent id's share, as a Counter gives it, taken singly or some at once."""
    source, counts = Source(), Counter(users)
    source.take([str(user) for user in users], together)
    most = max(counts.values(), default=0)

    assert source.masking.masked == (len(users) >= 50 and 5 * most > len(users))
    assert (source.masking.events, source.masking.most) == (len(users), most)


@given(
    st.lists(st.tuples(st.sampled_from((None, "a", "b")), st.sampled_from(("1", "2", None))), max_size=120),
    st.integers(1, 30),
)
def test_sources_are_judged_apart(told: list[tuple[str | None, str | None]], together: int) -> None:
    """Of rows of several sources each takes its own; events without a user say nothing."""
    waiting = Waiting()
    masking: dict[str | None, Masking] = {name: Masking() for name in (None, "a", "b")}
    rows = np.array(
        [waiting.row(Chat(room="r", ts=START_MS, source=source, user=user, text="a")) for source, user in told],
        np.int64,
    )
    for n in range(0, len(told), together):
        for name, one in masking.items():
            hear(one, rows[n : n + together], waiting.sources.number(name), waiting)

    for name, one in masking.items():
        users = [user for source, user in told if source == name and user is not None]
        assert (one.events, one.most) == (len(users), max(Counter(users).values(), default=0))


def test_a_source_of_very_many_users_is_still_judged() -> None:
    """The masked id among 20,000 others is found, and each is counted exactly."""
    source = Source()
    source.take([user for n in range(20_000) for user in (f"u{n}", "111111")[: 2 - (n % 3 > 0)]], together=7)

    assert source.masking.masked
    assert (source.masking.events, source.masking.most) == (26_667, 6_667)


def test_very_many_users_at_once_are_still_judged() -> None:
    """By the second, in a room of 50,000: the masked id is found."""
    source = Source()
    for second in range(100):
        source.take([f"u{second * 500 + n}" for n in range(500)] + ["111111"] * 200, together=700)

    assert source.masking.masked
    assert (source.masking.events, source.masking.most) == (70_000, 20_000)


def test_no_id_is_forgotten_however_many_come_between() -> None:
    """An id that comes once in a thousand is remembered from one end of a show to the other."""
    source = Source()
    for n in range(0, 20_000, 1_000):
        source.take([f"u{n + k}" for k in range(999)] + ["rare"], together=1_000)
    assert (source.masking.masked, source.masking.most) == (False, 20)
    source.take(["rare"] * 4_985, together=1_000)

    assert (source.masking.masked, source.masking.events, source.masking.most) == (True, 24_985, 5_005)


def test_restored_masking_goes_on_the_same() -> None:
    """Snapshot in between, as msgpack."""
    first = Source()
    first.take(["a", "b"] * 20, together=1)
    second = Source()
    second.waiting.restore(through_msgpack(first.waiting.snapshot()))
    second.masking.restore(through_msgpack(first.masking.snapshot()))
    for source in (first, second):
        source.take(["c", *["a"] * 10, None, "c"], together=3)

    assert second.masking.snapshot() == first.masking.snapshot()
    assert second.masking.masked
