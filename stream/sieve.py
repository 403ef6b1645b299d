"""Which plays may hold now: all conditions of a playbook looked at in one go, before any is worked out exactly.

Decimal arithmetic alone says that a condition holds (see stream.expressions). Most never do, by far; floats that know
what they may be off by say so at a hundredth of the cost, and are silent where it is close.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Protocol

import numpy as np

from stream import sifting
from stream.closures import Words
from stream.loops import Ints
from stream.sifting import OPERATIONS, TINY, Floats

Conditions = Sequence[Words | None]
"""The alternatives of a play; None: one that has no words."""


class Seeing(Protocol):
    """Who knows numbers."""

    def seen(self, names: tuple[str, ...]) -> Floats:
        """The values behind names, NaN for those that are missing or stale."""
        ...


class Sieve:
    """The conditions of plays, which may use `known` numbers; plays with a condition that cannot be read always may."""

    def __init__(self, plays: Sequence[Conditions], known: Sequence[Collection[str]]) -> None:
        names: dict[str, int] = {}
        constants: list[float] = []
        words: list[tuple[int, int]] = []
        spans: list[tuple[int, int, int]] = []
        for number, (conditions, may_use) in enumerate(zip(plays, known, strict=True)):
            for condition in conditions if all(_readable(one, may_use) for one in conditions) else ():
                start = len(words)
                for what, of in condition or ():
                    which = 0
                    if what == "name":
                        which = names.setdefault(str(of), len(names))
                    elif what == "value":
                        which = len(constants)
                        constants.append(float(of or 0))
                    words.append((OPERATIONS.index(what), which))
                spans.append((number, start, len(words)))
        self._n = len(plays)
        self._names = tuple(names)
        self._words: Ints = np.array(words, np.int64).reshape(-1, 2)
        self._constants: Floats = np.array(constants, np.float64)
        self._spans: Ints = np.array(spans, np.int64).reshape(-1, 3)

    def may_hold(self, numbers: Seeing) -> list[int]:
        """For each play 0 where surely none of its conditions holds."""
        if not self._names:
            return [1] * self._n
        may, stack = np.empty(self._n, np.int64), np.empty((len(self._words) + 1, 2))
        sifting.sift(numbers.seen(self._names), self._words, self._constants, self._spans, stack, may)
        told: list[int] = may.tolist()
        return told


def _readable(condition: Words | None, known: Collection[str]) -> bool:
    """Whether all its words are, and its numbers are the same for whatever the play is about."""
    return condition is not None and all(_word(what, of, known) for what, of in condition)


def _word(what: str, of: str | Decimal | None, known: Collection[str]) -> bool:
    if isinstance(of, Decimal):
        return of == 0 or abs(float(of)) > TINY  # else its float has lost digits, or is 0
    return of in known if what == "name" else what in OPERATIONS
