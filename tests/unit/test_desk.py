"""The host's screen, answers, offers and modes; and that a restored desk goes on as the first would have."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import events as ev
from stream.board import MAX_PRODUCER_PROMPTS
from stream.desk import Desk
from stream.playbook import RANK
from stream.prompts import OfferProgress, Prompt, PromptState, Record
from tests.unit.rooms import (
    DEFAULT,
    FALLING,
    HEALTHY,
    ROOM,
    SHOW_MS,
    TEXT,
    Room,
    Script,
    Silence,
    known,
    progress,
    prompts,
    states,
)

SIMPLE = """
[screen]
gap_s = 20

[plays.calm]
audience = ["host"]
class = "talk"
when = ["online > 10"]
ttl_s = 30
say.zh.host = { title = "聊", say = "{n}" }

[plays.deal]
audience = ["host"]
class = "offer"
when = ["joins_1m > 10"]
ttl_s = 30
cooldown_s = 60
say.zh.host = { title = "开" }

[plays.storm]
audience = ["host"]
class = "crisis"
approve = true
when = ["chats_1m > 10"]
ttl_s = 30
cooldown_s = 600
say.zh.host = { title = "道歉" }

[plays.law]
audience = ["host"]
class = "compliance"
when = ["likes_1m > 10"]
ttl_s = 10
cooldown_s = 600
say.zh.host = { title = "改口" }

[plays.note]
audience = ["producer"]
class = "talk"
when = ["clicks_1m > 10"]
ttl_s = 60
say.zh.producer = { title = "看" }

