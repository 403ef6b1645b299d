"""Definitions worked out for what is known at a moment: then a line of numbers is a loop over sums and quotients.

`stream.numbers` and its like stay the specification: whatever is summed, what a plan says is what their `make` says,
to the last bit. What may be known changes some dozen times a show, and many rooms know the same.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from stream import series as s
from stream.numbers import (
    MISSING,
    Counted,
    Known,
    Make,
    Number,
    People,
    PerMinute,
    Ratio,
    Status,
    Totals,
    joins,
    views,
    worst,
)

PLANS_KEPT = 512  # a plan is some kB; rooms of a shop differ little in what they know

Flat = Callable[[list[int], int], Number]
"""The number over one window, of its sums and its length so far in seconds."""
Plan = Mapping[str, Flat]
"""By key, in the order of the definitions; what is missing whatever the sums has none."""


class Planned:
    """The definitions of one kind of window (`show`: the whole show), by key, and their plan for whatever is known."""

    __slots__ = ("makes", "show")

    def __init__(self, makes: Iterable[tuple[str, Make]], show: bool) -> None:
        self.makes = tuple(makes)
        self.show = show

    def of(self, known: Known) -> Plan:
        """The plan for what is known."""
        held: dict[Any, Plan] = known.__dict__
        try:
            return held[self]
        except KeyError:
            held[self] = plan = _plan(self, known)
            return plan


@lru_cache(PLANS_KEPT)
def _plan(planned: Planned, known: Known) -> Plan:
    flats = ((key, _flat(make, known, planned.show)) for key, make in planned.makes)
    return {key: flat for key, flat in flats if flat is not None}


class _Sum(NamedTuple):
    status: Status
    series: tuple[int, ...]


def _summed(make: Make, known: Known, show: bool) -> _Sum | None:
    """A number that is a sum of series with a status known beforehand; None where it is not made so."""
    match make:
        case Counted():
            return _Sum(known.status(make.needs), make.series)
        case People():
            status = "missing" if known.masked else known.status(make.needs)
            if status != "missing" and show and make.series in known.full:
                status = worst(status, "estimated")
            return _Sum(status, (make.series,))
    if make is views and not known.visits:
        return _summed(joins, known, show)
    if make is views and "viewer.count" in known.seen:
        return _Sum(known.status(("viewer.count",)), (s.VIEW_RISE,))
    return None


def _flat(make: Make, known: Known, show: bool) -> Flat | None:
    """How to make a number from the sums alone; None where it is missing."""
    sums = _parts(make, known, show)
    if any(part is not None and part.status == "missing" for part in sums):
        return None
    match make, sums:
        case Ratio(factor=factor), (_Sum(above, (i,)), _Sum(below, (j,))):
            return _ratio(i, j, factor, worst(above, below))
        case PerMinute(), (_Sum(status, (i,)),):
            return _per_minute(i, status)
        case _, (_Sum(status, (i,)),):
            return lambda sums, seconds: Number(sums[i], status)
        case _, (_Sum(status, (i, j)),):
            return lambda sums, seconds: Number(sums[i] + sums[j], status)
    return lambda sums, seconds: make(Totals(sums, seconds, known, show))


def _parts(make: Make, known: Known, show: bool) -> tuple[_Sum | None, ...]:
    """The sums that a number is made of, or is."""
    match make:
        case Ratio():
            return _summed(make.num, known, show), _summed(make.den, known, show)
        case PerMinute():
            return (_summed(make.count, known, show),)
    return (_summed(make, known, show),)


def _ratio(i: int, j: int, factor: int, status: Status) -> Flat:
    def ratio(sums: list[int], seconds: int) -> Number:
        above, below = sums[i], sums[j]
        return Number(factor * above / below, status, above, below) if below else Number(None, "missing", above, 0)

    return ratio


def _per_minute(i: int, status: Status) -> Flat:
    def per_minute(sums: list[int], seconds: int) -> Number:
        count = sums[i]
        return Number(60 * count / seconds, status, count, seconds) if seconds > 0 else MISSING

    return per_minute
