"""However events come in, together or one by one: the room stands the same, and the same ones are refused."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream import dedupe
from stream import events as e
from stream.clock import LAST_MS
from stream.entrance import Entrance
from stream.errors import RejectedEvent
from stream.loops import KIND, USER
from stream.names import NOBODY, hashed
from stream.numbers import KEYS
from stream.playbook import Playbook
from stream.room import NEVER_MS, RoomConfig, RoomState
from stream.waiting import CODE
from tests.simulation.test_order import facts
from tests.unit.rooms import columns_of, written
from tests.unit.test_waiting import PRODUCTS, check, events_of

BEGIN_MS = 1_760_000_040_000  # a span of remembered ids begins
LATENESS_MS = 3_500  # so that a second falls due within another one
PLAIN = Playbook.load("[screen]\n", room=KEYS, product=frozenset())
Arrival = tuple[int, e.RoomEvent]


def new() -> RoomState:
    """A room that has seen nothing."""
    return RoomState("r", PLAIN, RoomConfig(lateness_ms=LATENESS_MS))


def together(arrivals: list[Arrival], size: int) -> tuple[RoomState, list[tuple[int, str]]]:
    """A room to which they came `size` at a time, and what it refused."""
    room, refused = new(), list[tuple[int, str]]()
    for start in range(0, len(arrivals), size):
        some = arrivals[start : start + size]
        columns = (written if size % 2 else columns_of)([event for _, event in some])
        faults = room.apply_all(columns, np.array([arrived_ms for arrived_ms, _ in some]))
        refused += [(start + place, repr(fault)) for place, fault in faults]
    return room, refused


def one_by_one(arrivals: list[Arrival]) -> tuple[RoomState, list[tuple[int, str]]]:
    """The same one by one."""
    room, refused = new(), list[tuple[int, str]]()
    for place, (arrived_ms, event) in enumerate(arrivals):
        try:
            room.apply(event, arrived_ms)
        except Exception as fault:
            refused.append((place, repr(fault)))
    return room, refused


def agree(arrivals: list[Arrival], size: int) -> RoomState:
    """Both stand the same; returns one of them."""
    (room, refused), (other, wanted) = together(arrivals, size), one_by_one(arrivals)

    assert refused == wanted
    assert facts(room) == facts(other)
    assert forgotten(room) == forgotten(other)
    return room


def forgotten(room: RoomState) -> int:
    """How many keys went early; no part of a snapshot."""
    return room._entrance.seen.forgotten_early


def at(ms: int, id_: str | None = None, kind: type = e.Like, arrived_ms: int | None = None, **fields: Any) -> Arrival:
    """A message `ms` after the beginning, which arrives 100 ms later, or `arrived_ms` after the beginning."""
    event = kind(room="r", ts=BEGIN_MS + ms, id=id_, **fields)
    return BEGIN_MS + (ms + 100 if arrived_ms is None else arrived_ms), event


KINDS: tuple[tuple[type, dict[str, Any]], ...] = (
    (e.Like, {}),
    (e.ViewerJoin, {"user": "u"}),
    (e.ViewerLeave, {"user": "u"}),
    (e.Chat, {"text": "1", "user": "v"}),
    (e.ProductClick, {"product": "p", "user": "w"}),
    (e.CartAdd, {"product": "q", "user": "x"}),
    (e.ProductExpose, {"product": "r", "user": "u"}),
    (e.OrderCancelled, {"order": "o"}),
    (e.StockLevel, {"product": "p", "available": 3}),
    (e.OrderPaid, {"amount": 100}),
    (e.OrderPaid, {"amount": 100, "currency": "EUR"}),
    (e.OrderRefunded, {"amount": 100}),
    (e.RoomStart, {}),
    (e.HostSpeech, {"text": "1"}),
)


@st.composite
def scripts(draw: st.DrawFn) -> list[Arrival]:
    """Messages of few ids, sources and types, with repeats, stragglers, pauses, and times that cannot be meant."""
    arrived_ms, found = BEGIN_MS, list[Arrival]()
    steps = st.sampled_from((0, 0, 1, 40, 300, 900, 5_000, 70_000, -200))
    behind = st.sampled_from((0, 0, 3, 700, 2_500, 9_000, -40, -6_000, BEGIN_MS - 17, BEGIN_MS - 1))
    for _ in range(draw(st.integers(1, 60))):
        arrived_ms += draw(steps)
        kind, particulars = draw(st.sampled_from(KINDS[:12] * 4 + KINDS))
        head = {
            "room": "r",
            "ts": max(0, arrived_ms - draw(behind)),
            "id": draw(st.none() | st.sampled_from("abcdefghijklmnopqrstuvwxyz")),
            "source": draw(st.sampled_from((None, None, "douyin", "shop"))),
            "stamped": draw(st.booleans()),
        }
        found.append((arrived_ms, kind(**head, **particulars)))
    return found


@settings(max_examples=60, deadline=None)
@given(scripts(), st.sampled_from((2, 3, 7, 60)))
def test_together_is_as_one_by_one(arrivals: list[Arrival], size: int) -> None:
    """State, counts and refusals are the same, with repeats, several sources and currencies, and no ids at all."""
    agree(arrivals, size)


@settings(max_examples=40, deadline=None)
@given(arrivals=scripts(), size=st.sampled_from((2, 7, 60)), most=st.integers(2, 12), names=st.integers(1, 3))
def test_limits_are_met_alike(arrivals: list[Arrival], size: int, most: int, names: int) -> None:
    """Where keys are forgotten early, or users, products and sources are too many, it is at the same event."""
    with pytest.MonkeyPatch.context() as patch:  # not the fixture, which lasts for all examples
        patch.setattr(dedupe, "KEYS_MAX", most)
        for limit in ("USERS_MAX", "PRODUCTS_MAX", "SOURCES_NAMED_MAX"):
            patch.setattr(f"stream.waiting.{limit}", names)
        agree(arrivals, size)


def test_a_repeat_among_those_that_come_together_counts_once() -> None:
    """From several sources, and without one; ids of another source or type are others."""
    kinds: list[tuple[type, dict[str, Any]]] = [(e.Like, {}), (e.Chat, {"text": "1"}), (e.OrderPaid, {"amount": 1})]
    pairs = [(source, *kind) for source in ("douyin", None, "shop") for kind in kinds]
    found = [at(n, id_, kind, source=source, **more) for n, id_ in enumerate("abab") for source, kind, more in pairs]

    assert agree(found, 100).duplicates == 18


def test_what_came_in_the_span_before_is_known() -> None:
    """A repeat in the next span is one, two spans later it is new."""
    spans = ((0, "abcdef"), (120, "ghiabj"), (240, "klmcdg"))
    found = [at(second * 1_000 + n, id_) for second, ids in spans for n, id_ in enumerate(ids)]

    assert agree(found, 100).duplicates == 3


def test_money_of_the_last_show_is_known_in_the_next() -> None:
    """And what comes in the next is remembered for that one."""
    found = list[Arrival]()
    for second, ids in ((0, "xabc"), (20, "ydba"), (40, "zcdd"), (60, "wdd")):
        found.append(at(second * 1_000, kind=e.RoomStart))
        found += [at(second * 1_000 + 9_000 + n, id_, e.OrderPaid, amount=1) for n, id_ in enumerate(ids)]

    assert agree(found, 100).duplicates == 5


def test_beyond_the_limit_the_oldest_are_forgotten_at_the_same_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come at a time."""
    monkeypatch.setattr(dedupe, "KEYS_MAX", 20)
    room = agree([at(n, str(n % 23)) for n in range(100)], 50)

    assert forgotten(room) > 20


