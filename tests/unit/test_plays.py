"""The first plays: each fires on its script, is silent just below its threshold, and in a healthy room."""

from collections.abc import Callable
from typing import Any

import pytest

from stream import events as ev
from stream.catalogue import Offer, RundownItem
from stream.numbers import Number
from tests.unit.rooms import CUP, DEFAULT, FALLING, HEALTHY, SHOW_MS, TISSUE, Room, Silence, known, prompts

LATE_S = 1_300  # past every play's arming time


def fired(room: Room, seconds: int = 40) -> list[str]:
    """The plays that spoke once the room's numbers came to hold, late in a show healthy until then."""
    numbers, room.script.numbers = room.script.numbers, known(HEALTHY)
    assert prompts(room.until(LATE_S)) == []
    room.script.numbers = numbers
    return [prompt.play for prompt in prompts(room.run(seconds))]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_healthy_room_is_left_alone(language: str) -> None:
    """An hour of healthy numbers gives no prompt."""

    room = Room(language=language)
    room.product("p1", stock=80, opening_stock=100, units_5m=20, sell_out_min=20, velocity=4, orders_since_stock=30)
    room.sells("p1")
    assert [prompt.play for prompt in prompts(room.until(3_600))] == []


def test_a_room_without_any_number_is_left_alone() -> None:
    """Nothing is prompted from missing data."""

    assert prompts(Room(numbers={}).until(1_500)) == []


RISING = HEALTHY | {"joins_1m": 110, "joins_median_10m": 60}
DRYING = HEALTHY | {"organic_joins_3m": 96, "organic_joins_base": 160}
SILENT = HEALTHY | {"speech_age_s": 30, "order_age_s": 60}
LEAVING = HEALTHY | {"retention_60s": 0.39, "orders_now": 0}


@pytest.mark.parametrize(
    ("play", "numbers", "just_below"),
    [
        ("flash_drop", FALLING, {"online_1m": 301}),
        ("flash_drop", FALLING, {"online_1m_3m_ago": 49, "online_1m": 10}),
        ("flash_drop", FALLING, {"online_drop_z": 2.99}),
        ("flash_drop", FALLING, {"orders_now": 4}),
        ("flash_drop", LEAVING, {"retention_60s": 0.4}),
        ("flash_drop", LEAVING | {"retention_60s": 0.3}, {"retention_60s_cohort": 99}),
        ("flash_drop", LEAVING | {"retention_60s_cohort": 187}, {"retention_60s_cohort": 185}),  # z is 3 at 186
        ("catch_wave", RISING, {"joins_1m": 107}),
        ("catch_wave", RISING | {"joins_median_10m": 16, "joins_1m": 30}, {"joins_1m": 29}),
        ("traffic_drop", DRYING, {"organic_joins_3m": 97}),
        ("traffic_drop", DRYING, {"organic_joins_base": 59, "organic_joins_3m": 0}),
        ("traffic_drop", HEALTHY | {"ads_joins_3m": 36, "ads_joins_base": 60}, {"ads_joins_3m": 37}),
        ("dead_air", SILENT, {"speech_age_s": 29}),
        ("dead_air", SILENT, {"order_age_s": 29}),
        ("dead_air", SILENT, {"scene_quiet": 1}),
        ("dead_air", SILENT | {"scene_quiet": 1, "speech_age_s": 120}, {"speech_age_s": 119}),
    ],
)
def test_a_play_fires_at_its_threshold_and_not_below(
    play: str, numbers: dict[str, float], just_below: dict[str, float]
) -> None:
    """At the threshold it speaks; just below, nobody does."""

    assert fired(Room(numbers=numbers)) == [play]
    assert fired(Room(numbers=numbers | just_below)) == []


def without(numbers: dict[str, float], *names: str) -> dict[str, float]:
    return {name: value for name, value in numbers.items() if name not in names}


def test_dead_air_without_captions_watches_the_chat() -> None:
    """No captions: a minute without chat and like where some were due, in a room of some size."""

    quiet = without(HEALTHY, "speech_age_s") | {"reactions_1m": 0, "reactions_expected_1m": 10, "online_1m": 50}
    quiet["order_age_s"] = 60
    assert fired(Room(numbers=quiet)) == ["dead_air"]
    for change in ({"reactions_1m": 1}, {"reactions_expected_1m": 9}, {"online_1m": 49}, {"order_age_s": 1}):
        assert fired(Room(numbers=quiet | change)) == []
    assert fired(Room(numbers=quiet | {"speech_age_s": 5})) == []