[plays.send]
audience = ["host"]
class = "talk"
on = "arrival"
event = "prompt.send"
say.zh.host = { title = "{title}", say = "{text}" }
"""
Book = type(DEFAULT)
BOOK = Book.load(SIMPLE, room=ROOM, product=())
QUIET = {"online": 0.0, "joins_1m": 0.0, "chats_1m": 0.0, "likes_1m": 0.0, "clicks_1m": 0.0}


def simple(**numbers: float) -> Room:
    return Room(BOOK, numbers=QUIET | numbers)


def on_screen(records: list[Record]) -> list[tuple[str, int, int]]:
    """(id, from, until) of the host prompts that were on the screen."""
    spans: dict[str, tuple[int, int]] = {}
    for record in records:
        if isinstance(record, Prompt) and record.audience == "host" and record.state == "issued":
            spans[record.id] = (record.issued_ms, record.expires_ms)
        if isinstance(record, PromptState) and record.id in spans and record.state not in ("shown", "waiting"):
            start, end = spans[record.id]
            spans[record.id] = (start, min(end, record.at_ms))
    return [(id_, start, end) for id_, (start, end) in spans.items()]


# --- the screen


def test_one_host_prompt_at_a_time_with_a_gap() -> None:
    """A condition that always holds gives prompts that never overlap, a gap apart."""

    spans = on_screen(simple(online=50).run(300))
    assert len(spans) == 6
    assert [after[1] - before[2] for before, after in pairwise(spans)] == [20_000] * 5


def test_ids_are_deterministic_and_unique() -> None:
    """Room, show, play and second; the same run gives the same ids."""

    first, second = (simple(online=50, clicks_1m=50).run(200) for _ in range(2))
    assert first == second
    ids = [prompt.id for prompt in prompts(first)]
    assert ids[0] == f"r1~{SHOW_MS}~calm~{SHOW_MS // 1000 + 1}"
    assert len(set(ids)) == len(ids)


def test_a_prompt_expires_at_its_time() -> None:
    """The moment its validity ends, not when somebody looks."""

    room = simple(online=50)
    (prompt,) = prompts(room.run())
    room.set(QUIET)
    (closed,) = room.run(40)
    assert closed == PromptState(id=prompt.id, audience="host", state="expired", at_ms=prompt.expires_ms)


def test_the_gap_runs_from_leaving_the_screen() -> None:
    """A prompt done early makes room early."""

    room = simple(online=50)
    (prompt,) = prompts(room.run())
    room.run(4)
    room.take(ev.PromptDone, prompt=prompt.id)
    following = prompts(room.run(30))[0]
    assert following.issued_ms - prompt.issued_ms == 25_000


def test_a_more_urgent_class_pre_empts() -> None:
    """Compliance takes the screen at once from an offer, which is superseded; talk waits for it."""

    room = simple(joins_1m=50)
    (deal,) = prompts(room.run())
    room.set(QUIET, likes_1m=50, online=50)
    records = room.run()
    assert states(records) == [("deal", "superseded")]
    assert [prompt.play for prompt in prompts(records)] == ["law"]
    assert deal.class_ == "offer"
    spans = on_screen(records + room.run(60))
    assert [id_.split("~")[2] for id_, _, _ in spans][:2] == ["law", "calm"]


def test_a_less_urgent_class_never_pre_empts() -> None:
    """While compliance is on the screen nothing else is issued."""

    room = simple(likes_1m=50)
    room.run()
    room.set(QUIET, online=50, joins_1m=50)
    assert prompts(room.run(9)) == []


def test_producer_prompts_are_several_at_once_and_bounded() -> None:
    """They neither need the screen nor fill up without end."""

    room = simple(clicks_1m=50, online=50)
    records = room.run(MAX_PRODUCER_PROMPTS + 5)
    assert [prompt.play for prompt in prompts(records)].count("note") == MAX_PRODUCER_PROMPTS + 5
    assert states(records).count(("note", "superseded")) == 5
    assert len(on_screen(records)) == 1


# --- answers


def test_answers_come_back_as_states() -> None:
    """Shown, done, skipped, withdrawn; each once; an unknown prompt is counted and ignored."""

    room = simple(clicks_1m=50)
    first, second, third = prompts(room.run(3))
    room.set(QUIET)
    for _ in range(2):
        room.take(ev.PromptShown, prompt=first.id)
        room.take(ev.PromptDone, prompt=first.id)
        room.take(ev.PromptSkipped, prompt=second.id)
        room.take(ev.PromptWithdraw, prompt=third.id)
    room.take(ev.PromptDone, prompt="r1~0~none~0")
    assert [state for _, state in states(room.run())] == ["shown", "done", "skipped", "withdrawn"]
    assert room.desk.unknown_prompts == 1


def test_done_a_moment_after_the_countdown_counts() -> None:
    """The host acted on it, whatever the clock said."""

    room = simple(online=50)
    (prompt,) = prompts(room.run())
    room.set(QUIET)
    assert states(room.run(31)) == [("calm", "expired")]
    room.take(ev.PromptDone, prompt=prompt.id)
    assert states(room.run()) == [("calm", "done")]


def test_a_play_that_needs_approval_waits_for_it() -> None:
    """Waiting first; approved it takes the screen for its whole time, under its id; else it expires unseen."""

    room = simple(chats_1m=50, online=50)
    storm, calm = prompts(room.run())
    assert (storm.play, storm.state, storm.approve) == ("storm", "waiting", True)
    assert (calm.play, calm.state) == ("calm", "issued")
    room.run(10)
    room.take(ev.PromptApprove, prompt=storm.id, by="ann")
    records = room.run()
    assert states(records) == [("calm", "superseded")]
    (issued,) = prompts(records)
    assert (issued.id, issued.state) == (storm.id, "issued")
    assert issued.expires_ms - issued.issued_ms == 30_000

    room = simple(chats_1m=50)
    room.run()
    assert states(room.run(40)) == [("storm", "expired")]


def test_an_approved_prompt_waits_for_a_more_urgent_one() -> None:
    """Approval does not push compliance off the screen."""

    room = simple(chats_1m=50, likes_1m=50)
    records = room.run()
    storm = next(prompt for prompt in prompts(records) if prompt.play == "storm")
    room.take(ev.PromptApprove, prompt=storm.id)
    records = room.run(12)
    assert [(prompt.play, prompt.state) for prompt in prompts(records)] == [("storm", "issued")]
    assert prompts(records)[0].issued_ms == SHOW_MS + 11_000  # law was issued at 1 s, for 10 s


# --- sent by hand, violations


def test_a_prompt_sent_by_hand_is_on_the_screen_at_once_and_once() -> None:
    """At arrival, not when its second closes; it takes the place of talk and of the one sent before."""

    room = simple(online=50)
    room.run()
    event = ev.PromptSend(room="r1", ts=SHOW_MS + 2_000, title="说下包邮", say="全场包邮", ttl_s=45)
    room.desk.arrive(event, SHOW_MS + 2_500)
    gone, sent = room.desk.drain()
    assert isinstance(sent, Prompt)
    assert isinstance(gone, PromptState)
    assert (gone.state, sent.state) == ("superseded", "issued")
    assert (sent.title, sent.say, sent.expires_ms - sent.issued_ms) == ("说下包邮", "全场包邮", 45_000)
    room.desk.take(event, SHOW_MS + 3_000)
    assert prompts(room.run(5)) == []
    room.take(ev.PromptSend, title="换个说法")
    records = room.desk.drain()
    assert states(records) == [("send", "superseded")]
    assert len({sent.id, *(prompt.id for prompt in prompts(records))}) == 2


def test_an_event_that_was_never_announced_is_not_lost() -> None:
    """Taken with its second if nobody gave it at arrival."""

    room = simple()
    room.desk.take(ev.PromptSend(room="r1", ts=SHOW_MS, title="说下包邮"), SHOW_MS + 1_000)
    assert [prompt.play for prompt in prompts(room.run())] == ["send"]


def test_two_sent_in_one_second_have_two_ids() -> None:
    """Ids stay unique whatever comes in a second."""

    room = simple()
    for title in ("甲", "乙", "丙"):
        room.take(ev.PromptSend, title=title)
    ids = [prompt.id for prompt in prompts(room.run())]
    assert len(set(ids)) == 3
    assert ids[1].endswith("~2")


def test_a_violation_reaches_both_at_once() -> None:
    """Host and producer, with the platform's reason, before everything else."""

    room = Room()
    room.take(ev.Violation, text="涉嫌使用绝对化用语")
    producer, host = prompts(room.desk.drain())
    assert (producer.audience, host.audience, host.class_) == ("producer", "host", "compliance")
    assert host.say == producer.say == "涉嫌使用绝对化用语"
    room.take(ev.ModeSet, mode="quiet")
    room.take(ev.Violation, text="再次")
    assert states(room.desk.drain()) == [("platform_violation", "superseded")]