def test_a_time_too_far_ahead_is_mended() -> None:
    """Also where something waits in that second already."""
    room = agree(
        [at(4_000, arrived_ms=100), at(5_098, arrived_ms=100), at(5_099, arrived_ms=100), at(5_101, arrived_ms=100)], 4
    )

    assert room.stamped == 1


def test_room_time_that_makes_a_second_due_closes_it_before_the_next_event() -> None:
    """The event that brings it comes in time, an older one after it too late."""
    room = agree([at(0), at(4_400), at(4_450), at(4_600, arrived_ms=4_550), at(10, arrived_ms=4_550)], 5)

    assert room.late == 1


def test_refused_money_leaves_no_trace() -> None:
    """Its source is not known by it, however it comes."""
    found = [at(n, f"{n}", e.OrderPaid, amount=1) for n in range(3)]
    found.append(at(3, "3", e.OrderPaid, amount=1, currency="EUR", source="shop"))
    room = agree([*found, at(4), at(5)], 6)

    assert [*room._entrance.waiting.sources.of] == [None]


def test_a_time_that_no_record_can_have_comes_to_an_end() -> None:
    """Arrivals of 2^62 ms and beyond are taken as the last there is, alone and among others; what follows comes in."""
    for odd_ms in (2**62, 5 * 10**18, 2**63 - 1, -(2**63)):
        found = [at(n) for n in range(3)]
        found += [(odd_ms, at(3)[1]), at(4), at(5_000), (odd_ms, at(6_000)[1]), at(7_000)]
        room = agree(found, 8)
        room.advance(odd_ms)

        assert room.clock.arrived_ms <= LAST_MS
        assert len(together(found, 3)[1]) == len(one_by_one(found)[1])


