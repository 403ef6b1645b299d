"""Plays as data: what is written wrong is found at load and named; overrides merge; unknown is never yes."""

import contextlib
import doctest
from decimal import Decimal
from pathlib import Path

import pytest
import rule_engine
from hypothesis import given, settings
from hypothesis import strategies as st

import stream.playbook
import stream.wording
from stream.closures import CONTEXT
from stream.errors import PlaybookError
from stream.expressions import MAX_EXPRESSION_CHARS, ExpressionError, Expressions, Reading, Truth
from stream.numbers import MISSING, Number
from stream.playbook import Playbook
from stream.wording import Wording, clock, money

ROOM = {"online", "online_1m", "joins_1m", "clicks_1m", "chats_1m", "retention_60s"}
DEFAULT = Path(stream.playbook.__file__).with_name("playbook.toml").read_text("utf-8")
BANNED = ("秒杀", "最后机会", "全网最低", "国家级", "最高级", "最佳", "第一", "lowest price", "last chance", "best")
MINIMAL = """
[plays.hello]
audience = ["host"]
class = "talk"
when = ["online > 5"]
say.zh.host.title = "你好"
"""


def load(text: str = DEFAULT) -> Playbook:
    return Playbook.load(text, room=ROOM, product={"clicks_1m"})


def ok(value: float) -> Number:
    return Number(value, "ok")


@pytest.fixture(scope="module")
def default() -> Playbook:
    return load()


def test_the_default_playbook_loads_and_is_ordered_by_class(default: Playbook) -> None:
    """The playbook we ship is valid, in Chinese and English, and decides the more urgent class first."""

    ranks = [play.rank for play in default.decided]
    assert ranks == sorted(ranks)
    assert {"flash_drop", "catch_wave", "stock_low", "sold_out"} <= default.plays.keys()
    for play in default.plays.values():
        assert set(play.spec.say) == {"zh", "en"}, play.id


def test_our_own_texts_hold_no_banned_term() -> None:
    """No text we ship says what advertising law or the platforms forbid."""

    assert [term for term in BANNED if term in DEFAULT.lower()] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("[plays.catch_wave]\ncooldwn_s = 3", ["catch_wave", "cooldwn_s", "`cooldown_s`"]),
        ("[plays.catch_wave]\nwhen = ['joins_2m > 3']", ["catch_wave", "when[0]", "`joins_1m`"]),
        ("[plays.catch_wave]\nunless = ['onlin > 3']", ["catch_wave", "unless[0]", "`online`"]),
        ("[plays.catch_wave]\nwhen = ['joins_1m']", ["catch_wave", "when[0]", "yes/no"]),
        ("[plays.catch_wave]\nwhen = ['joins_1m > \"a\"']", ["catch_wave", "when[0]", "more in it"]),
        ("[plays.catch_wave]\nwhen = ['joins_1m == \"a\"']", ["catch_wave", "when[0]", "more in it"]),
        ("[plays.catch_wave]\nwhen = ['joins_1m == null']", ["catch_wave", "when[0]", "more in it"]),
        ("[plays.catch_wave]\nwhen = ['joins_1m > 1 << 9999999999']", ["catch_wave", "when[0]", "more in it"]),
        ("[plays.catch_wave]\nwhen = ['(joins_1m > 1) > 3']", ["catch_wave", "when[0]", "mismatch"]),
        ("[plays.catch_wave]\nwhen = ['joins_1m >']", ["catch_wave", "when[0]", "syntax"]),
        ("[plays.catch_wave]\nwhen = ['$random() > 0.5']", ["catch_wave", "when[0]", "random"]),
        ("[plays.catch_wave]\nwhen = []", ["catch_wave", "when", "at least one"]),
        ("[plays.catch_wave]\nclass = 'tlk'", ["catch_wave", "class", "`talk`"]),
        ("[plays.catch_wave]\naudience = ['hst']", ["catch_wave", "audience", "`host`"]),
        ("[plays.catch_wave]\naudience = ['host', 'host']", ["catch_wave", "audience", "twice"]),
        ("[plays.catch_wave]\nhold_s = 'x'", ["catch_wave", "hold_s", "`int`"]),
        ("[plays.catch_wave]\nhold_s = -1", ["catch_wave", "hold_s", ">= 0"]),
        ("[plays.catch_wave]\neffect = 'onlin'", ["catch_wave", "effect", "`online`"]),
        ("[plays.catch_wave]\nevidence = ['joins_3m']", ["catch_wave", "evidence", "`joins_1m`"]),
        ("[plays.catch_wave]\nparams = {online = 3}", ["catch_wave", "params.online", "another"]),
        ("[plays.catch_wave]\nparams = {joins = nan}", ["catch_wave", "params.joins", "finite"]),
        ("[plays.catch_wave]\nlimits = {joins_2m = '3'}", ["catch_wave", "limits.joins_2m", "`joins_1m`"]),
        ("[plays.catch_wave]\nfacts = {now = ['1', '2']}", ["catch_wave", "facts.now", "2 entries"]),
        ("[plays.catch_wave.say.zh.host]\ntitel = 'a'", ["catch_wave", "titel", "`title`"]),
        ("[plays.catch_wave.say.zh.host]\nsay = '{pric}'", ["catch_wave", "say.zh.host.say", "`price`"]),
        ("[plays.catch_wave.say.zh.host]\nsay = '{price!r}'", ["catch_wave", "say.zh.host.say", "plain name"]),
        ("[plays.catch_wave.say.zh.host]\nsay = '{price'", ["catch_wave", "say.zh.host.say", "read"]),
        ("[plays.catch_wave]\naudience = ['producer']", ["catch_wave", "say.zh", "producer"]),
        ("[plays.flash_drop]\nsubject = 'room'", ["flash_drop", "offer"]),
        ("[plays.send]\nwhen = ['online > 3']", ["send", "on", "event"]),
        ("[plays.'Bad id']\nclass = 'talk'", ["Bad id", "id"]),
        ("[plays.new]\nclass = 'talk'", ["new", "audience", "missing"]),
        ("[plays.playbook_invalid]\nevent = 'violation'", ["playbook_invalid", "event", "`platform_violation`"]),
        ("[screen]\ngap = 3", ["gap", "`gap_s`"]),
        ("[play.x]", ["play", "`plays`"]),
        ("plays = 3", ["plays", "table"]),
        ("screen = 3", ["screen", "table"]),
        ("not toml", ["not TOML"]),
        ("a = " + "[" * 5_000, ["not TOML"]),
    ],
)
def test_a_wrong_line_is_named(default: Playbook, change: str, named: list[str]) -> None:
    """An error names the play, the field and the nearest valid name, and ends with what to do."""

    with pytest.raises(PlaybookError) as caught:
        default.override(change)
    message = str(caught.value)
    assert [word for word in named if word not in message] == []
    assert message.endswith("load the playbook again")