# --- modes


def test_quiet_leaves_compliance_alone_to_the_host() -> None:
    """What is on the screen goes, what is sent by hand is withheld, compliance and the producer's notes go on."""

    room = simple(online=50, clicks_1m=50)
    room.run()
    room.take(ev.ModeSet, mode="quiet")
    room.take(ev.PromptSend, title="x")
    room.set(QUIET, online=50, joins_1m=50, likes_1m=50, clicks_1m=50)
    records = room.run(3)
    assert ("calm", "withdrawn") in states(records)
    seen = {(prompt.play, prompt.state) for prompt in prompts(records)}
    assert seen == {("send", "withheld"), ("law", "issued"), ("note", "issued")}
    room.take(ev.ModeSet, mode="normal")
    room.set(QUIET, online=50)
    assert "calm" in {prompt.play for prompt in prompts(room.run(60))}


@pytest.mark.parametrize("event", [ev.RoomPause, ev.RoomEnd])
def test_nothing_is_decided_off_air(event: Any) -> None:
    """In a pause and after the end; the host's screen is cleared."""

    room = simple(online=50, clicks_1m=50)
    room.run()
    room.take(event)
    assert ("calm", "withdrawn") in states(room.run())
    assert prompts(room.run(100)) == []


def test_a_pause_is_over_when_the_host_is_back() -> None:
    """No event says so: speech, a scene or a pin does."""

    room = simple(online=50)
    room.take(ev.RoomPause)
    assert prompts(room.run(10)) == []
    room.take(ev.HostSpeech, text="回来了")
    assert [prompt.play for prompt in prompts(room.run())] == ["calm"]


def test_a_new_show_starts_afresh() -> None:
    """Open prompts are superseded, caps and cooldowns forgotten."""

    room = simple(likes_1m=50)
    (first,) = prompts(room.run())
    room.desk.start_show(SHOW_MS + 5_000)
    assert states(room.desk.drain()) == [("law", "superseded")]
    (second,) = prompts(room.run())
    assert first.id != second.id
    assert second.id.startswith(f"r1~{SHOW_MS + 5_000}~law~")


def test_the_locale_of_the_show_chooses_the_language() -> None:
    """A language we speak is taken over, another one is not."""

    def title(locale: str) -> str:
        room = Room()
        room.take(ev.RoomStart, locale=locale)
        room.script.sources = [Silence("shop", 30, SHOW_MS)]
        return prompts(room.run())[0].title

    assert (title("en-GB"), title("zh_CN"), title("fr-FR")) == ("shop silent for 30 s", "shop断30秒", "shop断30秒")


