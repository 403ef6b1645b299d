"""Typed yes/no and number expressions over a room's numbers: parsed and checked by `rule-engine`.

Chosen over CEL (`common-expression-language`): both are safe and take 8-17 us an evaluation, but CEL knows a wrong
name or type only once it runs; rule-engine says so at load, names the nearest valid one, and shows its tree.
An expression over a number that is missing or stale is unknown, and unknown is never yes.
"""

import contextlib
import decimal
import re
from collections.abc import Callable, Collection, Mapping
from typing import Literal

import rule_engine  # type: ignore[import-untyped]  # ships no py.typed marker
from rule_engine.builtins import Builtins  # type: ignore[import-untyped]  # ships no py.typed marker

from stream.closures import CONTEXT, Step, Untranslated, Words, closure, words
from stream.numbers import Number, Status

Truth = Literal["yes", "no", "missing", "stale", "estimated"]

MAX_EXPRESSION_CHARS = 1_000  # the longest of ours has 120; deep nesting would exhaust the parser's stack
# Clocks, flags and sample sizes: no measurement that could back an estimate.
NEUTRAL = frozenset({"show_s", "pin_age_s", "scene_quiet", "pinned", "silent_s", "since_ms", "retention_60s_cohort"})
FUNCTIONS = {"abs": abs, "max": max, "min": min}
_NAME = re.compile(r"(?<![$\w.])[a-zA-Z_]\w*")
# Numbers, names, arithmetic, comparison, logic and the functions: no texts, no loops, no shifts of a billion bits.
_ALLOWED = re.compile(r"(?!.*(<<|>>|\b(null|for|true|false)\b))[\w\s.+\-*/%()<>=!,\[\]$]*", re.DOTALL)


class ExpressionError(ValueError):
    """What is wrong with an expression, and the nearest valid name if it names something unknown."""


class _Unseen(Exception):
    """A number the expression consulted is not there; caught in this module."""

    def __init__(self, status: Literal["missing", "stale"]) -> None:
        super().__init__(status)
        self.status = status


class Reading:
    """One look at the numbers by name, remembering what was consulted."""

    __slots__ = ("_guessed", "_number", "_solid")

    def __init__(self, number: Callable[[str], Number]) -> None:
        self._number = number
        self._guessed = False
        self._solid = False

    def resolve(self, name: str) -> decimal.Decimal:
        """The value behind a name."""
        number = self._number(name)
        status, value = number.status, number.value
        if status == "ok":
            self._solid = self._solid or name not in NEUTRAL
        elif status == "estimated":
            self._guessed = True
        else:
            raise _Unseen(status)
        if value is None:
            raise _Unseen("missing")
        return decimal.Decimal(value) if type(value) is int else decimal.Decimal(repr(float(value)))

    def status(self, name: str) -> Status:
        """How a number stands, without consulting it."""
        return self._number(name).status

    def reset(self) -> None:
        """Forget what was consulted."""
        self._guessed = self._solid = False

    @property
    def only_estimates(self) -> bool:
        """Whether every measurement consulted so far was an estimate, and there was one."""
        return self._guessed and not self._solid


class _Functions(Builtins):  # type: ignore[misc]  # the base is untyped
    """`$abs`, `$max` and `$min` only: the library's own `$now` and `$random` would make a replay differ."""

    def resolve_type(self, name: str) -> object:
        if name not in self:
            raise rule_engine.errors.SymbolResolutionError(name, suggestion="$max")
        return super().resolve_type(name)


