"""One room, its time moved by hand: when seconds close, what counts where, shows, silence, snapshots, refusals."""

import random
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.settings import Settings, load_playbook
from stream import events as e
from stream.catalogue import Product, RundownItem
from stream.errors import RejectedEvent
from stream.prompts import Prompt
from stream.room import NEVER_MS, Line, Output, RoomConfig, RoomState, Said, ShowEnded
from tests.unit.rooms import written

PLAYBOOK = load_playbook(Settings())
START = 1_760_000_000_000  # a whole minute is not needed, a whole second is
LATENESS_MS = 3_000
FIELDS = {"room": "r", "source": "t"}


def new(every_s: int = 1, **config: Any) -> RoomState:
    """A room that says a line every `every_s` seconds."""
    return RoomState("r", PLAYBOOK, RoomConfig(LATENESS_MS, line_every_s=every_s, **config))


def chat(at_ms: int, user: str | None = "u", **fields: Any) -> e.Chat:
    return e.Chat(**FIELDS, ts=START + at_ms, user=user, text="a", **fields)


def paid(at_ms: int, amount: int = 990, **fields: Any) -> e.OrderPaid:
    return e.OrderPaid(**FIELDS, ts=START + at_ms, user="u", product="p", amount=amount, **fields)


def start(at_ms: int, **fields: Any) -> e.RoomStart:
    return e.RoomStart(**FIELDS, ts=START + at_ms, **fields)


def end(at_ms: int) -> e.RoomEnd:
    return e.RoomEnd(**FIELDS, ts=START + at_ms)


def feed(room: RoomState, *events: e.RoomEvent, after_ms: int = 0) -> RoomState:
    """Each event arrives `after_ms` after it happened."""
    for event in events:
        room.apply(event, event.ts + after_ms)
    return room


def value(room: RoomState, key: str) -> Any:
    """A number at the end of the newest closed second."""
    return room.line().numbers[key].value


def lines(outputs: Iterable[Output]) -> list[Line]:
    return [output for output in outputs if isinstance(output, Line)]


def ended(outputs: Iterable[Output]) -> list[ShowEnded]:
    return [output for output in outputs if isinstance(output, ShowEnded)]