def test_the_hold_out_withholds_a_fixed_share() -> None:
    """About its percentage of talk and offers, decided by the prompt's id alone, never of compliance."""

    book = BOOK.override(
        "[screen]\nwithhold_pct = 40\n[plays.calm]\nttl_s = 1\ncooldown_s = 1\n[screen]".rpartition("\n")[0]
    )
    room = Room(book, numbers=QUIET | {"online": 50})
    calm = [prompt.state for prompt in prompts(room.run(6_000)) if prompt.play == "calm"]
    share = calm.count("withheld") / len(calm)
    assert 0.3 < share < 0.5


def test_a_drop_held_out_is_not_asked_of_the_producer() -> None:
    """A withheld drop costs nobody work: the first step is withheld, and nothing follows."""

    room = Room(DEFAULT.override("[screen]\nwithhold_pct = 50"), numbers=FALLING)
    records = room.until(7_200)
    drops = [prompt for prompt in prompts(records) if prompt.play == "flash_drop"]
    assert {prompt.state for prompt in drops} == {"issued", "withheld"}
    assert len(drops) == 3


# --- changes to the playbook


def test_a_room_changes_its_plays_on_air() -> None:
    """The change holds from then on, replaces the one before, and survives a restore."""

    room = simple(online=50)
    room.take(ev.PlaybookSet, playbook="[plays.calm]\nwhen = ['online > 60']")
    assert prompts(room.run(5)) == []
    copy = Desk("r1", BOOK, "zh")
    copy.restore(room.desk.snapshot())
    room.desk = copy
    assert prompts(room.run(5)) == []
    room.take(ev.PlaybookSet, playbook="")
    assert len(prompts(room.run(5))) == 1


def test_an_invalid_change_is_told_and_changes_nothing() -> None:
    """The producer reads what is wrong; the plays before stay in force."""

    room = Room(numbers=FALLING)
    room.take(ev.PlaybookSet, playbook="[plays.flash_drop]\nunless = ['onlin > 60']")
    (notice,) = prompts(room.run(20))
    assert (notice.play, notice.audience) == ("playbook_invalid", "producer")
    assert "`online`" in notice.say
    assert "flash_drop" in {prompt.play for prompt in prompts(room.until(600))}


# --- a flash drop, from the fall to the last piece


SAID = {
    "zh": (
        "上80件9.9元福利",
        "抽纸，9.9元，一共80件，每人限2件，到17:10或拍完为止，链接价格已经改好，现在可以拍。",
    ),
    "en": (
        "Open 80 pieces at 9.9",
        "Here is 抽纸, at 9.9, 80 pieces in all, 2 per person, until 17:10 or until they are gone, "
        "the link already shows the price, you can order now.",
    ),
}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_story_of_a_flash_drop(language: str) -> None:
    """Producer first, host once it is really set, with the true quantity; progress and the end for viewers."""

    room = Room(language=language)
    assert prompts(room.until(600)) == []
    room.set(FALLING)
    (asked,) = prompts(room.run(31))
    assert (asked.audience, asked.product, asked.offer) == ("producer", "p1", "o1")
    assert asked.id.endswith("~producer")
    room.run(17)
    until = SHOW_MS + 1_000_000
    room.take(ev.OfferReady, offer="o9", product="p1", price=990, quantity=80, per_person=2, until=until)
    records = room.run()
    assert states(records) == [("flash_drop", "done")]
    (host,) = prompts(records)
    assert (host.audience, host.product, host.offer) == ("host", "p1", "o9")
    assert (host.title, host.say) == SAID[language]
    assert host.why == asked.why
    assert host.evidence == asked.evidence
    assert [(p.state, p.price, p.quantity, p.sold, p.name) for p in progress(records)] == [
        ("ready", 990, 80, 0, "抽纸")
    ]
    room.run(5)
    room.take(ev.PromptDone, prompt=host.id)
    records = room.run()
    assert [p.state for p in progress(records)] == ["running"]
    room.take(ev.OfferStart, offer="o9")
    assert progress(room.run()) == []
    room.take(ev.OrderCreated, product="p1", order="a", qty=2, amount=1_980)
    room.take(ev.OrderPaid, product="p1", order="a", qty=2, amount=1_980)
    room.take(ev.OrderCreated, product="p2", order="b", qty=5, amount=500)
    room.take(ev.OrderCreated, product="p1", order="c", qty=1, amount=990, ts=SHOW_MS)
    assert [p.sold for p in progress(room.run())] == [2]
    room.take(ev.OrderCreated, product="p1", order="d", qty=79, amount=78_000)
    (end,) = progress(room.run())
    assert (end.state, end.sold) == ("ended", 80)
    assert prompts(room.run(600)) == []