@given(st.text(max_size=60))
def test_any_expression_text_compiles_or_is_refused(text: str) -> None:
    """No text of an expression raises anything but our own error."""

    maker = Expressions(["online"])
    with contextlib.suppress(ExpressionError):
        maker.condition(text)


def operands(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "%", "**"]), inner)


FIGURES = st.recursive(st.sampled_from(["a", "b", "c", "0", "0.1", "3", "-2", "$max([a, 2])"]), operands, max_leaves=6)
CONDITIONS = st.recursive(
    st.builds("{} {} {}".format, FIGURES, st.sampled_from([">", ">=", "<", "<=", "==", "!="]), FIGURES),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=5,
)
VALUES = st.one_of(st.integers(-5, 5), st.floats(-5, 5).map(lambda value: round(value, 2)), st.just(0))


@settings(max_examples=200, deadline=None)
@given(CONDITIONS, st.fixed_dictionaries({"a": VALUES, "b": VALUES, "c": VALUES}))
def test_our_evaluation_equals_the_librarys(text: str, values: dict[str, float]) -> None:
    """The nested functions give what rule-engine gives for the same tree, to the last digit."""

    plain = rule_engine.Context(default_timezone="utc", decimal_context=CONTEXT)
    try:
        wanted = (
            "yes"
            if rule_engine.Rule(text.replace("$max([a, 2])", "m"), context=plain).matches(
                values | {"m": max(values["a"], 2)}
            )
            else "no"
        )
    except (rule_engine.EngineError, ArithmeticError):
        wanted = "missing"
    try:
        condition = Expressions(["a", "b", "c"]).condition(text)
    except ExpressionError:
        assert wanted == "missing"
        return
    numbers = {name: ok(value) for name, value in values.items()}
    assert condition.truth(Reading(numbers.__getitem__)) == wanted


def test_a_too_long_expression_is_refused() -> None:
    """Length is bounded before parsing."""

    with pytest.raises(ExpressionError, match="characters"):
        Expressions(["online"]).condition("(" * MAX_EXPRESSION_CHARS + "online > 1")


