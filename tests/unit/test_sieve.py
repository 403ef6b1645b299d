"""What a sieve lets go by can hold; what it holds back surely does not."""

from collections.abc import Mapping
from math import nan

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.expressions import Condition, ExpressionError, Expressions, Reading
from stream.numbers import MISSING, Number
from stream.sieve import Sieve
from stream.sifting import Floats
from tests.unit.rooms import DEFAULT, FALLING, HEALTHY, Script, known

NAMES = ("a", "b", "c")
EXPRESSIONS = Expressions(NAMES)
FIGURES = st.recursive(
    st.sampled_from([*NAMES, "0", "0.1", "3", "-2", "0.3", "1e-320", "7000000000000000000000"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner) | inner.map("-({})".format),
    max_leaves=6,
)
CONDITIONS = st.recursive(
    st.builds("{} {} {}".format, FIGURES, st.sampled_from([">", ">=", "<", "<=", "==", "!="]), FIGURES),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("({} == {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)
VALUES = st.one_of(
    st.integers(-5, 5),
    st.floats(-5, 5).map(lambda value: round(value, 1)),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.just(0),
)
NUMBERS = st.one_of(
    st.builds(Number, VALUES, st.sampled_from(["ok", "ok", "ok", "estimated", "stale"])), st.just(MISSING)
)


class Told:
    """Numbers set by hand."""

    def __init__(self, numbers: Mapping[str, Number]) -> None:
        self.numbers = numbers

    def seen(self, names: tuple[str, ...]) -> Floats:
        held = [self.numbers[name] for name in names]
        return np.array([nan if one.status in ("missing", "stale") else one.value for one in held], np.float64)


def condition(text: str) -> Condition | None:
    """A condition as in a playbook; None where it is none."""
    try:
        return EXPRESSIONS.condition(text)
    except ExpressionError:
        return None


@settings(max_examples=1_000, deadline=None)
@given(st.lists(CONDITIONS, min_size=1, max_size=3), st.fixed_dictionaries(dict.fromkeys(NAMES, NUMBERS)))
@example(["a <= 0.3"], {"a": Number(0.1 + 0.2, "ok"), "b": MISSING, "c": MISSING})
@example(["a * 0.1 == 0.3"], {"a": Number(3, "ok"), "b": MISSING, "c": MISSING})
@example(["a < 1e-320"], {"a": Number(0, "ok"), "b": MISSING, "c": MISSING})
@example(["(a / b) * 0 == 0"], {"a": Number(1e300, "ok"), "b": Number(1e-300, "ok"), "c": MISSING})
@example(["a * b > 0"], {"a": Number(1e-200, "ok"), "b": Number(1e-200, "ok"), "c": MISSING})
@example(["1 / (a - 0.3) > 0"], {"a": Number(0.1 + 0.2, "ok"), "b": MISSING, "c": MISSING})
@example(["a * 0.1 == 0.3 or a < 0"], {"a": Number(3, "ok"), "b": MISSING, "c": MISSING})
@example(["not (a > 3)"], {"a": MISSING, "b": MISSING, "c": MISSING})
@example(["not (a / b > 3)"], {"a": Number(1, "ok"), "b": Number(0, "ok"), "c": MISSING})
def test_what_is_held_back_does_not_hold(texts: list[str], numbers: dict[str, Number]) -> None:
    """Whatever the conditions and the numbers: a play that surely does not hold has no condition that says yes."""
    found = [one for one in map(condition, texts) if one is not None]
    may = Sieve([[one.words for one in found]], [NAMES]).may_hold(Told(numbers))

    if not may[0]:
        assert [one.truth(Reading(numbers.__getitem__)) == "yes" for one in found] == [False] * len(found)


@pytest.mark.parametrize(
    ("text", "a", "may"),
    [
        ("a > 3", 2, 0),
        ("a > 3", 4, 1),
        ("a >= 0.3", 0.3, 1),
        ("a == 0", 0, 1),
        ("a != 0", 0, 0),
        ("a == 0 and a > 1", 0, 0),
        ("a > 1 or a == 0", 0, 1),
        ("not (a < 5)", 2, 0),
        ("a / 4 + 1 < a * 2 - 0.5", 0, 0),
        ("1 / a > 3", 0, 1),
        ("a % 2 == 1", 2, 1),
    ],
)
def test_plain_cases_are_told_apart(text: str, a: float, may: int) -> None:
    """A sieve that lets everything by would be right and of no use; what it cannot read, it does let by."""
    one = condition(text)
    assert one is not None
    assert Sieve([[one.words]], [NAMES]).may_hold(Told({"a": Number(a, "ok")})) == [may]


def test_what_is_not_there_is_held_back() -> None:
    """A condition over a missing or a stale number cannot say yes, whatever it does with it."""
    one = condition("not (a > 3) or b == 0")
    assert one is not None
    for number in (MISSING, Number(1, "stale")):
        assert Sieve([[one.words]], [NAMES]).may_hold(Told({"a": number, "b": Number(0, "ok")})) == [0]


def test_a_name_that_means_something_else_to_the_play_is_let_by() -> None:
    """A number of a product or a source is not the room's."""
    one = condition("a > 3")
    assert one is not None
    assert Sieve([[one.words], [one.words]], [NAMES, ("b", "c")]).may_hold(Told({"a": Number(0, "ok")})) == [0, 1]
    assert Sieve([], []).may_hold(Told({})) == []


def test_the_plays_of_a_healthy_room_are_held_back() -> None:
    """All but those about products and sources, which are few when there are none; and not the one that holds."""
    plays = DEFAULT.decided
    own = {play.id for play in plays if play.spec.subject in ("selling", "source")}

    def let_by(numbers: dict[str, float]) -> set[str]:
        may = DEFAULT.sieve.may_hold(Script(numbers=known(numbers)))
        return {play.id for play, one in zip(plays, may, strict=True) if one}

    assert own
    assert let_by(HEALTHY) == own
    assert let_by(FALLING) == own | {"flash_drop"}