class Expressions:
    """Compiles expressions that may use `names`, all of them numbers, and `constants`.

    Constants are written into the text before it is parsed: a literal costs nothing, a name about 2 us.
    """

    def __init__(self, names: Collection[str], constants: Mapping[str, int | float] | None = None) -> None:
        self._constants = {name: f"({decimal.Decimal(repr(value)):f})" for name, value in (constants or {}).items()}
        number = rule_engine.DataType.FLOAT
        self._context = rule_engine.Context(
            resolver=Reading.resolve,
            type_resolver=dict.fromkeys([*names, *self._constants], number),
            default_timezone="utc",
            decimal_context=CONTEXT,
        )
        standard = Builtins.from_defaults(timezone=self._context.default_timezone)
        self._context.builtins = _Functions(
            FUNCTIONS,
            value_types={name: standard.resolve_type(name) for name in FUNCTIONS},
            timezone=self._context.default_timezone,
        )

    def condition(self, text: str) -> "Condition":
        """A yes/no expression. Raises ExpressionError."""
        return Condition(self._compile(text, rule_engine.DataType.BOOLEAN, "a yes/no; compare it with something"))

    def figure(self, text: str) -> "Figure":
        """An expression whose value is a number. Raises ExpressionError."""
        return Figure(self._compile(text, rule_engine.DataType.FLOAT, "a number"))

    def _compile(self, text: str, wanted: object, meant: str) -> rule_engine.Rule:
        if len(text) > MAX_EXPRESSION_CHARS:
            raise ExpressionError(f"has {len(text)} characters; at most {MAX_EXPRESSION_CHARS} are read")
        if not _ALLOWED.fullmatch(text):
            raise ExpressionError("has more in it than numbers, names, + - * / % ( ), comparisons, and, or, not")
        try:
            rule = rule_engine.Rule(_NAME.sub(self._literal, text), context=self._context)
        except rule_engine.errors.SymbolResolutionError as error:
            raise ExpressionError(
                f"unknown number `{error.symbol_name}`; the nearest is `{error.suggestion}`"
            ) from None
        except rule_engine.EngineError as error:
            raise ExpressionError(str(error.message)) from None
        except (RecursionError, ArithmeticError, ValueError, TypeError) as error:
            raise ExpressionError(f"cannot be read ({type(error).__name__})") from None
        if rule.statement.expression.result_type != wanted:
            raise ExpressionError(f"is not {meant}")
        return rule

    def _literal(self, name: re.Match[str]) -> str:
        return self._constants.get(name[0], name[0])


def _step(rule: rule_engine.Rule) -> Step:
    try:
        return closure(rule.statement.expression)
    except Untranslated:
        evaluate: Step = rule.evaluate
        return evaluate


def _words(rule: rule_engine.Rule) -> Words | None:
    try:
        return words(rule.statement.expression)
    except Untranslated:
        return None


class Condition:
    """A compiled yes/no expression, and its words if it has some.

    The number it always consults first is asked for its status before all else.
    """

    __slots__ = ("_first", "_step", "words")

    def __init__(self, rule: rule_engine.Rule) -> None:
        self._step = _step(rule)
        self.words = _words(rule)
        self._first = _consulted_first(self._step)

    def truth(self, reading: Reading) -> Truth:
        """`yes`, `no`, or why it cannot be known; `estimated`: yes, but by estimates alone."""
        if self._first is not None:
            status = reading.status(self._first)
            if status == "missing" or status == "stale":
                return status
        reading.reset()
        try:
            held = self._step(reading)
        except _Unseen as unseen:
            return unseen.status
        except (rule_engine.EngineError, ArithmeticError):  # a division by zero has no answer
            return "missing"
        if not held:
            return "no"
        return "estimated" if reading.only_estimates else "yes"


def _consulted_first(step: Step) -> str | None:
    asked: list[str] = []

    def ask(name: str) -> Number:
        asked.append(name)
        raise _Unseen("missing")

    with contextlib.suppress(_Unseen, rule_engine.EngineError, ArithmeticError):
        step(Reading(ask))
    return asked[0] if asked else None


class Figure:
    """A compiled number expression."""

    __slots__ = ("_step",)

    def __init__(self, rule: rule_engine.Rule) -> None:
        self._step = _step(rule)

    def value(self, reading: Reading) -> decimal.Decimal | None:
        """The number, or None where something it needs is not known."""
        try:
            return decimal.Decimal(self._step(reading))
        except (_Unseen, rule_engine.EngineError, ArithmeticError):
            return None
