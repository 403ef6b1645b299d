"""Events that wait: as rows and as what they were, taken by second in the order of time, numbered anew, restored."""

from collections.abc import Iterable, Sequence
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import events as e
from stream.loops import AMOUNT, KIND, NONE, ORDER, PIECES, SAYS, SOURCE, TS, USER, WHAT
from stream.names import NOBODY, hashed
from stream.waiting import CODE, KINDS, N_COLUMNS, TOLD, Moment, Pane, Waiting

START_S = 1_760_000_000
START = 1000 * START_S
USERS = (None, "u1", "u2", "u3")
PRODUCTS = ("p1", "p2", "p3")
SOURCES = (None, "a", "b")
NAMES = {hashed(name): name for name in (*USERS, "u0", "u7", "gone")}  # users that tests name, by their hashes

# What is more than a row has fields that no row holds.
MAKERS: tuple[Any, ...] = (
    lambda n, **common: e.Chat(text="a", **common),
    lambda n, **common: e.Like(count=n, **common),
    lambda n, **common: e.RoomExposure(count=n + 1, **common),
    lambda n, **common: e.Follow(**common),
    lambda n, **common: e.ViewerJoin(**common),
    lambda n, **common: e.ViewerJoin(from_="ads", **common),
    lambda n, **common: e.ViewerJoin(ref="video7", **common),
    lambda n, **common: e.ViewerJoin(segment=e.Segment(region="tier1"), **common),
    lambda n, **common: e.ViewerLeave(**common),
    lambda n, **common: e.ProductExpose(product=PRODUCTS[n % 3], **common),
    lambda n, **common: e.ProductClick(product=PRODUCTS[n % 3], **common),
    lambda n, **common: e.CartAdd(product=PRODUCTS[n % 3], **common),
    lambda n, **common: e.CartRemove(product=PRODUCTS[n % 3], **common),
    lambda n, **common: e.ViewerCount(online=n, **common),
    lambda n, **common: e.Gift(count=n, value=5, **common),
    lambda n, **common: e.OrderCreated(order=f"o{n}", product=PRODUCTS[n % 3], amount=n, **common),
    lambda n, **common: e.OrderPaid(order=f"o{n}", product=PRODUCTS[n % 3], amount=n, **common),
    lambda n, **common: e.OrderRefunded(order=f"o{n}", product=PRODUCTS[n % 3], amount=n, **common),
    lambda n, **common: e.StockLevel(product=PRODUCTS[n % 3], available=n, **common),
    lambda n, **common: e.RoomStart(title=f"show {n}", **common),
    lambda n, **common: e.ProductPin(product=PRODUCTS[n % 3], **common),
    lambda n, **common: e.HostSpeech(text="大家好", **common),
    lambda n, **common: e.AdSpend(amount=n, channel="feed", **common),
    lambda n, **common: e.SourceBeat(**common),
    lambda n, **common: e.OrderPaid(qty=n, amount=10**12, **common),
    lambda n, **common: e.OrderPaid(order=f"o{n}", amount=n, returning=n > 4, **common),
    lambda n, **common: e.OrderPaid(order=f"o{n}", amount=n, channel="feed", **common),
    lambda n, **common: e.OrderRefunded(amount=n, channel="feed", **common),
)
ROWS_ALONE = (e.Chat, e.Like, e.RoomExposure, e.Follow, e.ViewerLeave, e.ProductExpose, e.ProductClick, e.CartAdd)
ROWS_ALONE += (e.CartRemove, e.SourceBeat, e.OrderCreated)
OWN_LIST = (e.ViewerJoin, e.ViewerCount, e.Gift, e.AdSpend, e.OrderPaid, e.OrderRefunded)
SELLING = (e.OrderCreated, e.OrderPaid, e.OrderRefunded)
COUNTED: dict[type, str] = {e.Like: "count", e.RoomExposure: "count"}
ABOUT_PRODUCTS = (e.ProductExpose, e.ProductClick, e.CartAdd)


def made(kind: int, ms: int, n: int, user: str | None, source: str | None) -> e.RoomEvent:
    event: e.RoomEvent = MAKERS[kind](n, room="r", ts=START + ms, user=user, source=source)
    return event


events_of = st.builds(
    made,
    st.integers(0, len(MAKERS) - 1),
    st.integers(0, 4_000),
    st.integers(0, 9),
    st.sampled_from(USERS),
    st.sampled_from(SOURCES),
)
many = st.lists(events_of, max_size=40)