def test_names_left_out_of_a_show_are_not_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the show that had too many users says so."""
    monkeypatch.setattr("stream.waiting.USERS_MAX", 2)
    found = [at(0), at(5_000), *(at(5_000 + n, kind=e.Chat, user=f"u{n}", text="1") for n in range(4))]
    room = agree([*found, at(11_000)], 10)
    assert room.tally.users.full
    found += [at(11_000, kind=e.RoomStart), at(18_000), at(19_000, kind=e.Chat, user="u", text="1"), at(30_000)]
    room = agree(found, 12)

    assert (room.tally.users.full, room.tally.users.count) == (False, 1)


def test_a_show_that_begins_among_those_that_come_together_numbers_anew() -> None:
    """Users and products are forgotten in between; those after it bring theirs again, also those of before."""
    found = list[Arrival]()
    for n in range(40):
        found.append(at(400 * n, f"c{n}", e.Chat, user=f"u{n % 7}", text="1"))
        found.append(at(400 * n + 10, f"p{n}", e.ProductClick, user=f"u{n % 5}", product=f"p{n % 3}"))
        if n in (13, 26):
            found.append(at(400 * n + 20, f"s{n}", e.RoomStart, title=f"show {n}"))
    room = agree(found, len(found))

    assert room.show is not None
    assert room.show.show_ms == BEGIN_MS + 400 * 26 + 20
    assert set(room.tally.users.by_number().tolist()) == {hashed(name) for name in (None, *(f"u{n}" for n in range(7)))}


# --- an entrance by itself


WALL = 1_800_000_000_000  # when the records arrive


def chat(n: int, ms: int = 0, **fields: object) -> e.Chat:
    """A message of a user of its own."""
    common: dict[str, object] = {"room": "r", "source": "a", "ts": BEGIN_MS + ms, "id": f"{n}", "text": "a"}
    return msgspec.convert(common | {"user": f"u{n}"} | fields, e.Chat)


def paid(n: int, ms: int = 0, **fields: object) -> e.OrderPaid:
    """Money."""
    common: dict[str, object] = {"room": "r", "source": "a", "ts": BEGIN_MS + ms, "id": f"{n}", "amount": 990}
    return msgspec.convert(common | fields, e.OrderPaid)


def single(entrance: Entrance, event: e.RoomEvent, arrived_ms: int) -> bool:
    """Let an event in as a room does; False when it was seen before."""
    entrance.clock.arrive(arrived_ms)
    admitted = entrance.admit(event)
    if admitted is not None:
        entrance.clock.see(admitted.ts)
        entrance.waiting.add(admitted)
    return admitted is not None


def warm(ms: int = 0, arrived_ms: int = WALL) -> Entrance:
    """An entrance that knows the time, a source, its types and the currency."""
    entrance = Entrance()
    for event in (chat(0, ms), paid(0, ms)):
        assert single(entrance, event, arrived_ms)
    return entrance


def state(entrance: Entrance) -> dict[str, object]:
    """All that it holds."""
    return entrance.snapshot()


def flow(
    entrance: Entrance, events: Sequence[e.RoomEvent], arrived: Sequence[int], start: int, *limits: int
) -> tuple[int, int]:
    """As the entrance lets them in, from the bytes that a sender would write."""
    return entrance.flow(written(events), np.array(arrived, np.int64), start, *limits)


def due_of(ts: int, lateness_ms: int) -> int:
    """When the second of an event is to be closed."""
    return (ts // 1000 + 1) * 1000 + lateness_ms


class Gate(NamedTuple):
    """What a flow is told besides the events; times are ms after the beginning."""

    due_s: int | None  # and the lateness; None: nothing is due
    span: int  # until what is remembered goes over into the next span
    lateness: int
    closed: int
    arrived: int  # the first arrival


def flow_singly(
    entrance: Entrance, told: Sequence[tuple[int, e.RoomEvent]], begin_ms: int, gate: Gate
) -> tuple[int, int]:
    """As `Entrance.flow`, by the clock's own word, event by event: how many come in, and when a second is due."""
    clock, due_ms = entrance.clock, due_at(begin_ms, gate)
    for place, (arrived_ms, event) in enumerate(told):
        limit_ms = min(due_ms, entrance.seen.end_ms)
        if clock.now_ms >= limit_ms:
            return place, due_ms
        before = clock.snapshot()
        clock.arrive(arrived_ms)
        out_of_time = not begin_ms + gate.closed <= event.ts <= clock.arrived_ms + e.AHEAD_MAX_MS
        if clock.now_ms >= limit_ms or out_of_time:
            clock.restore(before)
            return place, due_ms
        if single(entrance, event, arrived_ms):
            due_ms = min(due_ms, due_of(event.ts, gate.lateness))
    return len(told), due_ms


