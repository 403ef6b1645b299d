"""Every number has a name, a formula and what it needs; what is not known is missing and never 0."""

import ast
import re
from pathlib import Path

import pytest

from agents import glossary
from agents.settings import Settings, load_playbook, room_config
from stream import events as e
from stream.numbers import BY_KEY, KEYS, MISSING, WINDOWLESS, Known, Totals
from stream.room import RoomState
from stream.series import N_SERIES
from stream.shelf_numbers import PRODUCT_KEYS
from tests import recordings

T0 = 1_760_000_000_000
STREAM = Path(__file__).parents[2] / "stream"
# What the definitions call by another name, or state in words only.
SPELLED_OUT = {
    "retention_Ns": ("retention_30s", "retention_60s", "retention_180s", "retention_300s"),
    "pitch": ("pitch_per_min", "pitch_peak"),
}
FIELDS = {
    "from",
    "ref",
    "segment",
    "scene",
    "ad.spend",
    "order",
    "returning",
    "channel",
    "count",
    "amount",
    "estimated",
}


def room(*events: e.RoomEvent) -> RoomState:
    """A room that has closed the seconds of `events`."""
    settings = Settings()
    state = RoomState("r", load_playbook(settings), room_config(settings))
    for event in events:
        state.apply(event, event.ts)
    state.finish()
    return state


def test_the_names_are_those_of_the_definitions() -> None:
    """Every number that the written definitions name exists in the code under that name."""
    path = recordings.ROOT.parent / "DOMAIN.md"
    if not path.exists():
        pytest.skip(f"no definitions at {path}")
    text = path.read_text("utf-8")
    tables = text[text.index("## Counts") : text.index("Windows that producers compare")]
    named = set(re.findall(r"`([a-z_]+[a-z0-9_N]*)`", tables)) - FIELDS
    have = {key.rsplit("_", 1)[0] for key in BY_KEY} | set(WINDOWLESS) | PRODUCT_KEYS | KEYS
    have |= {key.removesuffix("_show") for key in have}

    unknown = {name for name in named if name not in have and not set(SPELLED_OUT.get(name, ("-",))) <= have}
    assert unknown == set()


def test_no_number_is_known_before_anything_was_seen() -> None:
    """With sums of 0 and nothing seen, every number of every window is missing."""
    totals = Totals([0] * N_SERIES, 60, Known())

    assert {key: made for key, (one, _) in BY_KEY.items() if (made := one.make(totals)) != MISSING} == {}


def test_a_number_is_missing_until_its_event_was_seen_and_then_0_is_0() -> None:
    """Orders are missing in a room of chats; once one order came, a later minute without any says 0."""
    chats = [e.Chat(room="r", ts=T0 + 1_000 * i, user="u", text="a") for i in range(5)]
    before = room(*chats).line().numbers
    order = e.OrderPaid(room="r", ts=T0 + 1_000, order="o", product="p", amount=990)
    later = e.Chat(room="r", ts=T0 + 120_000, user="u", text="a")
    after = room(*chats, order, later).line().numbers

    assert before["orders_paid_1m"] == MISSING
    assert before["gmv_paid_show"] == MISSING
    assert (after["orders_paid_1m"].value, after["orders_paid_1m"].status) == (0, "ok")
    assert after["gmv_paid_show"].value == 990


def test_people_are_missing_where_no_event_says_who() -> None:
    """Chats without users are counted, but how many people chatted is not known."""
    numbers = room(*(e.Chat(room="r", ts=T0 + i, text="a") for i in range(9))).line().numbers

    assert numbers["chats_show"].value == 9
    assert numbers["chatters_show"] == MISSING
    assert numbers["interaction_rate_show"] == MISSING


def test_ads_are_missing_where_nothing_names_them() -> None:
    """Without a join that says where it came from, or an order that names a channel, ad numbers are missing, not 0."""
    numbers = (
        room(
            e.AdSpend(room="r", ts=T0, channel="feed", amount=10_000),
            e.ViewerJoin(room="r", ts=T0 + 1, user="u"),
            e.OrderPaid(room="r", ts=T0 + 2, order="o", product="p", amount=990, user="u"),
        )
        .line()
        .numbers
    )

    assert numbers["ad_spend_show"].value == 10_000
    assert numbers["cost_per_join_show"] == MISSING
    assert numbers["roi_show"] == MISSING
    assert numbers["roi_all_show"].value == pytest.approx(0.099)


def test_the_glossary_names_every_number_once() -> None:
    """The table that `liveroom numbers` prints holds every number of rooms and products, each with a formula."""
    rows = list(glossary.rows())
    named = {row.name for row in rows if row.of == "room"}

    assert named == {key.rsplit("_", 1)[0] for key in BY_KEY} | set(WINDOWLESS)
    assert len({(row.of, row.name) for row in rows}) == len(rows)
    assert all(row.formula and row.unit for row in rows)


def test_no_float_holds_money_or_time_in_the_core() -> None:
    """No field or variable of the core that is named after money or time is annotated as a float."""
    found = []
    for path in sorted(STREAM.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
                name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
                if "float" in ast.unparse(node.annotation) and re.search(
                    r"(^|_)(ms|s|minor|ts|amount|gmv|price)$", name
                ):
                    found.append(f"{path.name}:{node.lineno} {name}")

    assert found == []


def test_sums_of_a_show_are_whole_numbers() -> None:
    """After a show with money, every value that is no ratio is an int."""
    events = [
        e.OrderPaid(room="r", ts=T0 + 10 * i, order=f"o{i}", product="p", amount=3 * i, user=f"u{i}") for i in range(50)
    ]
    line = room(*events).line()
    counts = {
        key: number.value for key, number in line.numbers.items() if number.value is not None and number.den is None
    }

    assert counts
    assert all(type(value) is int for value in counts.values())