def told(waiting: Waiting, row: Sequence[int]) -> tuple[Any, ...]:
    """What a row says, in words."""
    kind, what = KINDS[row[KIND]], row[WHAT]
    line = row[ORDER], row[PIECES], row[AMOUNT], row[SAYS]
    if kind in SELLING:
        line = waiting.orders.by_number()[row[ORDER]], *line[1:]
    return (
        row[TS],
        kind,
        NAMES[waiting.users.by_number()[row[USER]]],
        waiting.products.name(what) if kind in ABOUT_PRODUCTS + SELLING else what,
        waiting.sources.name(row[SOURCE]),
        *line,
    )


def meant(event: Any) -> tuple[Any, ...]:
    """What the row of an event should say: about which product, or how many; and what was sold."""
    kind, line = type(event), (0, 0, 0, 0)
    what = event.product if kind in ABOUT_PRODUCTS else getattr(event, COUNTED[kind]) if kind in COUNTED else 1
    if kind in SELLING:
        what, line = event.product, (hashed(event.order), event.qty, event.amount, int(event.user is not None))
    return event.ts, kind, event.user, what, event.source, *line


def more_than_a_row(event: e.RoomEvent) -> bool:
    """Whether the event itself is kept."""
    if isinstance(event, e.ViewerJoin):
        return (event.from_, event.ref, event.segment) != (None, None, None)
    if isinstance(event, e.OrderPaid | e.OrderRefunded):
        returning = event.returning if isinstance(event, e.OrderPaid) else None
        return (event.channel, returning) != (None, None)
    return not isinstance(event, ROWS_ALONE)


def pane_of(events: Iterable[e.RoomEvent]) -> Pane:
    """Those that are more than a row: a list for each type that may be taken by itself, one for all others."""
    pane: Pane = {}
    for event in events:
        if more_than_a_row(event):
            pane.setdefault(type(event) if isinstance(event, OWN_LIST) else TOLD, []).append(event)
    return pane


def check(waiting: Waiting, moment: Moment | None, expected: list[e.RoomEvent]) -> None:
    """A moment holds exactly these events, in this order."""
    if moment is None:
        assert expected == []
        return
    assert [told(waiting, row) for row in moment.rows.tolist()] == [meant(event) for event in expected]
    assert moment.pane == pane_of(expected)


def fill(waiting: Waiting, events: Sequence[e.RoomEvent]) -> None:
    """Let events wait."""
    for event in events:
        waiting.add(event)


def test_every_type_of_event_has_a_code() -> None:
    """The codes are the places in the list of types, and no type is left out."""
    assert set(KINDS) == set(get_args(e.RoomEvent)) == set(CODE)
    assert [CODE[kind] for kind in KINDS] == [*range(len(KINDS))]


@given(many)
def test_a_row_says_what_its_event_does(events: list[e.RoomEvent]) -> None:
    """When, what, who, about which product or how much, and by whose word; 1 where it says neither."""
    waiting = Waiting()
    rows = [waiting.row(event) for event in events]

    assert [told(waiting, row) for row in rows] == [meant(event) for event in events]