def due_at(begin_ms: int, gate: Gate) -> int:
    """When the first second is due."""
    return NEVER_MS if gate.due_s is None else begin_ms + 1000 * gate.due_s + gate.lateness


# ms since the last arrival, ms after the beginning, id (few, so that some repeat, or none), money, stamped
flowing = st.tuples(
    st.integers(-300, 1_500),
    st.integers(-500, 6_000),
    st.none() | st.integers(0, 12),
    st.booleans(),
    st.booleans(),
)
gates = st.builds(
    Gate,
    st.sampled_from((None, None, 1, 3, 5)),
    st.sampled_from((2_000, 6_000, 100_000, 100_000)),
    st.sampled_from((0, 1, 999, 3_000)),
    st.sampled_from((-(10**6), -(10**6), 0, 1_000)),
    st.sampled_from((WALL - BEGIN_MS, WALL - BEGIN_MS, 0, -1_000, -5_000)),
)
Flowing = tuple[int, int, int | None, bool, bool]


@settings(max_examples=400)
@given(st.lists(flowing, max_size=16), gates, st.integers(0, 3))
@example(
    [(0, 1_999, None, False, False)] * 2, Gate(None, 2_000, 0, 0, 10**10), 0
)  # up to the span's end, and not on it
@example([(0, 2_000, None, False, False)] * 2, Gate(None, 2_000, 0, 0, 10**10), 0)
@example([(1_999, 1_500, None, False, False), (500, 1_500, None, False, False)], Gate(2, 100_000, 0, 0, 10**10), 0)
@example([(1_999, 1_500, None, False, False), (500, 1_500, None, False, False)], Gate(None, 2_000, 5_000, 0, 10**10), 0)
@example([(0, 0, 1, False, False), (0, 0, 1, False, False), (0, 0, 2, False, False)], Gate(1, 6_000, 0, 0, 10**10), 1)
def test_the_flow_is_that_of_the_clock_one_event_at_a_time(script: list[Flowing], gate: Gate, start: int) -> None:
    """As many come in, the same second is due, and all that the entrance holds is the same, now and later on."""
    begin_ms = BEGIN_MS - gate.span  # BEGIN_MS ends the span
    arrived_ms, events, arrived = begin_ms + gate.arrived, list[e.RoomEvent](), list[int]()
    many, one = warm(-gate.span, arrived_ms), warm(-gate.span, arrived_ms)
    for n, (passed_ms, ms, id_, money, stamped) in enumerate(script):
        arrived_ms += passed_ms
        arrived.append(arrived_ms)
        more = {"id": None if id_ is None else f"{id_}", "stamped": stamped, "user": f"u{n % 5}"}
        events.append((paid if money else chat)(n, ms - gate.span, **more))
    coming, start = [*zip(arrived, events, strict=True)], min(start, len(events))
    place, due_ms = flow(many, events, arrived, start, begin_ms + gate.closed, due_at(begin_ms, gate), gate.lateness)
    taken, wanted_due_ms = flow_singly(one, coming[start:], begin_ms, gate)

    assert (place, due_ms) == (start + taken, wanted_due_ms)
    if place == len(events):
        assert state(many) == state(one)
    assert state(many) | {"clock": ()} == state(one) | {"clock": ()}
    for at_ms, event in coming[place:]:
        for entrance in (many, one):
            single(entrance, event, at_ms)
    assert state(many) == state(one)


