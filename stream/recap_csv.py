"""The recap's tables as CSV texts: minutes, products, prompts.

Column names are those of the record and stay the same in every language; money is in major units.
Text is guarded: no cell of it can run as a formula, no id of many digits is rounded by a spreadsheet.
"""

import csv
from collections.abc import Iterable, Sequence

from stream.recap import Recap
from stream.recap_text import major, stamp

# What spreadsheets take for the start of a formula, half and full width, and our own guard.
_ACTIVE = "=+-@|%＝＋－＠'"
_DIGITS_MAX = 11  # spreadsheets show a longer number as 1.2E+11, and round it beyond 15 digits
Cell = str | int | float | None


class _Lines(list[str]):
    """What csv.writer needs of a file."""

    def write(self, line: str) -> None:
        self.append(line)


def guard(text: str) -> str:
    """The text as a cell that a spreadsheet shows and never runs: a leading apostrophe where one is needed.

    >>> guard("=1+1"), guard("9.9 drop"), guard("7312345678901234567")
    ("'=1+1", '9.9 drop', "'7312345678901234567")
    """
    first = text[:1]
    risky = first.isspace() or not first.isprintable() or (first != "" and first in _ACTIVE)
    number = text.isdigit() and (len(text) > _DIGITS_MAX or text.startswith("0"))
    return f"'{text}" if risky or number else text


def minutes_csv(recap: Recap, utc_offset_s: int) -> str:
    """One line a minute; `time` is local time at `utc_offset_s`."""
    digits = recap.currency
    header = (
        "time minute at_ms online peak_online joins leaves chats likes clicks carts orders_created orders_paid "
        "units_paid gmv_paid refunded currency"
    )
    return _table(
        header.split(),
        (
            (
                stamp(m.at_ms, utc_offset_s),
                (m.at_ms - recap.show_ms) // 60_000,
                m.at_ms,
                m.online,
                m.peak_online,
                m.joins,
                m.leaves,
                m.chats,
                m.likes,
                m.clicks,
                m.carts,
                m.orders_created,
                m.orders_paid,
                m.units_paid,
                _Amount.of(m.gmv_paid, digits),
                _Amount.of(m.refunded, digits),
                recap.currency,
            )
            for m in recap.minutes
        ),
    )


def products_csv(recap: Recap, utc_offset_s: int) -> str:
    """One line a product, in the order of the record."""
    header = (
        "product name clicks carts orders units gmv refunded currency stock opening_stock first_pin first_pin_ms "
        "pinned_s"
    )
    return _table(
        header.split(),
        (
            (
                p.product,
                p.name,
                p.clicks,
                p.carts,
                p.orders,
                p.units,
                _Amount.of(p.gmv, recap.currency),
                _Amount.of(p.refunded, recap.currency),
                recap.currency,
                p.stock,
                p.opening_stock,
                _time(p.first_pin_ms, utc_offset_s),
                p.first_pin_ms,
                p.pinned_s,
            )
            for p in recap.products
        ),
    )


def prompts_csv(recap: Recap, utc_offset_s: int) -> str:
    """One line a prompt, in the order of the record."""
    header = "time id play audience class state issued_ms expires_ms shown_ms done_ms title say why product offer"
    return _table(
        header.split(),
        (
            (
                stamp(p.issued_ms, utc_offset_s),
                p.id,
                p.play,
                p.audience,
                p.class_,
                p.state,
                p.issued_ms,
                p.expires_ms,
                p.shown_ms,
                p.done_ms,
                p.title,
                p.say,
                p.why,
                p.product,
                p.offer,
            )
            for p in recap.prompts
        ),
    )


class _Amount(str):
    """Digits of our own making: a number to the spreadsheet, not text to be guarded."""

    @staticmethod
    def of(minor: int | None, currency: str) -> "_Amount | None":
        return None if minor is None else _Amount(major(minor, currency))


def _time(at_ms: int | None, utc_offset_s: int) -> str | None:
    return None if at_ms is None else stamp(at_ms, utc_offset_s)


def _table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(
            [guard(cell) if isinstance(cell, str) and not isinstance(cell, _Amount) else cell for cell in row]
        )
    return "".join(lines)