@settings(max_examples=80)
@given(many, st.booleans())
def test_a_second_is_taken_in_the_order_of_time(events: list[e.RoomEvent], saved: bool) -> None:
    """Its events and no others, sorted, ties in the order of the log; what is left goes on waiting."""
    waiting = Waiting()
    fill(waiting, events)
    left = events
    for second in (START_S + 2, START_S, START_S + 1, START_S + 5, START_S + 4, START_S + 3):
        times = [event.ts for event in left]
        assert len(waiting) == len(left)
        assert (waiting.first_s(), waiting.last_s()) == (
            (min(times) // 1000, max(times) // 1000) if times else (None, None)
        )
        if times:
            assert waiting.first_ms() == min(times)
        if saved:
            again = Waiting()
            again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(waiting.snapshot())))
            assert again.snapshot() == waiting.snapshot()
            waiting = again
        mine = sorted((event for event in left if event.ts // 1000 == second), key=lambda event: event.ts)
        check(waiting, waiting.take(second), mine)
        left = [event for event in left if event.ts // 1000 != second]
        assert sorted(map(repr, waiting.events())) == sorted(repr(one) for one in left if more_than_a_row(one))
    assert len(waiting) == 0
    with pytest.raises(ValueError, match="zero-size"):
        waiting.first_ms()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_ties_stay_in_the_order_of_the_log(times: list[int]) -> None:
    """Rows and events alike."""
    waiting = Waiting()
    fill(waiting, [made(1, ms, n, None, None) for n, ms in enumerate(times)])
    fill(waiting, [made(18, ms, n, None, None) for n, ms in enumerate(times)])
    moment = waiting.take(START_S)
    assert moment is not None

    wanted = [n for n, _ in sorted(enumerate(times), key=lambda pair: pair[1])]
    likes = moment.rows[moment.rows[:, KIND] == CODE[e.Like]]
    assert likes[:, WHAT].tolist() == wanted
    assert [event.available for event in moment.pane[TOLD]] == wanted


@given(many, st.integers(0, 4_000))
def test_a_moment_is_parted_at_a_time(events: list[e.RoomEvent], at_ms: int) -> None:
    """What lies before it, and what does not; of both rows and events, and no list is left empty."""
    waiting = Waiting()
    events = [msgspec.structs.replace(event, ts=START + (event.ts - START) % 1_000) for event in events]
    at_ms %= 1_000
    fill(waiting, events)
    later = waiting.take(START_S)
    if later is None:
        return
    earlier = later.take_before(START + at_ms)

    in_order = sorted(events, key=lambda event: event.ts)
    check(waiting, earlier, [event for event in in_order if event.ts < START + at_ms])
    check(waiting, later, [event for event in in_order if event.ts >= START + at_ms])


@given(events_of)
def test_an_event_alone_is_a_moment_that_does_not_wait(event: e.RoomEvent) -> None:
    """A straggler is taken at once; nothing else is touched by it."""
    waiting = Waiting()
    waiting.add(made(5, 100, 1, "u1", None))
    held = waiting.snapshot()["rows"], waiting.snapshot()["kept"]
    moment = waiting.moment(event)

    check(waiting, moment, [event])
    assert (waiting.snapshot()["rows"], waiting.snapshot()["kept"]) == held


@given(many, many, many)
def test_forgetting_keeps_the_names_of_what_waits(
    gone: list[e.RoomEvent], waits: list[e.RoomEvent], held: list[e.RoomEvent]
) -> None:
    """Rows that wait, or are given, say the same as before; other names are free, and sources stay."""
    waiting = Waiting()
    fill(waiting, [msgspec.structs.replace(event, ts=START - 5_000) for event in gone])
    fill(waiting, [msgspec.structs.replace(event, user="gone", ts=START - 5_000) for event in gone])
    others = np.array([waiting.row(event) for event in held], np.int64).reshape(-1, N_COLUMNS)
    fill(waiting, waits)
    waiting.take(START_S - 5)
    sources = waiting.sources.snapshot()
    waiting.forget(others)

    assert [told(waiting, row) for row in others.tolist()] == [meant(event) for event in held]
    users = {event.user for event in [*waits, *held]} - {None}
    told_of = [event for event in [*waits, *held] if isinstance(event, ABOUT_PRODUCTS + SELLING)]
    products = {meant(event)[3] for event in told_of} - {None}
    orders = {event.order for event in told_of if isinstance(event, SELLING)} - {None}
    assert (waiting.users.count, len(waiting.products)) == (len(users), len(products))
    assert waiting.orders.count == len(orders)
    assert waiting.sources.snapshot() == sources
    for second in range(START_S, START_S + 5):
        mine = sorted((event for event in waits if event.ts // 1000 == second), key=lambda event: event.ts)
        check(waiting, waiting.take(second), mine)


def test_room_for_many_is_made_as_they_come() -> None:
    """Thousands of rows, in seconds that are taken out between."""
    waiting = Waiting()
    added = 0
    for second in range(30):
        events = [made(1, 1_000 * second + n % 1_000, n, f"u{n}", None) for n in range(150)]
        fill(waiting, events[:50])
        fill(waiting, events[50:])
        added += 150
        if second % 3 == 2:
            moment = waiting.take(START_S + second - 2)
            assert moment is not None
            assert moment.rows[:, WHAT].tolist() == [*range(150)]
            added -= 150
        assert len(waiting) == added


def test_beyond_the_limits_an_event_counts_for_the_room_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users, products, orders and sources too many have no number; the rows are there."""
    for name in ("USERS_MAX", "PRODUCTS_MAX", "ORDERS_MAX", "SOURCES_NAMED_MAX"):
        monkeypatch.setattr(f"stream.waiting.{name}", 1)
    waiting = Waiting()
    rows = [waiting.row(made(10, n, n, f"u{n}", f"s{n}")) for n in range(3)]

    assert [(row[USER], row[WHAT], row[SOURCE]) for row in rows] == [(1, 1, 1), *[(NOBODY, NONE, NOBODY)] * 2]
    assert (waiting.users.full, waiting.products.full, waiting.sources.full) == (True, True, True)
    rows = [waiting.row(made(16, n, n, f"u{n}", None)) for n in range(3)]
    assert [(row[WHAT], row[ORDER], row[SAYS]) for row in rows] == [(1, 1, 1), *[(NONE, NONE, 1)] * 2]
    assert waiting.orders.full
