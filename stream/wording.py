"""Texts with figures: a clause whose figure is unknown is dropped, so that nobody is told to say a gap.

Money is whole minor units and is written without floats; a moment of the day is written in the room's offset.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from string import Formatter
from typing import NamedTuple

_BREAK = re.compile(r"([，；。：？！]|[,;:.?!] |\.$)")
# The stronger mark survives when the clause before it is dropped; 3 ends a sentence.
_STRENGTH = {"，": 1, ", ": 1, "：": 1, ": ": 1, "；": 2, "; ": 2}
_SENTENCE = 3
MINUTE_MS = 60_000


class Clause(NamedTuple):
    """A piece of a text, the names it needs, and the mark that ends it."""

    text: str
    names: tuple[str, ...]
    mark: str


class Wording:
    """A text with `{names}`, cut into clauses once."""

    __slots__ = ("clauses", "names")

    def __init__(self, text: str) -> None:
        """Raises ValueError for a text that is no template."""
        pieces = _BREAK.split(text)
        pairs = zip(pieces[::2], [*pieces[1::2], ""], strict=True)
        self.clauses = tuple(Clause(piece, _names(piece), mark) for piece, mark in pairs if piece or mark)
        self.names = frozenset(name for clause in self.clauses for name in clause.names)

    def known(self, facts: Mapping[str, str]) -> bool:
        """Whether every figure of the text is known."""
        return self.names <= facts.keys()

    def fill(self, facts: Mapping[str, str]) -> str:
        """The text, without the clauses whose figures are not among `facts`.

        >>> Wording("{a}元，一共{n}件，现在可以拍。").fill({"a": "9.9"})
        '9.9元，现在可以拍。'
        >>> Wording("now, {n} left. Order soon.").fill({})
        'now. Order soon.'
        """
        kept: list[list[str]] = []
        dropped = False
        for text, names, mark in self.clauses:
            if all(name in facts for name in names):
                piece = text.format_map(facts) if names else text
                kept.append([piece[:1].upper() + piece[1:] if dropped and _starts(kept) else piece, mark])
                dropped = False
                continue
            dropped = dropped or _starts(kept)
            if kept and _strength(mark) > _strength(kept[-1][1]):
                kept[-1][1] = mark
        return "".join(piece + mark for piece, mark in kept).strip()


def _starts(kept: list[list[str]]) -> bool:
    return not kept or _strength(kept[-1][1]) == _SENTENCE


def _strength(mark: str) -> int:
    return _STRENGTH.get(mark, _SENTENCE)


def _names(piece: str) -> tuple[str, ...]:
    fields = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(piece) if name is not None]
    for name, spec, conversion in fields:
        if not name.isidentifier() or spec or conversion:
            raise ValueError(f"{{{name}}} is no plain name in braces")
    return tuple(name for name, _, _ in fields)


def money(minor: int) -> str:
    """Minor units (hundredths) as people write a price.

    >>> money(990), money(1000), money(1999), money(5)
    ('9.9', '10', '19.99', '0.05')
    """
    whole, rest = divmod(minor, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(whole)


def clock(at_ms: int, offset_min: int) -> str:
    """The time of day at an offset from UTC in minutes.

    >>> clock(1_700_000_000_000, 480)
    '06:13'
    """
    minutes = (at_ms // MINUTE_MS + offset_min) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def whole(value: Decimal) -> str:
    """A figure as a whole number, halves up; what is said aloud needs no decimals."""
    return str(int(value.quantize(Decimal(1), ROUND_HALF_UP)))
