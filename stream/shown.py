"""Counts as pages show them: in full, or rounded and with a word for thousands and more."""

import re

from stream.events import Shown

SHOWN_MAX = 10**12  # more is no count of people
_DISPLAY = re.compile(r"\s*(\d[\d,]*(?:\.\d+)?)\s*([万wWkKmM亿]?)\+?\s*")
_SCALE = {"": 1, "k": 1_000, "w": 10_000, "万": 10_000, "m": 1_000_000, "亿": 100_000_000}


def shown_count(shown: Shown) -> tuple[int, bool] | None:
    """A count as (value, exact); None where the text is no count.

    >>> shown_count(1234), shown_count("6.8万"), shown_count("many")
    ((1234, True), (68000, False), None)
    """
    if isinstance(shown, int):
        return (shown, True) if 0 <= shown <= SHOWN_MAX else None
    match = _DISPLAY.fullmatch(shown)
    if match is None:
        return None
    digits, scale = match[1].replace(",", ""), match[2].lower()
    whole, _, fraction = digits.partition(".")
    factor = _SCALE[scale]
    value = int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)
    return (value, not scale and not fraction) if value <= SHOWN_MAX else None
