"""The simulated show keeps its promises: the same for a seed, valid, reacting, never in the future."""

import itertools
import statistics
from collections import Counter, defaultdict

import pytest

from agents import simulate
from agents.simulate import Arrival
from stream import events as ev

END_MS = 1_760_000_000_000
ROOM = "demo"
SEEDS = range(8)


def made(seed: int, minutes: int = 10) -> list[Arrival]:
    return list(simulate.show(seed, minutes, END_MS, ROOM))


def as_bytes(show: list[Arrival]) -> bytes:
    return b"\n".join(b"%d %s" % (arrival.offset_ms, ev.encode(arrival.event)) for arrival in show)


def once(show: list[Arrival]) -> list[ev.RoomEvent]:
    """The events in order of event time, duplicates taken out."""
    return sorted({arrival.event.id: arrival.event for arrival in show}.values(), key=lambda event: event.ts)


def first_time_met(events: list[ev.RoomEvent], held_s: int) -> int | None:
    """When `flash_drop` could first fire: its audience condition, by brute force over the readings, held so long.

    The comparison with earlier orders is asked at that moment only.
    """
    readings = [(event.ts, event.online) for event in events if isinstance(event, ev.ViewerCount)]
    start = next(event.ts for event in events if isinstance(event, ev.RoomStart))

    def online_1m(at: int) -> float:
        values = [int(online) for ts, online in readings if at - 60_000 <= ts < at and online is not None]
        return sum(values) / len(values) if values else 0.0

    held = 0
    for at in range(max(start + 480_000, events[0].ts), END_MS, 1_000):
        now, before = online_1m(at), online_1m(at - 180_000)
        fell = before >= 50 and now <= 0.75 * before and (before - now) / (before + now) ** 0.5 >= 3
        held = held + 1 if fell else 0
        if held > held_s:
            return at
    return None


@pytest.mark.parametrize("minutes", [10, 11, 25])
def test_a_seed_is_a_show(minutes: int) -> None:
    """The same seed gives the same bytes, another seed others."""
    assert as_bytes(made(1, minutes)) == as_bytes(made(1, minutes))
    assert as_bytes(made(1, minutes)) != as_bytes(made(2, minutes))


@pytest.mark.parametrize("seed", SEEDS)
def test_events_keep_the_contract(seed: int) -> None:
    """Every event survives the strict decoder, has an id and a source, and lies in its room before the end."""
    for _, event in made(seed):
        assert ev.decode(ev.encode(event), key=ROOM.encode()) == event
        assert event.id is not None
        assert event.source is not None
        assert event.ts <= END_MS


def test_the_show_begins_with_its_start() -> None:
    """First the start, then the catalogue and the running order."""
    kinds = [event.__struct_config__.tag for _, event in made(5)]

    assert kinds[:3] == ["room.start", "catalogue.set", "rundown.set"]