def test_the_producers_step_is_skipped_when_the_offer_stands() -> None:
    """An offer that is set already goes straight to the host."""

    room = Room(numbers=FALLING)
    room.take(ev.OfferReady, offer="o9", product="p1", price=990, quantity=80)
    (host,) = prompts(room.until(520))
    assert (host.audience, host.offer) == ("host", "o9")
    assert host.say == "抽纸，9.9元，一共80件，链接价格已经改好，现在可以拍。"


def test_an_offer_that_comes_too_late_or_was_declined_stands_unsaid() -> None:
    """After the wait, or once the producer skipped the step, the host is not told until the play fires again."""

    for seconds, skip in ((125, False), (5, True)):
        room = Room(numbers=FALLING)
        (asked,) = prompts(room.until(511))
        if skip:
            room.take(ev.PromptSkipped, prompt=asked.id)
        room.run(seconds)
        room.take(ev.OfferReady, offer="o9", product="p1", price=990, quantity=80)
        assert prompts(room.run(60)) == []


def test_an_offer_over_the_loss_limit_is_recorded_not_shown() -> None:
    """What would cost more than the room may lose is withheld, with the reason as evidence."""

    room = Room(numbers=FALLING)
    room.take(ev.OfferReady, offer="o9", product="p1", price=990, quantity=251)
    (host,) = prompts(room.until(520))
    assert host.state == "withheld"
    assert (host.evidence[-1].number, host.evidence[-1].value, host.evidence[-1].limit) == (
        "loss_minor",
        251 * 2_000,
        500_000,
    )
    assert on_screen(room.run(60)) == []


def test_an_offer_of_another_role_or_kind_is_not_taken() -> None:
    """A bundle, or the flash price of a profit item, is no traffic drop."""

    for product, kind in (("p1", "bundle"), ("p2", "flash")):
        room = Room(numbers=FALLING)
        room.take(ev.OfferReady, offer="o9", product=product, price=990, kind=kind)
        assert [prompt.audience for prompt in prompts(room.until(520))] == ["producer"]


def test_new_terms_replace_the_prompt_that_names_the_old() -> None:
    """The host never reads a price that is no longer true."""

    room = Room(numbers=FALLING)
    room.take(ev.OfferReady, offer="o9", product="p1", price=990, quantity=80)
    room.until(512)
    room.take(ev.OfferReady, offer="o9", product="p1", price=1_290, quantity=40)
    records = room.run()
    assert states(records) == [("flash_drop", "superseded")]
    assert prompts(records)[0].title == "上40件12.9元福利"


def test_a_running_sale_is_never_interrupted_by_an_offer() -> None:
    """While one runs no offer play speaks; talk may."""

    room = simple(joins_1m=50)
    room.take(ev.OfferReady, offer="o9", product="p1", price=990, quantity=80)
    room.take(ev.OfferStart, offer="o9")
    assert prompts(room.run(30)) == []
    room.set(QUIET, online=50)
    assert [prompt.play for prompt in prompts(room.run())] == ["calm"]


@pytest.mark.parametrize("how", ["stop", "until", "end"])
def test_an_offer_ends(how: str) -> None:
    """By the producer, by its time or with the show; the host's prompt for it goes with it."""

    room = Room(numbers=FALLING)
    until = SHOW_MS + 530_000 if how == "until" else None
    room.take(ev.OfferReady, offer="o9", product="p1", price=990, until=until)
    (host,) = prompts(room.until(515))
    if how == "stop":
        room.take(ev.OfferStop, offer="o9")
    if how == "end":
        room.take(ev.RoomEnd)
    records = room.run(20)
    assert ("flash_drop", "withdrawn") in states(records)
    assert [p.state for p in progress(records)] == ["ended"]
    room.take(ev.OrderCreated, product="p1", amount=990)
    room.take(ev.PromptDone, prompt=host.id)
    assert progress(room.run()) == []