@settings(max_examples=80)
@given(st.lists(events_of.filter(lambda event: not isinstance(event, e.RoomStart)), max_size=30))
def test_rows_of_a_flow_are_those_made_singly(events: list[e.RoomEvent]) -> None:
    """Of every type that flows, to the number, and they say what the events do; what is more than its row is kept."""
    events = [msgspec.structs.replace(event, ts=BEGIN_MS + event.ts % 4_000) for event in events]
    many, one = warm(), warm()
    known: list[e.RoomEvent] = [chat(1, source="b"), chat(2, source=None)]
    known += [e.CartAdd(room="r", ts=BEGIN_MS, source="a", product=product) for product in PRODUCTS]
    known += [e.OrderPaid(room="r", ts=BEGIN_MS, source="a", order=f"o{n}", amount=1) for n in range(10)]
    for event in known:
        assert single(many, event, WALL)
        assert single(one, event, WALL)
    assert flow(many, events, [WALL] * len(events), 0, 0, NEVER_MS, 10_000) == (
        len(events),
        min([NEVER_MS, *(due_of(event.ts, 10_000) for event in events)]),
    )
    for event in events:
        single(one, event, WALL)

    assert state(many) == state(one)
    for second in range(4):
        mine = [event for event in [chat(0), paid(0), *known, *events] if event.ts // 1000 == BEGIN_MS // 1000 + second]
        in_order = sorted(mine, key=lambda event: event.ts)
        check(many.waiting, many.waiting.take(BEGIN_MS // 1000 + second), in_order)


ODD: tuple[e.RoomEvent, ...] = (
    chat(2, source="b"),  # the first of its source
    chat(2, id=None, source="b"),
    e.RoomStart(room="r", source="a", ts=BEGIN_MS, id="2"),
    e.RoomStart(room="r", ts=BEGIN_MS),
    e.PromptSend(room="r", source="a", ts=BEGIN_MS, id="2", title="喝口水"),
    e.Violation(room="r", ts=BEGIN_MS, source="b", text="x"),
    paid(2, currency="USD"),  # in a show that counts another
    paid(2, currency="USD", source="b", id=None),
    chat(2, ms=WALL - BEGIN_MS + 5_001),  # further ahead than can be meant
    chat(2, ms=-2_001),  # its second is closed
    chat(2, ts=BEGIN_MS // 1_000),  # in seconds
    chat(2, ts=0),
)


@pytest.mark.parametrize("odd", ODD)
def test_what_needs_a_look_of_its_own_comes_one_by_one(odd: e.RoomEvent) -> None:
    """Where anything is to be judged or learnt of an event, it stops the flow, which leaves no trace of it."""
    many, one = warm(), warm()
    events: list[e.RoomEvent] = [chat(1), paid(1), odd, chat(3)]

    assert flow(many, events, [WALL] * 4, 0, BEGIN_MS - 2_000, NEVER_MS, 0) == (2, due_of(BEGIN_MS, 0))
    for event in events[:2]:
        single(one, event, WALL)
    assert state(many) == state(one)


@pytest.mark.parametrize(
    ("common", "duplicates"),
    [
        (e.ProductClick(room="r", source="a", ts=BEGIN_MS, id="2", product="p"), 0),  # the first of its product
        (chat(2, id=None), 0),  # is it a repeat? nobody knows
        (chat(1), 1),  # comes twice
        (chat(0), 1),  # came before
        (chat(0, source="b", id=None, user="u7"), 0),
        (chat(2, stamped=True), 0),
        (e.Like(room="r", ts=BEGIN_MS, count=1), 0),
        (chat(2, ms=WALL - BEGIN_MS + 5_000), 0),  # as far ahead as can be meant
        (chat(2, ms=-2_000), 0),  # its second is not closed
    ],
)
def test_what_needs_none_comes_together(common: e.RoomEvent, duplicates: int) -> None:
    """Repeats are counted in passing, and what has no id is nobody's repeat."""
    many, one = warm(), warm()
    for entrance in (many, one):
        single(entrance, chat(9, source="b"), WALL)
    events: list[e.RoomEvent] = [chat(1), paid(1), common, chat(3)]
    # a time far ahead comes in, and brings the end of a second
    taken = 4 if common.ts <= BEGIN_MS else 3

    assert flow(many, events, [WALL] * 4, 0, BEGIN_MS - 2_000, NEVER_MS, 10_000)[0] == taken
    for event in events[:taken]:
        single(one, event, WALL)
    assert many.duplicates == duplicates
    assert state(many) == state(one)


def test_before_the_first_event_nothing_comes_together() -> None:
    """There is no room time yet."""
    entrance = Entrance()
    entrance.clock.arrive(WALL)
    before = state(entrance)

    assert flow(entrance, [chat(1), chat(2)], [WALL] * 2, 0, 0, NEVER_MS, 0) == (0, NEVER_MS)
    assert state(entrance) == before


def test_as_many_keys_as_may_be_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one comes alone, and the oldest half is forgotten; a repeat comes in any case."""
    monkeypatch.setattr(dedupe, "KEYS_MAX", 8)  # half of them before older ones are forgotten
    entrance = warm()
    events = [chat(n) for n in (1, 2, 3, 2, 4, 5)]  # one was known before

    assert flow(entrance, events, [WALL] * 6, 0, 0, NEVER_MS, 0)[0] == 4
    assert single(entrance, events[4], WALL)
    assert flow(entrance, events, [WALL] * 6, 5, 0, NEVER_MS, 0)[0] == 6


def test_users_too_many_come_together_as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who have a number keep it."""
    monkeypatch.setattr("stream.waiting.USERS_MAX", 3)
    entrance = warm()

    assert flow(entrance, [chat(n) for n in range(1, 6)], [WALL] * 5, 0, 0, NEVER_MS, 0)[0] == 5
    moment = entrance.waiting.take(BEGIN_MS // 1000)
    assert moment is not None
    assert moment.rows[moment.rows[:, KIND] == CODE[e.Chat], USER].tolist() == [1, 2, 3, NOBODY, NOBODY, NOBODY]
    assert entrance.waiting.users.full


def test_those_not_yet_in_follow_when_names_are_numbered_anew() -> None:
    """A show that begins between two turns of a flow forgets names; what is still to come brings its own again."""
    events = [chat(n, 100 * n) for n in range(1, 9)]
    arrived = [WALL + 100 * n for n in range(1, 9)]
    entrance = warm()
    place, _ = flow(entrance, events, arrived, 0, 0, BEGIN_MS + 350, -650)
    assert place == 3
    assert entrance.waiting.take(BEGIN_MS // 1000) is not None
    entrance.waiting.forget()
    assert entrance.waiting.users.count == 0
    place, _ = flow(entrance, events, arrived, place, 0, BEGIN_MS + 10_000, 0)

    assert place == 8
    moment = entrance.waiting.take(BEGIN_MS // 1000)
    assert moment is not None
    hashes = entrance.waiting.users.by_number()
    assert hashes[moment.rows[:, USER]].tolist() == [hashed(f"u{n}") for n in range(4, 9)]


def test_a_repeat_is_counted_and_a_mended_time_too() -> None:
    """The one is dropped, the other waits at its new time; nothing is left of what is refused."""
    entrance = warm()
    assert not single(entrance, chat(0), WALL)
    assert single(entrance, chat(1, 10**12), WALL)
    assert (entrance.duplicates, entrance.stamped, len(entrance.waiting)) == (1, 1, 3)
    before = state(entrance)

    with pytest.raises(RejectedEvent):
        entrance.admit(paid(2, currency="USD"))
    assert state(entrance) == before


@given(st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_a_restored_entrance_goes_on_the_same(before: int, after: int, together: bool) -> None:
    """Snapshot in between, as msgpack; what follows comes one by one or together."""
    first, second = warm(), warm()
    for n in range(1, before):
        single(first, chat(n, 90 * n), WALL + n)
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))
    assert state(second) == state(first)
    events = [chat(n, 90 * n) for n in range(before // 2, before + after)]
    arrived = [WALL + before + n for n in range(len(events))]
    for entrance in (first, second):
        place = 0
        while place < len(events):
            if together:
                place, _ = flow(entrance, events, arrived, place, 0, NEVER_MS, 0)
            for event, arrived_ms in zip(events[place : place + 1], arrived[place : place + 1], strict=True):
                single(entrance, event, arrived_ms)
            place += 1

    assert state(second) == state(first)