@pytest.mark.parametrize("kind", [e.ProductClick, e.OrderPaid])
def test_a_product_too_many_counts_for_the_room_alone(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shelf says that it is full; one that is about no product takes no place on it."""
    monkeypatch.setattr("stream.waiting.PRODUCTS_MAX", 1)
    room, fields = new(), {"amount": 5} if kind is e.OrderPaid else {}
    events = [kind(**FIELDS, ts=START + n, product=product, **fields) for n, product in enumerate("pp")]
    feed(room, *events, e.OrderPaid(**FIELDS, ts=START + 2, amount=5))
    room.advance(START + 1_000 + LATENESS_MS)
    assert not room.tally.shelf.full

    feed(room, kind(**FIELDS, ts=START + 1_000, product="q", **fields))
    room.finish()
    assert room.tally.shelf.full
    assert [*room.tally.shelf.numbers] == ["p"]


# --- when a second closes


def test_a_second_closes_once_its_end_and_the_lateness_have_passed() -> None:
    """Second 0 is closed at 4.000 s of room time and not a millisecond earlier.

    second   0     1     2     3     4
    event    x
    open     └──────────────────────┘ closed: the line says 1
    """
    room = feed(new(), chat(500))
    room.advance(START + 3_999)
    assert (room.closed, room.at_ms, room.drain()) == (0, 0, [])
    room.advance(START + 4_000)

    assert (room.closed, room.at_ms) == (1, START + 1_000)
    (line,) = lines(room.drain())
    assert (line.at_ms, line.numbers["chats_1m"].value) == (START + 1_000, 1)


@given(
    moves=st.lists(st.tuples(st.integers(0, 5_000), st.none() | st.integers(-20_000, 5_000)), min_size=1, max_size=30),
    restored=st.booleans(),
)
def test_a_room_knows_from_which_arrival_on_there_is_a_second_to_close(
    moves: list[tuple[int, int | None]], restored: bool
) -> None:
    """Whatever came before, time until just before then changes nothing but the clock; then it closes something.

    Only where nothing is known to wait (the room was restored, or all is asleep) may the look be for nothing.
    """
    room, arrived_ms = new(), START
    for passed_ms, ahead_ms in moves:
        arrived_ms += passed_ms
        if ahead_ms is None:
            room.advance(arrived_ms)
        else:
            room.apply(chat(arrived_ms - START + ahead_ms), arrived_ms)
    room.advance(room.clock.arrived_ms)
    due_ms = room.due_arrival_ms
    room.drain()
    if restored:
        state, room = room.snapshot(), new()
        room.restore(state)
        assert room.due_arrival_ms <= due_ms
    else:
        room.advance(due_ms - 1)
        assert (room.due_arrival_ms, room.drain()) == (due_ms, [])

    closed = room.closed
    room.advance(due_ms)
    assert (room.closed > closed) == (due_ms < NEVER_MS)


def test_an_arrival_closes_what_is_due_before_it_is_taken() -> None:
    """An event of second 0 that arrives when second 0 is due comes too late for its line, and is counted as late."""
    room = feed(new(), chat(500))
    room.apply(chat(700), START + 4_000)
    first, *_ = lines(room.drain())

    assert first.numbers["chats_1m"].value == 1
    assert (room.late, value(room, "chats_1m")) == (1, 2)


@pytest.mark.parametrize("lateness_ms", [0, 1, 999, 1_000, 3_000, 60_000])
def test_any_lateness_may_be_set(lateness_ms: int) -> None:
    """Second 0 is closed at 1 s + lateness."""
    room = RoomState("r", PLAYBOOK, RoomConfig(lateness_ms))
    feed(room, chat(500))
    room.advance(START + 999 + lateness_ms)
    assert room.closed == 0
    room.advance(START + 1_000 + lateness_ms)

    assert room.closed == 1


def test_an_event_on_the_edge_belongs_to_the_second_it_begins() -> None:
    """[start, end): 1.000 s is in second 1."""
    room = feed(new(), chat(0), chat(999), chat(1_000))
    room.finish()

    assert [line.numbers["chats_1m"].value for line in lines(room.drain())] == [2, 3]


def test_values_where_the_last_one_wins_go_by_event_time() -> None:
    """Two readings of one second, the older delivered last."""
    newer = e.ViewerCount(**FIELDS, ts=START + 900, online=80)
    older = e.ViewerCount(**FIELDS, ts=START + 100, online=500)
    room = feed(new(), newer, older)
    room.finish()

    assert value(room, "online") == 80


def test_late_events_count_where_they_belong() -> None:
    """Drawn: the newest second is 700; events heard of then, in each window that holds their second, and the show.

    second   0         100       400  640     700
    1m                                 └───────┘
    5m                           └─────────────┘
    10m                └───────────────────────┘
    """
    room = feed(new(0), chat(0), chat(700_000))
    room.advance(START + 700_000 + 5_000)  # seconds up to 701 are closed
    for at_s in (50, 200, 450, 690):
        room.apply(chat(1000 * at_s, user=f"late{at_s}"), START + 705_000)

    assert room.late == 4
    assert [value(room, f"chats_{window}") for window in ("1m", "5m", "10m", "show")] == [2, 3, 4, 6]
    assert [value(room, f"viewers_{window}") for window in ("1m", "5m", "10m", "show")] == [2, 3, 4, 5]


def test_an_event_older_than_every_window_counts_in_the_show_only() -> None:
    """And in its minute of the history."""
    room = feed(new(0), chat(0), chat(2_000_000))
    room.advance(START + 2_005_000)
    room.apply(chat(30_000), START + 2_005_000)

    assert (value(room, "chats_10m"), value(room, "chats_show")) == (1, 3)
    assert sum(minute.chats or 0 for minute in room.recap().minutes) == 3


# --- order of delivery, timers


class Record(NamedTuple):
    """An event and when it arrived, in ms since the start."""

    event: e.RoomEvent
    arrived_ms: int


def said(
    records: Iterable[Record], ticks: Iterable[int] = (), crash_at: int = -1, every_s: int = 60, settle: bool = True
) -> list[bytes]:
    """Everything a room says of records in the order of arrival, time passing at `ticks`; it may crash once."""
    room = new(every_s)
    out: list[Output] = []
    records, times = list(records), sorted(ticks)
    for n, (event, arrived_ms) in enumerate(records):
        while times and times[0] <= arrived_ms:
            room.advance(START + times.pop(0))
        out += room.drain()
        if n == crash_at:
            state = room.snapshot()
            room = new(every_s)
            room.restore(state)
        try:
            room.apply(event, START + arrived_ms)
        except RejectedEvent as refused:
            out.append(refused.reason)  # type: ignore[arg-type]  # told with the rest
    if settle:
        room.advance(START + records[-1].arrived_ms + 20_000)
    room.finish()
    return [msgspec.json.encode(one.recap if isinstance(one, ShowEnded) else one) for one in [*out, *room.drain()]]


def event_of(kind: int, at_ms: int, n: int) -> e.RoomEvent:
    """One of many events, by number."""
    ts, user, product = START + at_ms, f"u{n % 5}", f"p{n % 2}"
    common: dict[str, Any] = {"room": "r", "ts": ts, "user": user, "source": f"s{n % 2}"}
    bare: dict[str, Any] = {"room": "r", "ts": ts, "source": "s0"}
    return (
        e.ViewerJoin(**common, from_="ads" if n % 3 else "feed"),
        e.ViewerLeave(**common),
        e.ViewerCount(**bare, online=100 + n, total=1_000 + 3 * n),
        e.Chat(**common, text="好"),
        e.Like(**common, count=n),
        e.ProductClick(**common, product=product),
        e.CartAdd(**common, product=product),
        e.OrderCreated(**common, order=f"o{n // 2}", product=product, amount=100 * n),
        e.OrderPaid(**common, order=f"o{n // 2}", product=product, amount=100 * n),
        e.OrderRefunded(**common, order=f"o{n // 2}", product=product, amount=100 * n),
        e.StockLevel(**bare, product=product, available=50 - n),
        e.ProductPin(**bare, product=product),
        e.Gift(**common, count=n, value=5, combo=f"c{n % 2}"),
        e.SourceBeat(**bare),
        e.HostSpeech(**bare, text="全网最低价" if n % 2 else "大家好"),
        e.PromptSend(**bare, title=f"t{n}"),
        e.Violation(**bare, text="警告"),
        e.RoomStart(**bare, title=f"show {n}"),
        e.RoomEnd(**bare),
        e.CatalogueSet(**bare, products=(Product(product="p0", price=990, role="traffic", opening_stock=50),)),
        e.RundownSet(**bare, items=(RundownItem(order=1, product="p0"),)),
    )[kind % 21]


gaps = st.sampled_from((0, 1, 300, 999, 1_000, 2_500, 4_000, 30_001, 61_000, 600_000, 1_250_000))
scripts = st.lists(
    st.tuples(st.integers(0, 20), gaps, st.sampled_from((0, 0, 200, 2_400, 3_500, 20_000, 700_000))),
    min_size=1,
    max_size=8,
)


def records_of(script: list[tuple[int, int, int]]) -> list[Record]:
    """(kind, ms since the one before, how late it arrives) as records in the order of arrival."""
    at_ms, records = 0, []
    for n, (kind, gap_ms, late_ms) in enumerate(script):
        at_ms += gap_ms
        records.append(Record(event_of(kind, at_ms, n), at_ms + late_ms))
    return sorted(records, key=lambda record: record.arrived_ms)


@settings(max_examples=25)
@given(scripts, st.lists(st.integers(0, 3_000_000), max_size=8))
@example([(3, 0, 0), (3, 1_250_000, 700_000)], [1_250_000, 1_900_000])
@example([(3, 0, 0), (3, 2_600_000, 700_000)], [2_500_000])
def test_a_timer_changes_when_a_line_appears_never_what_it_says(
    script: list[tuple[int, int, int]], ticks: list[int]
) -> None:
    """The same records with time passing at other moments in between are said the same."""
    records = records_of(script)

    assert said(records, ticks) == said(records)


@settings(max_examples=25)
@given(scripts, st.integers(0, 7))
@example([(0, 4_000, 0), (0, 0, 200), (0, 0, 700_000), (0, 0, 700_000)], 3)
def test_a_crash_anywhere_changes_nothing(script: list[tuple[int, int, int]], crash_at: int) -> None:
    """A snapshot before any record, restored into a new room: everything later is said the same."""
    records = records_of(script)

    assert said(records, crash_at=crash_at) == said(records)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 13), st.integers(0, 6_000)), min_size=2, max_size=14), st.randoms())
def test_the_order_of_delivery_within_the_lateness_does_not_matter(
    script: list[tuple[int, int]], chance: random.Random
) -> None:
    """Every event up to 2.5 s late in any order: the lines are those of a delivery in order.

    Kinds that happen at distinct milliseconds; ties go by the log, and so depend on its order by design.
    """
    at = {1_000 + ms: kind for kind, ms in script}
    events = [event_of(kind, ms, n) for n, (ms, kind) in enumerate(sorted(at.items()))]
    first = Record(chat(0), 0)
    in_order = [first, *(Record(event, event.ts - START) for event in events)]
    shuffled = sorted(
        (Record(event, event.ts - START + chance.randint(0, 2_500)) for event in events),
        key=lambda record: (record.arrived_ms, chance.random()),
    )

    assert said([first, *shuffled], every_s=1, settle=False) == said(in_order, every_s=1, settle=False)


# --- what is refused, repeated or mended


def test_a_duplicate_is_told_and_counted_once() -> None:
    """The same source, type and id; the room says so by returning False."""
    room = new()

    assert [room.apply(chat(0, id="1"), START), room.apply(chat(0, id="1"), START + 10)] == [True, False]
    room.finish()
    assert (room.duplicates, value(room, "chats_1m")) == (1, 1)


def test_times_are_mended_and_counted() -> None:
    """None, seconds, a clock an hour ahead, and what the gateway has mended already."""
    room = feed(new(), chat(0))
    for event in (chat(-START), chat(3_600_000), chat(100, stamped=True)):
        room.apply(event, START + 200)
    room.apply(e.Chat(**FIELDS, ts=START // 1000, text="a"), START + 200)
    room.finish()

    assert (room.stamped, value(room, "chats_1m"), room.at_ms) == (4, 5, START + 1_000)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [(chat(17 - START), "absurd_time"), (paid(100, currency="USD", id="x"), "currency")],
)
def test_a_refused_event_leaves_no_trace(refused: e.RoomEvent, reason: str) -> None:
    """Every number, count and later prompt is as if it had never come."""
    rooms = [feed(new(), paid(0)), feed(new(), paid(0))]
    with pytest.raises(RejectedEvent) as caught:
        rooms[0].apply(refused, START + 100)
    for room in rooms:
        room.apply(chat(100), START + 100)

    assert caught.value.reason == reason
    assert msgspec.msgpack.decode(rooms[0].snapshot()) == msgspec.msgpack.decode(rooms[1].snapshot())


def test_the_first_payment_fixes_the_currency_of_its_show() -> None:
    """The next show may have another; ad spend counts as money, too."""
    room = feed(new(), start(0), paid(100, currency="JPY"))
    for event in (paid(200), e.AdSpend(**FIELDS, ts=START + 300, channel="feed", amount=5)):
        with pytest.raises(RejectedEvent) as caught:
            room.apply(event, event.ts)
        assert caught.value.reason == "currency"
    feed(room, end(5_000), start(20_000))
    room.advance(START + 30_000)

    assert room.apply(paid(30_000, currency="USD"), START + 30_000)
    assert {one.recap.currency for one in ended(room.drain())} == {"JPY"}


# --- shows


def test_a_show_begins_with_the_first_event_or_its_start() -> None:
    """Without a room.start the first event's time; a start that happened before it is its start."""
    room = feed(new(), chat(700))
    room.finish()
    assert room.recap().show_ms == START + 700

    room = feed(new(), chat(700), start(200, title="晚场"))
    room.finish()
    assert (room.recap().show_ms, room.recap().title) == (START + 200, "晚场")
    assert ended(room.drain()) == []


def test_a_start_that_comes_late_still_names_its_show() -> None:
    """It happened before the first event and arrived after its second was closed: no second show."""
    room = feed(new(), chat(700))
    room.advance(START + 10_000)
    room.apply(start(200, title="晚场", host="小王"), START + 10_000)

    recap = room.recap()
    assert (recap.show_ms, recap.title, recap.host) == (START + 200, "晚场", "小王")
    assert value(room, "chats_show") == 1
    assert ended(room.drain()) == []


def test_the_same_start_again_is_a_duplicate() -> None:
    """A repeated `ts`, with or without an id, begins no other show."""
    room = feed(new(), start(0), chat(500), start(0), chat(1_500))
    room.finish()

    assert value(room, "chats_show") == 2
    assert ended(room.drain()) == []


def test_a_later_start_ends_the_show_and_begins_another() -> None:
    """The recap holds all of the first; the windows, people and totals of the second begin with nothing."""
    room = feed(new(), start(0, title="a"), chat(500), paid(600), start(90_000, title="b"), chat(90_500, user="v"))
    room.finish()
    (first,) = ended(room.drain())

    assert (first.recap.title, first.recap.show_ms, first.recap.numbers["chats_show"].value) == ("a", START, 1)
    assert first.recap.numbers["gmv_paid_show"].value == 990
    assert (room.recap().title, room.recap().show_ms) == ("b", START + 90_000)
    assert [value(room, key) for key in ("chats_show", "chats_5m", "viewers_show", "gmv_paid_show")] == [1, 1, 1, None]


def test_a_start_in_the_middle_of_a_second_parts_it() -> None:
    """What happened before it in that second is the old show's, what after it the new one's."""
    room = feed(new(), start(0), chat(60_100), start(60_500), chat(60_900), chat(60_950))
    room.finish()
    (first,) = ended(room.drain())

    assert (first.recap.numbers["chats_show"].value, value(room, "chats_show")) == (1, 2)


def test_a_straggler_of_an_earlier_show_counts_in_no_other() -> None:
    """It is counted as foreign: the show it belongs to is closed, and this one must not have it."""
    room = feed(new(), start(0), chat(500), start(60_000), chat(60_500))
    room.advance(START + 70_000)
    room.apply(chat(30_000), START + 70_000)

    assert (room.foreign, room.late, value(room, "chats_show")) == (1, 0, 1)


def test_money_after_the_end_belongs_to_that_show() -> None:
    """Until the next start."""
    room = feed(new(), start(0), paid(500), end(10_000), paid(300_000, 10))
    room.advance(START + 310_000)
    assert value(room, "gmv_paid_show") == 1_000
    feed(room, start(400_000))
    room.advance(START + 410_000)

    assert ended(room.drain())[-1].recap.numbers["gmv_paid_show"].value == 1_000


def test_what_the_producer_set_holds_in_the_next_show() -> None:
    """Catalogue and rundown are facts of the room, not of a show."""
    catalogue = e.CatalogueSet(**FIELDS, ts=START + 100, products=(Product(product="p", name="抱枕"),))
    rundown = e.RundownSet(
        **FIELDS, ts=START + 200, items=(RundownItem(order=2, product="q"), RundownItem(order=1, product="p"))
    )
    room = feed(new(), start(0), catalogue, rundown, start(60_000))
    room.finish()

    assert room.view().catalogue["p"].name == "抱枕"
    assert [item.product for item in room.view().rundown] == ["p", "q"]


# --- plays that do not wait


def test_a_prompt_sent_by_hand_appears_before_any_second_is_closed() -> None:
    """It is the very first event of the room, and on the screen at once."""
    room = feed(new(), e.PromptSend(**FIELDS, ts=START + 100, title="喝口水", ttl_s=30))
    said_at_once = [output.what for output in room.drain() if isinstance(output, Said)]

    assert room.closed == 0
    assert [one.title for one in said_at_once if isinstance(one, Prompt)] == ["喝口水"]
    room.advance(START + 60_000)
    assert room.recap().prompts[0].title == "喝口水"


def test_the_ids_of_what_is_said_rise() -> None:
    """A screen that reconnects asks for what came after the last id it saw."""
    room = new()
    for n in range(5):
        room.apply(e.PromptSend(**FIELDS, ts=START + 400 * n, title=str(n)), START + 400 * n)
    room.advance(START + 300_000)
    ids = [tuple(map(int, output.id.split("-"))) for output in room.drain() if isinstance(output, Said)]

    assert len(ids) >= 5
    assert ids == sorted(set(ids))


# --- silence


def test_fifteen_hours_of_silence_cost_a_show_of_twenty_minutes() -> None:
    """Seconds are stepped while a window is alive, then skipped; the numbers are those of having stepped."""
    room = feed(new(0), start(0), chat(0, user="a"), e.ViewerJoin(**FIELDS, ts=START, user="a"))
    hours_ms = 15 * 3_600_000
    for minute in range(1, 15 * 60 + 1):
        room.advance(START + 60_000 * minute)
    room.apply(chat(hours_ms, user="b"), START + hours_ms)
    room.advance(START + hours_ms + 5_000)

    assert room.closed < 2_500
    assert (value(room, "chats_1m"), value(room, "chats_10m"), value(room, "chats_show")) == (1, 1, 2)
    assert value(room, "viewers_show") == 2
    assert room.at_ms >= START + hours_ms + 1_000


def test_silence_without_a_timer_is_as_cheap() -> None:
    """A replay finds the next event 15 hours later."""
    room = feed(new(0), start(0), chat(0), chat(15 * 3_600_000))
    room.finish()

    assert room.closed < 2_500
    assert value(room, "chats_show") == 2


def test_a_room_that_waits_for_its_first_event_costs_nothing() -> None:
    """A timer alone closes no second and says nothing."""
    room = new()
    for minute in range(1_000):
        room.advance(START + 60_000 * minute)

    assert (room.closed, room.at_ms, room.drain()) == (0, 0, [])
    with pytest.raises(ValueError, match="not closed a second"):
        room.recap()


# --- lines


@pytest.mark.parametrize("every_s", [1, 7, 10, 60])
def test_lines_come_at_whole_multiples_and_one_at_the_end(every_s: int) -> None:
    """While a window other than the show holds events; the last line stands at the last event's second + 1."""
    room = feed(new(every_s), chat(0), chat(95_000))
    room.finish()
    at = [line.at_ms // 1000 for line in lines(room.drain())]
    first_s, last_s = START // 1000, START // 1000 + 96
    whole = [second for second in range(first_s + 1, last_s + 1) if second % every_s == 0]

    assert at == (whole if whole[-1:] == [last_s] else [*whole, last_s])


def test_lines_stop_when_no_window_holds_anything() -> None:
    """20 minutes after the last event nothing is said any more."""
    room = feed(new(10), chat(0))
    room.advance(START + 7_200_000)
    at = [line.at_ms for line in lines(room.drain())]

    assert at == [START + 10_000 * n for n in range(1, 121)]


# --- snapshots


def test_a_snapshot_holds_what_waits() -> None:
    """Events of seconds not yet closed, hashes and the clock are in it: nothing is asked for again."""
    room = feed(new(), start(0), chat(100, id="1"), chat(2_500), paid(3_100, id="2"))
    again = new()
    again.restore(room.snapshot())
    for one in (room, again):
        assert not one.apply(chat(100, id="1"), START + 3_200)
        assert not one.apply(paid(3_100, id="2"), START + 3_200)
        one.finish()

    assert again.line() == room.line()
    assert (again.duplicates, again.at_ms) == (2, START + 4_000)


@pytest.mark.parametrize("state", [b"", b"\x80", b"no snapshot", msgspec.msgpack.encode({"room": "r"})])
def test_what_is_no_snapshot_is_refused(state: bytes) -> None:
    """With the errors its docstring names."""
    with pytest.raises((msgspec.DecodeError, KeyError)):
        new().restore(state)


def test_a_snapshot_of_a_room_that_has_seen_nothing_is_one_too() -> None:
    """Restored, the room begins as a new one does."""
    again = new()
    again.restore(new().snapshot())
    feed(again, chat(0))
    again.finish()

    assert value(again, "chats_1m") == 1


def test_a_refused_payment_may_be_sent_again_as_it_should_be() -> None:
    """The wrong currency does not use up its id."""
    room = feed(new(), paid(0))
    with pytest.raises(RejectedEvent):
        room.apply(paid(100, currency="USD", id="x"), START + 100)

    assert room.apply(paid(100, id="x"), START + 200)


def test_a_new_shows_currency_holds_from_its_start_on() -> None:
    """The first payment of a show may arrive before the second of its start is closed."""
    room = feed(new(), start(0), paid(100, currency="JPY"), start(60_000))

    assert room.apply(paid(60_500, currency="USD"), START + 60_500)


def test_the_end_gives_the_recap_once() -> None:
    """At the close of its second; an end that is repeated says nothing more."""
    room = feed(new(), start(0), paid(500), end(10_200))
    room.advance(START + 13_999)
    assert ended(room.drain()) == []
    room.advance(START + 14_000)
    (over,) = ended(room.drain())
    feed(room, end(15_000), end(16_000))
    room.advance(START + 60_000)

    assert (over.recap.ended_ms, over.recap.numbers["gmv_paid_show"].value) == (START + 10_200, 990)
    assert ended(room.drain()) == []
    assert room.recap().ended_ms == START + 10_200


def test_what_happened_just_before_a_first_prompt_is_not_lost() -> None:
    """An event from half a second earlier that arrives after it belongs to the show as well."""
    room = feed(new(), e.PromptSend(**FIELDS, ts=START + 1_100, title="喝口水"))
    room.apply(chat(600), START + 1_200)
    room.finish()

    assert (value(room, "chats_show"), room.foreign) == (1, 0)


def test_the_line_before_is_the_line_of_ten_minutes_ago() -> None:
    """prev10m repeats the 10-minute numbers of 600 s ago word for word, and is missing before there are any."""
    room = new()
    chance = random.Random(5)
    for second in range(1_300):
        if chance.random() < 0.3:
            feed(room, chat(1000 * second, user=f"u{chance.randint(0, 9)}"))
    room.finish()
    said_lines = {line.at_ms: line.numbers for line in lines(room.drain())}
    compared = 0
    for at_ms, numbers in said_lines.items():
        before = said_lines.get(at_ms - 600_000)
        for name in ("chats", "viewers", "chat_density", "interaction_rate"):
            expected = before[f"{name}_10m"] if before else None
            found = numbers[f"{name}_prev10m"]
            assert found == expected if expected else found.status == "missing"
        compared += before is not None

    assert compared >= 600


def test_an_end_that_comes_late_survives_a_crash() -> None:
    """It is heard of after its second was closed, and the worker stops before the next one is."""
    room = feed(new(), start(0), chat(1_000))
    room.advance(START + 20_000)
    room.apply(end(10_000), START + 20_000)
    again = new()
    again.restore(room.snapshot())
    said_before = ended(room.drain())
    again.advance(START + 60_000)

    assert len(said_before + ended(again.drain())) == 1


# --- many at a time


def at_once(room: RoomState, *events: e.RoomEvent) -> None:
    """All in one go, each arriving when it happened."""
    assert room.apply_all(written(events), np.array([event.ts for event in events])) == []


def singly(room: RoomState, *events: e.RoomEvent) -> None:
    """The same one after another."""
    for event in events:
        assert room.apply(event, event.ts)


Say = Callable[..., None]


def two_shows(say: Say, gap_ms: int, warm: int) -> RoomState:
    """Two shows of one source; the events of each come in one go, and its first seconds are closed among them."""
    room = new(every_s=10)
    for show in (0, 1):
        begin_ms = 200_000 * show
        say(room, start(begin_ms))
        told = [
            e.ProductClick(
                **FIELDS, ts=START + begin_ms + gap_ms * n, user=f"u{show}{n}", product=f"p{n % 7}", id=f"{show}/{n}"
            )
            for n in range(1, 90)
        ]
        say(room, *told[:warm])
        say(room, *told[warm:])
    room.finish()
    return room


@pytest.mark.parametrize("warm", [0, 1, 40])
@pytest.mark.parametrize("gap_ms", [1, 90, 700])
def test_a_show_that_begins_among_events_that_come_together_counts_all_of_them(gap_ms: int, warm: int) -> None:
    """Users and products are numbered anew with each show; who has just come in keeps to the new numbers."""
    many, single = two_shows(at_once, gap_ms, warm), two_shows(singly, gap_ms, warm)

    assert value(single, "clickers_show") == 89
    assert many.line() == single.line()
    assert many.recap() == single.recap()
    assert many.drain() == single.drain()


def test_a_watcher_sees_every_second_that_is_closed() -> None:
    """However many events come at once: one look a second, at its end, with the numbers of then."""
    seen: list[tuple[int, float | None]] = []
    room = RoomState(
        "r",
        PLAYBOOK,
        RoomConfig(lateness_ms=0),
        lambda view: seen.append((view.at_ms, view.number("chats_1m").value)),
    )
    events = written([e.Chat(room="r", ts=START + 1000 * second, id=f"c{second}", text="a") for second in range(5)])
    room.apply_all(events, events.rows[:, 0].copy())
    room.advance(START + 7_000)

    assert seen == [(START + 1000 * n, min(n, 5)) for n in range(1, 8)]


def test_a_show_whose_start_comes_late_has_numbers_of_its_own() -> None:
    """The recap of the show before is made in between; what it was made of is not shown as the new one's."""
    room = feed(new(every_s=0), start(0), *(chat(at_ms) for at_ms in range(0, 10_000, 1_000)))
    room.advance(START + 20_000)
    assert room.view().number("chats_show").value == 10
    room.drain()
    feed(room, start(15_000), after_ms=5_000)

    (over,) = ended(room.drain())
    assert over.recap.numbers["chats_show"].value == 10
    assert room.view().show_ms == START + 15_000
    assert room.view().number("chats_show").value is None