def test_feeds_are_as_bad_as_real_ones() -> None:
    """Arrivals are in order, event times out of it by less than 2.5 s; a few events come twice, unchanged."""
    show = made(3)
    late = [arrival.offset_ms - (arrival.event.ts - (END_MS - 600_000)) for arrival in show[1:]]
    copies = defaultdict(set)
    for _, event in show:
        copies[event.id].add(ev.encode(event))

    assert all(before.offset_ms <= after.offset_ms for before, after in itertools.pairwise(show))
    assert any(before.event.ts > after.event.ts for before, after in itertools.pairwise(show))
    assert all(0 <= delay < 2_500 for delay in sorted(late)[:-1])  # the last is room.start: the reader came later
    assert 0 < len(show) - len(copies) < 0.02 * len(show)
    assert all(len(different) == 1 for different in copies.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_rates_are_those_of_a_room(seed: int) -> None:
    """A few hundred viewers, 5 to 15 events a second on average, and every kind of event the demo needs."""
    show = made(seed)
    kinds = Counter(event.__struct_config__.tag for event in once(show))
    online = [int(event.online or 0) for event in once(show) if isinstance(event, ev.ViewerCount)]

    assert 5 <= len(show) / 600 <= 15
    assert 200 <= max(online) <= 700
    assert 55 <= kinds["source.beat"] / 4 <= 65
    assert 110 <= kinds["viewer.count"] <= 125
    missing = {"viewer.leave", "chat", "like", "gift", "follow", "cart.add", "order.paid", "stock.level", "ad.spend"}
    assert missing <= kinds.keys()


@pytest.mark.parametrize("seed", SEEDS)
def test_everyone_who_leaves_was_there(seed: int) -> None:
    """The online count is joins less leaves, at every reading."""
    inside: set[str | None] = set()
    for event in sorted(once(made(seed)), key=lambda event: (event.ts, isinstance(event, ev.ViewerCount))):
        match event:
            case ev.ViewerJoin():
                assert event.user not in inside
                inside.add(event.user)
            case ev.ViewerLeave():
                inside.remove(event.user)
            case ev.ViewerCount():
                assert abs(int(event.online or 0) - len(inside)) <= 2  # others of the same millisecond
            case _:
                pass


@pytest.mark.parametrize(("seed", "minutes"), [*((seed, 10) for seed in SEEDS), (1, 12), (1, 15), (1, 30)])
def test_the_exodus_calls_for_the_drop(seed: int, minutes: int) -> None:
    """The condition of `flash_drop` is met and held, orders are down then, and the producer is ready 5-25 s later."""
    events = once(made(seed, minutes))
    fired = first_time_met(events, held_s=30)
    ready = next(event.ts for event in events if isinstance(event, ev.OfferReady))
    assert fired is not None

    orders = Counter((fired - event.ts) // 60_000 for event in events if isinstance(event, ev.OrderCreated))
    assert orders[0] < statistics.median(orders[minute] for minute in range(10))
    assert 5_000 <= ready - fired <= 25_000


@pytest.mark.parametrize("seed", SEEDS)
def test_the_audience_falls_and_comes_back(seed: int) -> None:
    """In three minutes 30 to 50 % are gone; half a minute after the offer opened a third more are here again."""
    events = once(made(seed))
    exodus = END_MS - 600_000 + simulate.script(10).exodus_ms
    readings = [(event.ts, int(event.online or 0)) for event in events if isinstance(event, ev.ViewerCount)]
    opened = next(event.ts for event in events if isinstance(event, ev.OfferStart))
    before = max(online for ts, online in readings if exodus - 30_000 <= ts <= exodus)
    low = min(online for ts, online in readings if exodus < ts <= exodus + 180_000)
    after = max(online for ts, online in readings if ts > opened + 30_000)

    assert 0.3 <= 1 - low / before <= 0.5
    assert after >= 1.33 * low


@pytest.mark.parametrize("seed", SEEDS)
def test_the_offer_sells_out_and_not_more(seed: int) -> None:
    """Orders at the offer's price lie after its start, add up to its quantity, and leave a stock of 0."""
    events = once(made(seed))
    started = next(event.ts for event in events if isinstance(event, ev.OfferStart))
    ready = next(event for event in events if isinstance(event, ev.OfferReady))
    sold = [event for event in events if isinstance(event, ev.OrderCreated) and event.product == ready.product]
    levels = [event for event in events if isinstance(event, ev.StockLevel) and event.product == ready.product]

    assert all(event.ts > started and event.amount == event.qty * ready.price for event in sold)
    assert sum(event.qty for event in sold) == ready.quantity == 100
    assert max(event.qty for event in sold) <= (ready.per_person or 0)
    assert levels[-1].available == 0
    assert END_MS - levels[-1].ts < 600_000
    assert min(event.ts for event in levels if event.available == 0) < END_MS - 20_000  # time to see it


@pytest.mark.parametrize("seed", SEEDS)
def test_prices_are_the_catalogues(seed: int) -> None:
    """Each line costs what the shelf or the offer says, and is paid at most once, after it was made."""
    events = once(made(seed))
    made_orders = {event.order: event for event in events if isinstance(event, ev.OrderCreated)}
    paid = [event for event in events if isinstance(event, ev.OrderPaid)]

    for line in made_orders.values():
        product = simulate.PRODUCTS[line.product or ""]
        assert line.amount in {
            line.qty * price for price in (product.price, *(o.price for o in product.offers)) if price
        }
    assert len({event.order for event in paid}) == len(paid) > 0.8 * len(made_orders)
    assert all(event.ts >= made_orders[event.order].ts for event in paid)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_host_falls_silent_once(seed: int) -> None:
    """There is one gap of more than 30 s without a word or an order, before the exodus."""
    events = once(made(seed))
    heard = [event.ts for event in events if isinstance(event, ev.HostSpeech | ev.OrderCreated)]
    spoken = [event.ts for event in events if isinstance(event, ev.HostSpeech)]

    assert sum(later - earlier > 30_000 for earlier, later in itertools.pairwise(spoken)) == 1
    assert any(later - earlier > 30_000 for earlier, later in itertools.pairwise(heard))


def test_a_show_too_short_is_refused() -> None:
    """A show in which the drop does not fit is the caller's mistake."""
    with pytest.raises(ValueError, match="at least 10 minutes"):
        simulate.show(1, 9, END_MS, ROOM)
