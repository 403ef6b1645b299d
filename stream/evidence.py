"""What a play saw: whether its condition holds, its numbers as evidence, and the figures for its texts.

A figure that is not known is absent, and the clause that needs it is dropped; nothing here invents one.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial

from stream.catalogue import Product
from stream.expressions import Reading
from stream.numbers import MISSING, Number
from stream.playbook import Play, Screen
from stream.prompts import Evidence
from stream.signals import Signals, SilentSource
from stream.wording import clock, money, whole

BLOCKING = frozenset({"yes", "estimated", "stale"})  # what cannot be seen any more holds a play back, too
Lookup = Callable[[str], Number]


class Subject:
    """What a play is about this time: a product, a silent source, or the room as a whole."""

    __slots__ = ("id", "product", "source")

    def __init__(self, product: str | None = None, source: SilentSource | None = None, *, own: bool = False) -> None:
        self.product = product
        self.source = source
        self.id = source.source if source is not None else (product or "") if own else ""


def lookup(play: Play, subject: Subject, signals: Signals) -> Lookup:
    """Numbers as this play may name them: a product's own come before the room's of the same name."""
    if play.product_names:
        return partial(_of_product, signals, subject.product, play.product_names)
    if subject.source is not None:
        return partial(_of_source, signals, subject.source)
    return signals.number


def _of_product(signals: Signals, product: str | None, names: frozenset[str], name: str) -> Number:
    if name not in names:
        return signals.number(name)
    return MISSING if product is None else signals.product_number(product, name)


def _of_source(signals: Signals, source: SilentSource, name: str) -> Number:
    if name == "silent_s":
        return Number(source.silent_s, "ok")
    return Number(source.since_ms, "ok") if name == "since_ms" else signals.number(name)


def alternative(play: Play, reading: Reading) -> int | None:
    """Which alternative of the play's condition holds, if one does and nothing holds the play back."""
    for index, condition in enumerate(play.when):
        if condition.truth(reading) == "yes":
            return None if any(block.truth(reading) in BLOCKING for block in play.unless) else index
    return None


def evidence(play: Play, numbers: Lookup, reading: Reading) -> tuple[Evidence, ...]:
    """The numbers the play names, those that are known, with their limits."""
    found = []
    for name in play.spec.evidence:
        number = numbers(name)
        if number.value is not None:
            limit = play.limits[name].value(reading) if name in play.limits else None
            found.append(Evidence(name, number.value, number.status, None if limit is None else _plain(limit)))
    return tuple(found)


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else round(float(value), 4)


def figures(play: Play, index: int, reading: Reading, language: str) -> dict[str, str]:
    """The play's own words and figures for the alternative that holds."""
    known = play.words(language, index)
    for name, options in play.facts.items():
        value = options[index if len(options) > 1 else 0].value(reading)
        if value is not None:
            known[name] = whole(value)
    return known


def named(product: str | None, catalogue: Mapping[str, Product], otherwise: str | None) -> dict[str, str]:
    """The fact `product`: its name, else what is said of a product without one."""
    if product is None:
        return {}
    entry = catalogue.get(product)
    name = entry.name if entry is not None and entry.name else otherwise
    return {"product": name} if name else {}


def following(product: str | None, signals: Signals) -> dict[str, str]:
    """The fact `next`: the first named product after this one in the rundown that is not sold out."""
    order = [item.product for item in sorted(signals.rundown, key=lambda item: item.order)]
    if product is None or product not in order:
        return {}
    for candidate in order[order.index(product) + 1 :]:
        entry = signals.catalogue.get(candidate)
        if entry is not None and entry.name and candidate != product:
            stock = signals.product_number(candidate, "stock")
            if stock.value != 0 or stock.status not in ("ok", "estimated"):
                return {"next": entry.name}
    return {}


def terms(
    price: int, quantity: int | None, per_person: int | None, until: int | None, screen: Screen
) -> dict[str, str]:
    """The facts of an offer."""
    known = {"price": money(price)}
    if quantity is not None:
        known["n"] = str(quantity)
    if per_person is not None:
        known["k"] = str(per_person)
    if until is not None:
        known["time"] = clock(until, screen.utc_offset_min)
    return known
