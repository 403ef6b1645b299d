"""A parsed and type-checked expression as nested functions: the same Decimal arithmetic in 2 us instead of 14.

`rule-engine` checks every value's type at every evaluation; ours are all numbers, and the tree was checked at load.
What is not translated here (functions, rare operators) raises Untranslated, and the library evaluates it itself.
The same trees are written down as words for a sieve, too (see stream.sieve).
"""

import decimal
import operator
from collections.abc import Callable, Mapping
from typing import Any

from rule_engine import DataType, ast  # type: ignore[import-untyped]  # ships no py.typed marker

Step = Callable[[Any], Any]
Words = list[tuple[str, str | decimal.Decimal | None]]
"""A tree in postfix notation: what is done, and of a `name` or a `value` which."""

PRECISION = 28  # Decimal's own default, stated so that no caller's context can change a decision
CONTEXT = decimal.Context(prec=PRECISION)
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "add": CONTEXT.add,
    "sub": CONTEXT.subtract,
    "mul": CONTEXT.multiply,
    "tdiv": CONTEXT.divide,
}
_COMPARING = (ast.ComparisonExpression, ast.ArithmeticComparisonExpression)
_ADDING = (ast.AddExpression, ast.SubtractExpression, ast.ArithmeticExpression)
_LOGIC = frozenset({"not", "and", "or"})


class Untranslated(Exception):
    """A node that is left to the library."""


def closure(node: Any) -> Step:
    """The function of a node; it takes what names are resolved in (`resolve(name)`). Raises Untranslated."""
    kind = type(node)
    if kind is ast.SymbolExpression and node.scope is None:
        return operator.methodcaller("resolve", node.name)
    if kind in (ast.FloatExpression, ast.BooleanExpression):
        value = node.value
        return lambda names: value
    if kind is ast.UnaryExpression:
        return _unary(node.type, closure(node.right))
    if kind is ast.LogicExpression:
        return _logic(node.type, closure(node.left), closure(node.right))
    if kind in _COMPARING:
        if node.left.result_type != node.right.result_type:
            raise Untranslated
        return _binary(_COMPARE, node)
    if kind in _ADDING:
        return _binary(_ARITHMETIC, node)
    raise Untranslated


def words(node: Any) -> Words:
    """The words of a node. Raises Untranslated."""
    kind = type(node)
    if kind is ast.SymbolExpression and node.scope is None:
        return [("name", node.name)]
    if kind is ast.FloatExpression:
        return [("value", node.value)]
    if kind is ast.UnaryExpression:
        of, what = [node.right], "not" if node.type == "not" else "minus"
    elif kind in (ast.LogicExpression, *_COMPARING, *_ADDING):
        of, what = [node.left, node.right], node.type
    else:
        raise Untranslated
    wanted = DataType.BOOLEAN if what in _LOGIC else DataType.FLOAT
    if any(one.result_type != wanted for one in of):
        raise Untranslated
    return [*(word for one in of for word in words(one)), (what, None)]


def _unary(type_: str, right: Step) -> Step:
    if type_ == "not":
        return lambda names: not right(names)
    return lambda names: CONTEXT.minus(right(names))


def _logic(type_: str, left: Step, right: Step) -> Step:
    if type_ == "and":
        return lambda names: bool(left(names) and right(names))
    return lambda names: bool(left(names) or right(names))


def _binary(table: Mapping[str, Callable[[Any, Any], Any]], node: Any) -> Step:
    operate, left, right = table.get(node.type), closure(node.left), closure(node.right)
    if operate is None:
        raise Untranslated
    if type(node.right) is ast.FloatExpression:
        value = node.right.value
        return lambda names: operate(left(names), value)
    return lambda names: operate(left(names), right(names))
