"""The loop that tells conditions that cannot hold from those that may: in floats, with what each may be off by.

A word is what is done and its argument; NAME and VALUE put a number on a stack, the others take from there and put back
what comes out. A truth is one of NO, YES, MAYBE and UNSEEN: it needs a number that is not there.
"""

import numpy as np
from numpy.typing import NDArray

from stream.compiling import compiled
from stream.loops import Ints

Floats = NDArray[np.float64]
OPERATIONS = (
    *("name", "value", "minus", "add", "sub", "mul", "tdiv"),
    *("lt", "le", "gt", "ge", "eq", "ne", "not", "and", "or"),
)
NAME, VALUE, MINUS, ADD, SUB, MUL, DIV, LT, LE, GT, GE, EQ, NE, NOT, AND, OR = range(16)
NO, YES, MAYBE, UNSEEN = 0.0, 1.0, 2.0, 3.0
OFF = 2.0**-50  # of a float, relative to the decimal fraction it stands for, and of one operation: with room to spare
TINY = 1e-200  # below this a product may have lost its digits
NOT_THERE = -1.0  # instead of what a number may be off by


@compiled
def worked(what: int, a: float, off_a: float, b: float, off_b: float) -> tuple[float, float]:
    """The sum, difference, product or quotient of two numbers, and what it may be off by."""
    if off_a < 0 or off_b < 0:
        return 0.0, NOT_THERE
    if what == ADD:
        value, off = a + b, off_a + off_b
    elif what == SUB:
        value, off = a - b, off_a + off_b
    elif what == MUL:
        value, off = a * b, abs(a) * off_b + abs(b) * off_a + off_a * off_b
        if abs(value) < TINY and a != 0 and b != 0:
            off = np.inf
    elif abs(b) <= off_b:
        value, off = 0.0, np.inf
    else:
        value = a / b
        off = (off_a + abs(value) * off_b) / (abs(b) - off_b)
        if abs(value) < TINY and a != 0:
            off = np.inf
    off += abs(value) * OFF
    return (value, off) if off < np.inf else (0.0, np.inf)  # NaN is not below either


@compiled
def compared(what: int, a: float, off_a: float, b: float, off_b: float) -> float:
    """The truth of a comparison."""
    if off_a < 0 or off_b < 0:
        return UNSEEN
    apart, off = a - b, off_a + off_b
    if not (abs(apart) > off or off == 0):
        return MAYBE
    if what == LT:
        holds = apart < 0
    elif what == LE:
        holds = apart <= 0
    elif what == GT:
        holds = apart > 0
    elif what == GE:
        holds = apart >= 0
    elif what == EQ:
        holds = apart == 0
    else:
        holds = apart != 0
    return YES if holds else NO


@compiled
def joined(what: int, a: float, b: float) -> float:
    """The truth of two that are read from left to right, as far as they have to be."""
    ends = NO if what == AND else YES
    if a in (ends, UNSEEN):
        return a
    if a == MAYBE:
        return ends if b == ends else MAYBE
    return b


@compiled
def truth(values: Floats, words: Ints, constants: Floats, start: int, stop: int, stack: Floats) -> float:
    """The truth of the condition at [start, stop) of `words` (n, 2); `stack` (n, 2) has room for it."""
    top = -1
    for word in range(start, stop):
        what, which = words[word, 0], words[word, 1]
        if what in (NAME, VALUE):
            top += 1
            value = values[which] if what == NAME else constants[which]
            stack[top, 0], stack[top, 1] = value, abs(value) * OFF
            if value != value:
                stack[top, 0], stack[top, 1] = 0.0, NOT_THERE
        elif what == MINUS:
            stack[top, 0] = -stack[top, 0]
        elif what == NOT:
            if stack[top, 0] in (YES, NO):
                stack[top, 0] = YES + NO - stack[top, 0]
        else:
            top -= 1
            a, off_a, b, off_b = stack[top, 0], stack[top, 1], stack[top + 1, 0], stack[top + 1, 1]
            if what <= DIV:
                stack[top, 0], stack[top, 1] = worked(what, a, off_a, b, off_b)
            elif what <= NE:
                stack[top, 0] = compared(what, a, off_a, b, off_b)
            else:
                stack[top, 0] = joined(what, a, b)
    told: float = stack[0, 0]
    return told


@compiled
def sift(values: Floats, words: Ints, constants: Floats, spans: Ints, stack: Floats, may: Ints) -> None:
    """Set to 1 in `may` (groups) which of the groups have a condition that may hold, to 0 the others.

    `spans` (n, 3) are the conditions: their group, and where their words begin and end; a group without any may hold.
    """
    may[:] = 1
    for condition in range(len(spans)):
        may[spans[condition, 0]] = 0
    for condition in range(len(spans)):
        group, start, stop = spans[condition]
        if not may[group]:
            told = truth(values, words, constants, start, stop, stack)
            may[group] = told in (YES, MAYBE)