def test_an_override_merges_and_shares_what_it_leaves_alone(default: Playbook) -> None:
    """A changed field changes one play; others are the same objects, and the playbook itself is untouched."""

    changed = default.override("[plays.catch_wave]\ncooldown_s = 60\nparams.joins = 50\n[screen]\ngap_s = 5")
    assert changed.plays["catch_wave"].spec.cooldown_s == 60
    assert changed.plays["catch_wave"].spec.params == {"joins": 50, "times": 1.8}
    assert changed.plays["dead_air"] is default.plays["dead_air"]
    assert (changed.screen.gap_s, changed.screen.utc_offset_min) == (5, 480)
    assert default.plays["catch_wave"].spec.cooldown_s == 480


def test_an_override_switches_off_and_adds(default: Playbook) -> None:
    """A room can drop a play and bring its own."""

    changed = default.override("[plays.dead_air]\nenabled = false\n" + MINIMAL)
    decided = [play.id for play in changed.decided]
    assert "dead_air" not in decided
    assert "hello" in decided


@pytest.mark.parametrize(
    ("text", "numbers", "truth"),
    [
        ("online > 5", {"online": ok(6)}, "yes"),
        ("online > 5", {"online": ok(5)}, "no"),
        ("online > 5", {"online": MISSING}, "missing"),
        ("online > 5", {"online": Number(9, "stale")}, "stale"),
        ("online > 5", {"online": Number(9, "estimated")}, "estimated"),
        ("online > 5 and joins > 5", {"online": Number(9, "estimated"), "joins": ok(9)}, "yes"),
        ("online > 5 and show_s > 5", {"online": Number(9, "estimated"), "show_s": ok(9)}, "estimated"),
        ("online > 5 and joins > 5", {"online": ok(1), "joins": MISSING}, "no"),
        ("online > 5 or joins > 5", {"online": ok(9), "joins": MISSING}, "yes"),
        ("online / joins > 5", {"online": ok(9), "joins": ok(0)}, "missing"),
        ("online > -1 * less", {"online": ok(2)}, "yes"),
        ("online > small", {"online": ok(2)}, "yes"),
        ("online <= 0.1 + 0.2", {"online": ok(0.3)}, "yes"),
        ("$max([online, joins]) > limit", {"online": ok(9), "joins": ok(1)}, "yes"),
    ],
)
def test_what_is_not_known_is_never_yes(text: str, numbers: dict[str, Number], truth: Truth) -> None:
    """Only numbers really consulted count; missing, stale and estimates alone hold nothing."""

    maker = Expressions(["online", "joins", "show_s"], {"limit": 8, "less": -1.5, "small": 1e-7})
    reading = Reading(numbers.__getitem__)
    assert maker.condition(text).truth(reading) == truth


def test_a_figure_of_unknown_numbers_is_unknown() -> None:
    """A figure is a number or None, never an error."""

    figure = Expressions(["a", "b"]).figure("100 * (a - b) / a")
    assert figure.value(Reading({"a": ok(8), "b": ok(6)}.__getitem__)) == 25
    assert figure.value(Reading({"a": ok(0), "b": ok(6)}.__getitem__)) is None
    assert figure.value(Reading({"a": ok(8), "b": MISSING}.__getitem__)) is None


@pytest.mark.parametrize(
    ("text", "facts", "said"),
    [
        ("{a}，{b}元，完。", {"a": "杯", "b": "9.9"}, "杯，9.9元，完。"),
        ("{a}，{b}元，完。", {"b": "9.9"}, "9.9元，完。"),
        ("甲，{b}元。乙。", {}, "甲。乙。"),
        ("甲；{b}元，丙{c}。", {"b": "1"}, "甲；1元。"),
        ("{a}好不好？打1，打2。", {}, "打1，打2。"),
        ("{a}", {}, ""),
        ("Now {a}, then {b}, at {c}.", {"a": "1", "c": "0.5"}, "Now 1, at 0.5."),
        ("{a} is here, order now. Bye.", {}, "Order now. Bye."),
        ("{a}, x", {"a": "1，2"}, "1，2, x"),
    ],
)
def test_a_clause_without_its_figure_is_dropped(text: str, facts: dict[str, str], said: str) -> None:
    """What is left is still a sentence; what a figure contains is never taken for our own punctuation."""

    assert Wording(text).fill(facts) == said


@given(st.integers(0, 10**12))
def test_money_is_exact(minor: int) -> None:
    """A written price is the price, without trailing zeros."""

    text = money(minor)
    assert Decimal(text) * 100 == minor
    assert not ("." in text and text.endswith("0"))


def test_the_examples_of_the_wording_are_true() -> None:
    """What the docstrings show is what happens."""

    assert doctest.testmod(stream.wording).failed == 0


def test_the_time_of_day_follows_the_offset() -> None:
    """Negative offsets wrap into the day before."""

    assert clock(3_600_000, -120) == "23:00"
