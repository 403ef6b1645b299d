"""Which sources are missed, after how long, and what nobody sends any more."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources import BEAT_LIMIT_S, QUIET_MAX_S, QUIET_MIN_S, SOURCES_MAX, Silence, Source, Sources

START_MS = 1_760_000_000_000


def heard(*events: tuple[str, str, int], declared: frozenset[str] = frozenset()) -> Sources:
    """Sources after (name, type, seconds) events."""
    sources = Sources(declared)
    for name, kind, second in events:
        sources.take(name, kind, START_MS + 1000 * second)
    return sources


def silent(sources: Sources, second: int) -> list[tuple[str, int]]:
    """(name, silent seconds) at `second`."""
    return [(one.source, one.silent_s) for one in sources.silent(START_MS + 1000 * second)]


def test_only_a_declared_source_is_missed() -> None:
    """A source nobody promised may stop; one that beats, or that the settings name, may not."""
    sources = heard(
        ("free", "chat", 0), ("beating", "source.beat", 0), ("named", "chat", 0), declared=frozenset({"named"})
    )

    assert {name for name, _ in silent(sources, 10_000)} == {"beating", "named"}


def test_a_beating_source_may_be_silent_for_thirty_seconds() -> None:
    """Exactly 30 s are allowed; any event counts as a sign of life."""
    sources = heard(("a", "source.beat", 0), ("a", "chat", 10))

    assert silent(sources, 10 + BEAT_LIMIT_S) == []
    assert sources.silent(START_MS + 40_001) == (Silence("a", 30, START_MS + 10_000),)


@pytest.mark.parametrize(
    ("gaps", "limit_s"),
    [
        ([], QUIET_MIN_S),
        ([1] * 50, QUIET_MIN_S),
        ([12] * 50, QUIET_MIN_S),
        ([13] * 50, 65),
        ([30] * 50, 150),
        ([1] * 99 + [100], QUIET_MIN_S),
        ([1] * 98 + [100] * 2, 500),
        ([119] * 5, 595),
        ([121] * 5, QUIET_MAX_S),
        ([10_000] * 5, QUIET_MAX_S),
    ],
)
def test_a_source_without_beats_is_given_five_times_its_usual_gaps(gaps: list[int], limit_s: int) -> None:
    """max(60 s, 5 x the 99th percentile of its own gaps), at most 10 minutes."""
    at, events = 0, [("a", "chat", 0)]
    for gap in gaps:
        at += gap
        events.append(("a", "chat", at))
    sources = heard(*events, declared=frozenset({"a"}))

    assert sources.by_name["a"].limit_s() == limit_s
    assert silent(sources, at + limit_s) == []
    assert silent(sources, at + limit_s + 1) == [("a", limit_s + 1)]


@given(st.lists(st.integers(0, 700), min_size=1, max_size=120))
def test_the_percentile_equals_sorting(gaps: list[int]) -> None:
    """The 99th percentile by nearest rank of the gaps, as a sorted list gives it."""
    source, counted = Source(), [min(gap, QUIET_MAX_S) for gap in gaps]
    for gap in counted:
        source.gaps[gap] += 1
    rank = -(-99 * len(counted) // 100)
    p99 = sorted(counted)[rank - 1]

    assert source.limit_s() == min(QUIET_MAX_S, max(QUIET_MIN_S, 5 * p99))


def test_an_older_event_is_no_new_sign_of_life() -> None:
    """Reordered events leave the newest time, and no negative gap is counted."""
    sources = heard(("a", "source.beat", 100), ("a", "chat", 50))

    assert sources.by_name["a"].last_ms == START_MS + 100_000
    assert sum(sources.by_name["a"].gaps) == 0


def test_a_source_is_news_only_with_a_new_type() -> None:
    """What is new is told once: the source itself, then each type."""
    sources = Sources(frozenset())
    kinds = ("chat", "chat", "like", "source.beat", "source.beat")

    assert [sources.take("a", kind, START_MS) for kind in kinds] == [True, False, True, True, False]


def test_blind_are_the_types_that_only_silent_sources_sent() -> None:
    """Chats go on elsewhere, orders do not; a beat is nothing to be blind for."""
    sources = heard(
        ("shop", "order.paid", 0), ("shop", "chat", 0), ("shop", "source.beat", 0), ("reader", "chat", 1_000)
    )

    assert sources.blind(sources.silent(START_MS + 1_000_000)) == {"order.paid"}
    assert sources.blind(()) == frozenset()


def test_a_source_that_speaks_again_is_no_longer_missed() -> None:
    """One event is enough."""
    sources = heard(("a", "source.beat", 0))
    assert silent(sources, 100)
    sources.take("a", "source.beat", START_MS + 100_000)

    assert silent(sources, 100) == []


def test_restored_sources_are_missed_the_same() -> None:
    """Beats, names of the settings, gaps and types survive msgpack, in the same order."""
    events = [
        ("z", "source.beat", 0),
        ("n", "chat", 0),
        ("n", "chat", 40),
        ("a", "source.beat", 5),
        ("free", "like", 0),
    ]
    first = heard(*events, declared=frozenset({"n"}))
    second = Sources(frozenset({"n"}))
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))

    for second_s in (10, 35, 36, 41, 241, 1_000):
        assert second.silent(START_MS + 1000 * second_s) == first.silent(START_MS + 1000 * second_s)
    assert second.take("free", "like", START_MS + 60_000) is False


def test_very_many_sources_are_not_all_remembered() -> None:
    """Beyond a limit a new name is passed over, unless the settings declare it."""
    sources = heard(*((str(n), "chat", 0) for n in range(SOURCES_MAX + 5)), declared=frozenset({"mine"}))
    sources.take("mine", "chat", START_MS)

    assert len(sources.by_name) == SOURCES_MAX + 1
    assert silent(sources, 10_000) == [("mine", 10_000)]
