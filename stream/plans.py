"""Definitions worked out for what is known at a moment: then a line of numbers is a loop over sums and quotients.

`stream.numbers` and its like stay the specification: whatever is summed, what a plan says is what their `make` says,
to the last bit. What may be known changes some dozen times a show, and many rooms know the same.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from stream import numbers as n
from stream import series as s
from stream.numbers import MISSING, Counted, Known, Make, Number, People, PerMinute, Ratio, Status, worst
from stream.surveying import NOTHING, ONE, SECONDS

PLANS_KEPT = 512  # a plan is some kB; rooms of a shop differ little in what they know

Flat = Callable[[list[int], int], Number]
"""The number over one window, of its sums and its length so far in seconds."""


class Cell(NamedTuple):
    """A number as what is done with the row of a window: its sums, then its length in SECONDS, NOTHING (0) and ONE.

    It is (plus + also - less) x factor / (divisor x (below + beside)), or what stands above where nothing is `below`;
    missing where `unless` is 0. All but `status`, `factor` and `divisor` are places of the row.
    """

    status: Status
    plus: int
    also: int = NOTHING
    less: int = NOTHING
    below: int | None = None
    beside: int = NOTHING
    factor: int = 1
    divisor: int = 1
    unless: int = ONE


class Plan(NamedTuple):
    """By key, in the order of the definitions, without those that are missing whatever the sums."""

    cells: Mapping[str, Cell]
    flats: Mapping[str, Flat]


class Planned:
    """The definitions of one kind of window (`show`: the whole show), by key, and their plan for whatever is known."""

    __slots__ = ("makes", "show")

    def __init__(self, makes: Iterable[tuple[str, Make]], show: bool) -> None:
        self.makes = tuple(makes)
        self.show = show

    def of(self, known: Known) -> Mapping[str, Flat]:
        """How to make each number for what is known."""
        return self.plan(known).flats

    def plan(self, known: Known) -> Plan:
        """The plan for what is known."""
        held: dict[Any, Plan] = known.__dict__
        try:
            return held[self]
        except KeyError:
            held[self] = plan = _plan(self, known)
            return plan


@lru_cache(PLANS_KEPT)
def _plan(planned: Planned, known: Known) -> Plan:
    found = ((key, _cell(make, known, planned.show)) for key, make in planned.makes)
    cells = {key: cell for key, cell in found if cell is not None}
    return Plan(cells, {key: _flat(cell) for key, cell in cells.items()})


def _cell(make: Make, known: Known, show: bool) -> Cell | None:
    """How a number is made; None where it is missing whatever the sums."""
    match make:
        case Counted():
            return _sum(known.status(make.needs), *make.series)
        case People():
            status = "missing" if known.masked else known.status(make.needs)
            if status != "missing" and show and make.series in known.full:
                status = worst(status, "estimated")
            return _sum(status, make.series)
        case Ratio():
            return _over(_cell(make.num, known, show), _cell(make.den, known, show), make.factor)
        case PerMinute():
            count = _cell(make.count, known, show)
            return count and count._replace(below=SECONDS, factor=60, unless=SECONDS)
    if make is n.views:
        return _cell(n.rise if known.visits else n.joins, known, show)
    if make is n.net_ad:
        gross = _cell(n.gmv_ad, known, show)
        return gross and gross._replace(less=s.REFUNDED_AD)
    if make is n.dwell:
        return _dwell(known)
    if make is n.chat_density:
        chats = _cell(n.chats, known, show)
        status = n.online_status(known)
        return chats and Cell(
            worst(chats.status, status), chats.plus, below=s.ONLINE, factor=6_000, unless=s.ONLINE_KNOWN
        )
    raise TypeError(f"no plan is known for {make}")


def _sum(status: Status, first: int, second: int = NOTHING) -> Cell | None:
    return None if status == "missing" else Cell(status, first, second)


def _over(above: Cell | None, below: Cell | None, factor: int) -> Cell | None:
    if above is None or below is None:
        return None
    status = worst(above.status, below.status)
    return above._replace(status=status, below=below.plus, beside=below.also, factor=factor)


def _dwell(known: Known) -> Cell | None:
    if "viewer.leave" in known.seen and not known.masked:
        status = known.status(("viewer.join", "viewer.leave"))
        return Cell(status, s.WATCH_MS, below=s.VIEWERS, divisor=1_000)
    if "viewer.join" not in known.seen:
        return None
    status = worst("estimated", n.online_status(known), known.status(("viewer.join",)))
    return Cell(status, s.ONLINE, below=s.JOINS, unless=s.ONLINE_KNOWN)


def _flat(cell: Cell) -> Flat:
    """The number that a cell says; the forms that come most cost least."""
    status, plus, also, less, below, beside, factor, divisor, unless = cell
    plain = less == NOTHING and unless == ONE
    if plain and below is None:
        if also == NOTHING:
            return lambda sums, seconds: Number(sums[plus], status)
        return lambda sums, seconds: Number(sums[plus] + sums[also], status)
    if plain and also == beside == NOTHING and divisor == 1 and below != SECONDS:
        assert below is not None
        return _ratio(plus, below, factor, status)

    def number(sums: list[int], seconds: int) -> Number:
        row = [*sums, seconds, 0, 1]
        if not row[unless]:
            return MISSING
        above = row[plus] + row[also] - row[less]
        if below is None:
            return Number(above, status)
        under = row[below] + row[beside]
        return Number(factor * above / (divisor * under), status, above, under) if under else _undivided(above)

    return number


def _ratio(i: int, j: int, factor: int, status: Status) -> Flat:
    def ratio(sums: list[int], seconds: int) -> Number:
        above, below = sums[i], sums[j]
        return Number(factor * above / below, status, above, below) if below else _undivided(above)

    return ratio


def _undivided(above: int) -> Number:
    return Number(None, "missing", above, 0)