def test_offer_start_is_an_answer() -> None:
    """A host who opens the sale in the back office has done what the prompt asked."""

    room = Room(numbers=FALLING)
    room.take(ev.OfferReady, offer="o9", product="p1", price=990)
    room.until(515)
    room.take(ev.OfferStart, offer="o9")
    records = room.run()
    assert states(records) == [("flash_drop", "done")]
    assert [p.state for p in progress(records)] == ["running"]


def test_paid_orders_count_where_created_ones_are_not_sent() -> None:
    """Either report of a sale, never both."""

    room = Room()
    room.take(ev.OfferReady, offer="o9", product="p1", price=990, quantity=100)
    room.take(ev.OfferStart, offer="o9")
    room.take(ev.OrderPaid, product="p1", qty=3, amount=2_970)
    assert [p.sold for p in progress(room.run())] == [3]
    room.take(ev.OrderCreated, product="p1", qty=4, amount=3_960)
    assert [p.sold for p in progress(room.run())] == [4]


def test_an_offer_set_before_the_show_belongs_to_it() -> None:
    """Prepared half an hour before it stands; yesterday's does not, and what ran is over."""

    def after(ready_ms: int, running: bool = False) -> list[str]:
        room = Room(numbers=FALLING)
        room.take(ev.OfferReady, offer="o9", product="p1", price=990, ts=ready_ms)
        if running:
            room.take(ev.OfferStart, offer="o9")
        room.run()
        room.desk.start_show(SHOW_MS + 2_000)
        return [p.state for p in progress(room.run())] + [p.audience for p in prompts(room.until(520))]

    assert after(SHOW_MS - 1_800_000) == ["host"]
    assert after(SHOW_MS - 86_400_000) == ["producer"]
    assert after(SHOW_MS - 1_800_000, running=True) == ["ended", "producer"]


@pytest.mark.parametrize(
    ("until", "known_until"),
    [(SHOW_MS // 1000 + 900, SHOW_MS + 900_000), (7, None), (10**18, None), (SHOW_MS + 1, SHOW_MS + 1)],
)
def test_an_end_in_seconds_is_understood(until: int, known_until: int | None) -> None:
    """Back offices differ; what can be no time at all is left out."""

    room = Room()
    room.take(ev.OfferReady, offer="o9", product="p1", price=990, until=until)
    assert progress(room.run())[0].until == known_until


# --- nothing alive, nothing lost


def test_an_idle_desk_says_so() -> None:
    """After what it names nothing happens by time alone."""

    room = simple()
    room.run(5)
    assert room.desk.idle_after_ms() == 0
    room.set(QUIET, likes_1m=50)
    room.run()
    room.set(QUIET)
    room.run()
    assert room.desk.idle_after_ms() == SHOW_MS + 6_000 + 600_000
    room.take(ev.OfferReady, offer="o9", product="p1", price=990, until=SHOW_MS + 10**12)
    room.run()
    assert room.desk.idle_after_ms() == room.script.at_ms + 7_200_000


def test_records_are_json() -> None:
    """Every record goes out as one JSON object with the names of the contract."""

    room = Room(numbers=FALLING)
    room.until(520)
    room.take(ev.OfferReady, offer="o9", product="p1", price=990)
    decoded = [json.loads(msgspec.json.encode(record)) for record in room.run()]
    prompt = next(record for record in decoded if "play" in record)
    assert prompt["class"] == "offer"
    assert prompt["evidence"][0] == {"number": "online_1m", "value": 270, "status": "ok", "limit": 300}
    assert {"offer", "product", "name", "price", "quantity", "sold", "until", "state", "at_ms"} == decoded[-1].keys()


NUMBERS = st.sampled_from(
    [HEALTHY, FALLING, HEALTHY | {"joins_1m": 200}, HEALTHY | {"speech_age_s": 60, "order_age_s": 60}]
)
GONE: dict[str, float] = {"stock": 0, "stock_before_zero": 3, "zero_for_s": 10, "orders_since_stock": 1, "refills": 0}
LOW: dict[str, float] = {
    "stock": 5,
    "opening_stock": 100,
    "units_5m": 22,
    "sell_out_min": 1,
    "velocity": 4,
    "refills": 0,
}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.sampled_from([1, 7, 40, 200])),
        st.tuples(st.just("numbers"), NUMBERS),
        st.tuples(st.just("shelf"), st.sampled_from([GONE, LOW])),
        st.tuples(
            st.just("event"),
            st.sampled_from(
                [
                    (ev.OfferReady, {"offer": "o1", "product": "p1", "price": 990, "quantity": 3}),
                    (ev.OfferReady, {"offer": "o1", "product": "p1", "price": 890, "quantity": 5}),
                    (ev.OfferStart, {"offer": "o1"}),
                    (ev.OfferStop, {"offer": "o1"}),
                    (ev.StockLevel, {"product": "p1", "available": 5}),
                    (ev.OrderCreated, {"product": "p1", "amount": 990}),
                    (ev.OrderPaid, {"product": "p1", "amount": 990}),
                    (ev.PromptSend, {"title": "说下包邮"}),
                    (ev.Violation, {"text": "违规"}),
                    (ev.ModeSet, {"mode": "quiet"}),
                    (ev.ModeSet, {"mode": "normal"}),
                    (ev.RoomPause, {}),
                    (ev.HostSpeech, {"text": "在"}),
                    (ev.PlaybookSet, {"playbook": "[plays.catch_wave]\ncooldown_s = 5"}),
                    (ev.PlaybookSet, {"playbook": "[plays.catch_wav"}),
                    (ev.RoomEnd, {}),
                    (ev.RoomStart, {"locale": "en"}),
                ]
            ),
        ),
        st.tuples(
            st.just("answer"), st.sampled_from([ev.PromptDone, ev.PromptSkipped, ev.PromptShown, ev.PromptWithdraw])
        ),
        st.tuples(st.just("show"), st.just(0)),
    ),
    max_size=25,
)