@pytest.mark.parametrize("status", ["missing", "stale"])
@pytest.mark.parametrize("name", ["online_1m", "online_drop_z", "online_1m_3m_ago"])
def test_nothing_is_prompted_from_missing_or_stale_numbers(name: str, status: Any) -> None:
    """One number that is not there silences the play that needs it."""

    room = Room(numbers=FALLING)
    room.script.numbers[name] = Number(FALLING[name], status)
    assert fired(room) == []


def test_orders_unknown_do_not_hold_a_drop_back_but_stale_ones_do() -> None:
    """A room without an order feed gets its drop; one whose feed broke does not, since it may be selling."""

    assert fired(Room(numbers=without(FALLING, "orders_now", "orders_median_10m"))) == ["flash_drop"]
    room = Room(numbers=FALLING)
    room.script.numbers["orders_now"] = Number(0, "stale")
    assert fired(room) == []


def test_estimates_alone_trigger_nothing() -> None:
    """A retention that is estimated moves no play, whatever its cohort."""

    room = Room(numbers=LEAVING)
    for name in ("retention_60s", "retention_60s_10m"):
        room.script.numbers[name] = Number(LEAVING[name], "estimated")
    assert fired(room) == []


def test_a_play_is_silent_before_its_arming_time() -> None:
    """No flash drop in the first 8 minutes, no traffic alarm in the first 20."""

    room = Room(numbers=FALLING | {"organic_joins_3m": 10})
    early = [(prompt.play, (prompt.issued_ms - SHOW_MS) // 1000) for prompt in prompts(room.until(1_250))]
    assert [second for play, second in early if play == "flash_drop"] == [480 + 30]
    assert [second for play, second in early if play == "traffic_drop"] == [1_200 + 30]


def test_a_condition_must_hold_without_a_break() -> None:
    """29 seconds of falling, one healthy second, 29 again: no drop."""

    room = Room()
    room.until(LATE_S)
    for _ in range(3):
        room.set(FALLING)
        assert prompts(room.run(29)) == []
        room.set(HEALTHY)
        room.run()


def test_a_cooldown_and_a_cap_hold() -> None:
    """A drop that nobody prepares is asked for every 15 minutes, three times a show."""

    room = Room(numbers=FALLING)
    asked = [
        (prompt.issued_ms - SHOW_MS) // 1000 for prompt in prompts(room.until(7_200)) if prompt.play == "flash_drop"
    ]
    assert asked == [510, 510 + 930, 510 + 2 * 930]


STOCKED: dict[str, float] = {
    "stock": 20,
    "opening_stock": 100,
    "units_5m": 22,
    "sell_out_min": 4.4,
    "velocity": 4.5,
    "refills": 0,
}


def test_stock_low_says_the_real_count() -> None:
    """The count is the back office's, once for each refill."""

    room = Room()
    room.product("p1", **STOCKED)
    room.sells()
    (prompt,) = prompts(room.run(300))
    assert (prompt.play, prompt.title) == ("stock_low", "还剩20件，报实数")
    assert prompt.say == "抽纸后台现在还有20件，需要的可以下单；能不能补货，确认了再告诉大家。"
    assert prompt.why == "近5分钟拍了22件，约4分钟后拍完。"
    assert {proof.number: proof.limit for proof in prompt.evidence}["sell_out_min"] == 5
    room.product("p1", **STOCKED | {"refills": 1})
    assert [prompt.play for prompt in prompts(room.run(30))] == ["stock_low"]


@pytest.mark.parametrize(
    "change", [{"stock": 21}, {"stock": 0}, {"units_5m": 9}, {"sell_out_min": 5}, {"stock": 11, "opening_stock": 50}]
)
def test_stock_low_is_silent_just_below(change: dict[str, float]) -> None:
    """Enough stock, too few orders or time enough: nothing."""

    room = Room()
    room.product("p1", **STOCKED | change)
    room.sells()
    assert prompts(room.run(60)) == []


def test_stock_low_leaves_a_running_offer_alone() -> None:
    """The running offer has its own counter."""

    room = Room()
    room.product("p1", **STOCKED)
    room.sells()
    room.take(ev.OfferReady, offer="o1", product="p1", price=990, quantity=100)
    room.take(ev.OfferStart, offer="o1")
    assert prompts(room.run(60)) == []


def test_only_products_with_stock_readings_and_orders_are_looked_at() -> None:
    """An order feed without stock costs nothing, however many products it names."""

    room = Room()
    for index in range(3_000):
        room.take(ev.OrderPaid, product=f"x{index}", amount=100)
    looked: list[str] = []

    def look(product: str, name: str) -> Number:
        looked.append(product)
        return Number(0, "ok")

    room.script.product_number = look  # type: ignore[method-assign]  # counts the looks
    room.run(10)
    assert looked == []


GONE: dict[str, float] = {
    "stock": 0,
    "stock_before_zero": 3,
    "zero_for_s": 10,
    "orders_since_stock": 1,
    "refills": 0,
}


def test_sold_out_tells_both() -> None:
    """Host and producer hear it once, with the next product that is in stock."""

    room = Room()
    room.product("p1", **GONE)
    room.product("p2", stock=0)
    room.sells()
    producer, host = prompts(room.run(120))
    assert (producer.audience, host.audience) == ("producer", "host")
    assert host.id == producer.id.removesuffix("~producer") + "~host"
    assert host.title == "停讲，已售罄"
    assert host.say == "抽纸这批已经拍完，现在下不了单；补货时间确认后通知大家，我们先看围巾。"


def test_sold_out_without_a_next_product_drops_the_clause() -> None:
    """Nothing is named that is not known."""

    room = Room()
    room.script.rundown = (RundownItem(order=1, product="p1"),)
    room.product("p1", **GONE)
    room.sells()
    host = prompts(room.run(1))[1]
    assert host.say == "抽纸这批已经拍完，现在下不了单；补货时间确认后通知大家。"


@pytest.mark.parametrize(
    "change", [{"stock": 1}, {"zero_for_s": 9}, {"stock_before_zero": 0}, {"orders_since_stock": 0}]
)
def test_sold_out_is_silent_just_below(change: dict[str, float]) -> None:
    """Not yet 10 seconds, or nothing ever sold: nothing."""

    room = Room()
    room.product("p1", **GONE | change)
    room.sells()
    assert prompts(room.run(30)) == []


def test_staged_stock_is_not_sold_out() -> None:
    """Stock held back for an offer that is set is normal."""

    room = Room()
    room.product("p1", **GONE)
    room.sells()
    room.take(ev.OfferReady, offer="o1", product="p1", price=990, quantity=100)
    assert prompts(room.run(30)) == []


def test_a_product_without_a_name_is_not_called_by_its_number() -> None:
    """The host says "this item", the producer reads the id."""

    room = Room(language="en")
    room.script.catalogue = {}
    room.product("778899", **GONE)
    room.sells("778899")
    producer, host = prompts(room.run(1))
    assert "778899" in producer.title
    assert host.say.startswith("That was all we have of this item, it cannot be ordered now;")


def test_traffic_drop_names_the_source_that_fell() -> None:
    """Organic traffic and ads are told apart, with the figures."""

    organic = Room(numbers=DRYING)
    organic.until(1_229)
    (prompt,) = prompts(organic.run())
    assert prompt.title == "进人降40%，查源"
    assert prompt.say == "自然流量近3分钟96人，之前每3分钟160人；先查限流、计划余额、推流，再看粉丝群。"
    ads = Room(numbers=HEALTHY | {"ads_joins_3m": 10, "ads_joins_base": 80}, language="en")
    ads.until(1_229)
    (prompt,) = prompts(ads.run())
    assert prompt.say.startswith("Ads joins: 10 in the last 3 minutes, 80 in 3 minutes before;")


def test_a_silent_source_is_told_once_an_outage() -> None:
    """Each outage of each source once, not each second."""

    room = Room()
    room.script.sources = [Silence("shop", 30, SHOW_MS)]
    (prompt,) = prompts(room.run(400))
    assert (prompt.title, prompt.audience) == ("shop断30秒", "producer")
    assert prompt.say == "主播不要报库存和已拍数；请以点开链接看到的为准。"
    room.script.sources = [Silence("shop", 31, SHOW_MS), Silence("chat", 40, SHOW_MS)]
    assert [prompt.title for prompt in prompts(room.run(60))] == ["chat断40秒"]
    room.script.sources = [Silence("shop", 30, SHOW_MS + 900_000)]
    assert [prompt.title for prompt in prompts(room.run(60))] == ["shop断30秒"]


def test_catch_wave_names_product_and_true_price() -> None:
    """The price is the list price, the running offer's, or, while an offer is set but not announced, unsaid."""

    def said(prepare: Callable[[Room], None]) -> str:
        room = Room(numbers=RISING)
        prepare(room)
        return next(prompt.say for prompt in prompts(room.until(330)) if prompt.play == "catch_wave")

    def ready(room: Room) -> None:
        room.take(ev.OfferReady, offer="o1", product="p1", price=990, quantity=1000)

    def running(room: Room) -> None:
        ready(room)
        room.take(ev.OfferStart, offer="o1")

    assert said(lambda room: None) == "刚进来的朋友，现在讲的是抽纸，29.9元，想看细节打“细节”，我拿近给大家看。"
    assert said(running) == "刚进来的朋友，现在讲的是抽纸，9.9元，想看细节打“细节”，我拿近给大家看。"
    assert said(ready) == "刚进来的朋友，现在讲的是抽纸，想看细节打“细节”，我拿近给大家看。"


def test_dead_air_asks_a_question_even_without_a_product() -> None:
    """With nothing pinned the clause about the product is dropped."""

    room = Room(numbers=SILENT)
    room.script.pinned = None
    assert prompts(room.until(60))[0].say == "打1看上身，打2看细节，我现在就展示。"
    room = Room(numbers=SILENT)
    (prompt,) = prompts(room.until(100))
    assert prompt.say == "抽纸大家想看上身还是细节？打1看上身，打2看细节，我现在就展示。"
    assert prompt.expires_ms - prompt.issued_ms == 20_000


def test_no_drop_without_something_to_drop() -> None:
    """No traffic item, no offer, no stock or too great a loss: the play stays silent."""

    bare = Room(numbers=FALLING)
    bare.script.catalogue = {"p2": CUP}
    assert fired(bare) == []
    empty = Room(numbers=FALLING)
    empty.product("p1", stock=0)
    assert fired(empty) == []
    costly = Room(DEFAULT.override("[plays.flash_drop.offer]\nmax_loss = 1_999"), numbers=FALLING)
    assert fired(costly) == []


def test_a_drop_is_no_larger_than_stock_cap_and_loss_allow() -> None:
    """The producer is asked for the most pieces that every limit bears."""

    def title(room: Room) -> str:
        return next(prompt.title for prompt in prompts(room.until(LATE_S)) if prompt.play == "flash_drop")

    few = Room(numbers=FALLING)
    few.product("p1", stock=30)
    assert title(few) == "改价9.9元，放30件"
    assert title(Room(DEFAULT.override("[plays.flash_drop.offer]\nmax_loss = 100_000"), numbers=FALLING)) == (
        "改价9.9元，放50件"
    )
    assert title(Room(DEFAULT.override("[plays.flash_drop.offer]\nmax_pieces = 20"), numbers=FALLING)) == (
        "改价9.9元，放20件"
    )


def test_the_rundown_decides_which_item_is_dropped() -> None:
    """Of two traffic items the one that comes first in the running order."""

    other = TISSUE.__class__(
        product="p0", name="纸杯", price=1_000, role="traffic", opening_stock=9, offers=(Offer(offer="o0", price=100),)
    )
    room = Room(numbers=FALLING)
    room.script.catalogue = {"p0": other, **room.script.catalogue}
    assert next(prompt.product for prompt in prompts(room.until(600)) if prompt.play == "flash_drop") == "p1"
    room = Room(numbers=FALLING)
    room.script.catalogue = {"p0": other, **room.script.catalogue}
    room.script.rundown = ()
    assert next(prompt.product for prompt in prompts(room.until(600)) if prompt.play == "flash_drop") == "p0"
