"""Every number of the product as a table: what `liveroom numbers` prints."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stream.numbers import DEFINITIONS, WINDOWLESS, Definition, needs_of
from stream.shelf_numbers import PRODUCT_DEFINITIONS, PRODUCT_WINDOWLESS
from stream.split_numbers import AD_PARTS, OF_ADS, OF_VIEWERS, VIEWER_PARTS


class Row(NamedTuple):
    """One number."""

    of: str
    name: str
    windows: str
    unit: str
    formula: str
    events: str


def rows() -> Iterator[Row]:
    """Every number: of the room, of a product, of a part of the room."""
    yield from _defined("room", DEFINITIONS)
    yield from _windowless("room", WINDOWLESS)
    yield from _defined("product", PRODUCT_DEFINITIONS)
    yield from _windowless("product", PRODUCT_WINDOWLESS)
    yield from _defined("each " + " ".join(sorted(VIEWER_PARTS)), OF_VIEWERS)
    yield from _defined("each " + " ".join(sorted(AD_PARTS)), OF_ADS)


def _defined(of: str, definitions: Iterable[Definition]) -> Iterator[Row]:
    for one in definitions:
        yield Row(of, one.name, " ".join(one.windows), one.unit, one.formula, " ".join(needs_of(one.make)))


def _windowless(of: str, numbers: dict[str, tuple[str, str]]) -> Iterator[Row]:
    for name, (unit, formula) in numbers.items():
        yield Row(of, name, "-", unit, formula, "")


def table() -> str:
    """The rows as a Markdown table; ratios read numerator / denominator."""
    lines = [
        "| of | number | windows | unit | formula (numerator / denominator) | events |",
        "|---|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows()]
    return "\n".join(lines)