def play_on(room: Room, steps: list[tuple[str, Any]], restore_at: int | None = None) -> list[Record]:
    """Everything that comes out of the steps; at `restore_at` the desk is replaced by a restored one."""
    out: list[Record] = []
    for index, (what, how) in enumerate(steps):
        if index == restore_at:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(room.desk.snapshot()))
            room.desk = Desk("r1", DEFAULT, "zh")
            room.desk.restore(state)
        if what == "run":
            out += room.run(how)
        elif what == "numbers":
            room.set(how)
        elif what == "shelf":
            room.product("p1", **how)
        elif what == "event":
            room.take(how[0], **how[1])
        elif what == "answer":
            given = prompts(out)
            room.take(how, prompt=given[-1].id if given else "none")
        else:
            room.desk.start_show(room.script.at_ms)
            room.script.show_ms = room.script.at_ms
    return out + room.run(30)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.data())
def test_a_restored_desk_goes_on_as_the_first_would(steps: list[tuple[str, Any]], data: st.DataObject) -> None:
    """A snapshot at any point, through bytes: the same records from there on, none twice, none lost."""

    steps = [("run", 500), *steps]
    at = data.draw(st.integers(0, len(steps) - 1))
    assert play_on(Room(), steps, at) == play_on(Room(), steps)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_whatever_happens_the_laws_hold(steps: list[tuple[str, Any]]) -> None:
    """One host prompt at a time, unique ids, states of given prompts only, no offer over its quantity, whole texts."""

    out = play_on(Room(), [("run", 500), *steps])
    spans = sorted((start, end) for _, start, end in on_screen(out))
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    ids = [(prompt.id, prompt.state) for prompt in prompts(out)]
    assert len(set(ids)) == len(ids)
    given_out = {prompt.id for prompt in prompts(out)}
    assert all(record.id in given_out for record in out if isinstance(record, PromptState))
    for record in out:
        if isinstance(record, OfferProgress):
            assert record.quantity is None or record.sold <= record.quantity
        if isinstance(record, Prompt):
            assert record.title
            assert "{" not in record.title + record.say + record.why
            assert record.class_ in RANK


def test_an_override_that_no_longer_fits_is_told_after_a_restore() -> None:
    """A snapshot from before a number was renamed still restores, on the default plays."""

    room = Room(Book.load(TEXT, room={*ROOM, "old"}, product={"clicks_1m"}))
    room.take(ev.PlaybookSet, playbook="[plays.catch_wave]\nwhen = ['old > 3']")
    room.run()
    copy = Desk("r1", DEFAULT, "zh")
    copy.restore(room.desk.snapshot())
    assert [prompt.play for prompt in prompts(copy.drain())] == ["playbook_invalid"]
    copy.decide(Script(at_ms=SHOW_MS + 2_000, numbers=known(HEALTHY)))
