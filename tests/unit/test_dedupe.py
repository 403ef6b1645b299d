"""The same message twice: by room, source, type and id; two minutes of room time, money for the whole show."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import dedupe
from stream.dedupe import DEDUPE_S, Seen
from stream.events import AdSpend, Chat, Like, OrderPaid, OrderRefunded, RoomEvent

NOW = 1_760_000_000


def chat(id_: str | None, source: str | None = "douyin") -> Chat:
    return Chat(room="r", id=id_, source=source, text="a")


def paid(id_: str) -> OrderPaid:
    return OrderPaid(room="r", id=id_, source="shop", order="o", amount=990)


def test_without_an_id_nothing_is_a_duplicate() -> None:
    """Content is never compared: real order data has identical lines."""
    seen = Seen()
    line = OrderPaid(room="r", order="o", amount=990)

    assert [seen.again(event, NOW) for event in (chat(None), chat(None), line, line)] == [False] * 4


def test_the_same_id_is_another_message_in_another_source_or_type() -> None:
    """Ids are the source's own; a like and a chat may share one, and so may no source and a named one."""
    seen = Seen()
    events: list[RoomEvent] = [
        chat("1"),
        chat("1", source="tiktok"),
        chat("1", source=None),
        Like(room="r", id="1", source="douyin"),
        OrderPaid(room="r", id="1", source="douyin", amount=1),
        OrderRefunded(room="r", id="1", source="douyin", amount=1),
        AdSpend(room="r", id="1", source="douyin", channel="feed", amount=1),
    ]

    assert [seen.again(event, NOW) for event in events] == [False] * len(events)
    assert [seen.again(event, NOW) for event in events] == [True] * len(events)


@pytest.mark.parametrize("second", [0, 1, 60, 119])
def test_a_message_is_remembered_for_two_minutes_and_at_most_four(second: int) -> None:
    """Whenever in a span of DEDUPE_S it came, until the next span is over."""
    first_s = NOW // DEDUPE_S * DEDUPE_S + second
    for after_s in (0, 119, 120, 239, 240, 10_000):
        seen = Seen()
        seen.again(chat("1"), first_s)

        assert seen.again(chat("1"), first_s + after_s) is (second + after_s < 2 * DEDUPE_S)


@given(st.lists(st.tuples(st.integers(0, 260), st.sampled_from("abcd")), max_size=40))
def test_spans_are_exact_whatever_comes_between(script: list[tuple[int, str]]) -> None:
    """Equal to a plain list of when each id was last taken as new: a duplicate in that span and in the next."""
    seen, now, taken = Seen(), NOW, dict[str, int]()
    for gap, id_ in script:
        now += gap
        expected = id_ in taken and now // DEDUPE_S - taken[id_] // DEDUPE_S <= 1
        assert seen.again(chat(id_), now) is expected
        if not expected:
            taken[id_] = now


@given(st.lists(st.tuples(st.integers(0, 3_600), st.integers(0, 20)), max_size=30))
def test_money_is_remembered_for_the_whole_show(script: list[tuple[int, int]]) -> None:
    """However long ago: a payment that is sent again hours later counts once."""
    seen, now, taken = Seen(), NOW, set[int]()
    for gap, id_ in script:
        now += gap
        assert seen.again(paid(str(id_)), now) is (id_ in taken)
        taken.add(id_)


def test_money_of_the_last_show_is_still_known_in_the_next() -> None:
    """A webhook that comes late belongs to the show before; two shows later its id may be another's."""
    seen = Seen()
    seen.again(paid("1"), NOW)
    seen.start_show()
    assert seen.again(paid("1"), NOW + 60)
    seen.start_show()
    seen.start_show()

    assert not seen.again(paid("1"), NOW + 120)


def test_beyond_the_limit_the_oldest_half_is_forgotten_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: at most KEYS_MAX of each kind are held, and what went early is told."""
    monkeypatch.setattr(dedupe, "KEYS_MAX", 100)
    seen = Seen()
    for n in range(120):
        seen.again(chat(str(n)), NOW)
        seen.again(paid(str(n)), NOW)

    assert seen.recent.count + seen.before.count <= 100
    assert seen.money.count + seen.money_before.count <= 100
    assert seen.forgotten_early == 100
    assert seen.again(chat("119"), NOW)
    assert seen.again(paid("119"), NOW)
    assert not seen.again(chat("0"), NOW)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 130), st.sampled_from("abcd"), st.booleans()), max_size=30),
    st.lists(st.tuples(st.integers(0, 130), st.sampled_from("abcd"), st.booleans()), max_size=30),
)
def test_a_restored_memory_goes_on_the_same(
    before: list[tuple[int, str, bool]], after: list[tuple[int, str, bool]]
) -> None:
    """Snapshot in between, as msgpack: the same messages are duplicates."""
    first, second, now = Seen(), Seen(), NOW
    for gap, id_, money in before:
        now += gap
        first.again(paid(id_) if money else chat(id_), now)
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))

    for gap, id_, money in after:
        now += gap
        event = paid(id_) if money else chat(id_)
        assert first.again(event, now) is second.again(event, now)
