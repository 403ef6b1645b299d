"""What people write into the cells of a catalogue, made exact: prices, counts, lists, choices, ids.

Prices are text in major units and become whole minor units without a float in between. Each function takes what CSV
(always text) or TOML (text, whole numbers, lists, tables) gives, and raises ValueError in words for the sheet's author.
"""

import re
import unicodedata
from collections.abc import Mapping
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

# ISO 4217: decimals of the currencies that have not two
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_SIGNS = {"CNY": ("¥", "元", "RMB"), "JPY": ("¥", "円"), "USD": ("$",), "EUR": ("€",), "GBP": ("£",), "KRW": ("₩",)}
_CURRENCY = re.compile(r"[A-Z]{3}")
_WHOLE = r"(\d{1,3}(?:,\d{3})+|\d+)"
_PRICE = re.compile(rf"{_WHOLE}(?:\.(\d+))?", re.ASCII)
_COUNT = re.compile(rf"{_WHOLE}(?:\.0+)?", re.ASCII)  # spreadsheets export 100 as 100.0
_DECIMAL_COMMA = re.compile(r"\d+(?:\.\d{3})*,\d{1,2}", re.ASCII)
_ROUNDED_ID = re.compile(r"\d(?:\.\d+)?E\+?\d+", re.ASCII | re.IGNORECASE)
_BETWEEN = re.compile(r"[;；|、\n]+")
_ODDS = re.compile(r"(\d+(?:\.\d+)?)\s*(%|/\s*(\d+))?", re.ASCII)
_BAG_ITEM = re.compile(r"(.+?)\s*[=＝]\s*(.+)", re.DOTALL)
DIGITS_MAX = 18  # more is no price and no count; and it keeps absurd cells cheap


def decimals(currency: str) -> int:
    """How many decimals a currency has. Raises ValueError when `currency` is no ISO 4217 code by its form.

    >>> decimals("CNY"), decimals("JPY")
    (2, 0)
    """
    if not _CURRENCY.fullmatch(currency):
        raise ValueError(f"{currency[:20]!r} is no currency; write its three letters, such as CNY")
    return 0 if currency in _NONE else 3 if currency in _THREE else 2


def price(raw: Any, currency: str = "CNY") -> int:
    """A price in major units as whole minor units.

    >>> price("9.9"), price("１，２９９．００"), price("¥39元"), price(10), price("1,299", "JPY")
    (990, 129900, 3900, 1000, 1299)
    """
    text = _without_signs(plain(raw), currency)
    match = _PRICE.fullmatch(text)
    if match is None or len(text) > DIGITS_MAX:
        if _DECIMAL_COMMA.fullmatch(text):
            raise ValueError(f"{text!r}: write decimals after a point, as in 12.99")
        raise ValueError(f"{shown(raw)} is no price; write it as 9.9 or 1,299.00")
    places = decimals(currency)
    fraction = match[2] or ""
    if len(fraction) > places:
        raise ValueError(f"{shown(raw)} has {len(fraction)} decimals, {currency} has {places or 'none'}")
    return int(match[1].replace(",", "") + fraction.ljust(places, "0"))


def prices(raw: Any, currency: str = "CNY") -> tuple[int, ...]:
    """Several prices: a list, or text with semicolons between.

    >>> prices("9.9；19.9"), prices([39, "79.00"])
    ((990, 1990), (3900, 7900))
    """
    return tuple(price(one, currency) for one in items(raw))


def count(raw: Any) -> int:
    """A whole number of pieces, days or minutes.

    >>> count("1,000"), count("１２"), count("100.0"), count(7)
    (1000, 12, 100, 7)
    """
    match = _COUNT.fullmatch(plain(raw))
    if match is None or len(match[0]) > DIGITS_MAX:
        raise ValueError(f"{shown(raw)} is no whole number")
    return int(match[1].replace(",", ""))


def counts(raw: Any) -> tuple[int, ...]:
    """Several whole numbers."""
    return tuple(count(one) for one in items(raw))


def text(raw: Any) -> str:
    """Words as they stand, without the space around them; a number of TOML as it is written."""
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise ValueError(f"{shown(raw)} is no text")
    return str(raw).strip()


def identity(raw: Any) -> str:
    """An id, letter for letter. A number that the spreadsheet has rounded is refused: nobody can say which it was."""
    found = text(raw)
    if _ROUNDED_ID.fullmatch(found):
        raise ValueError(f"{found!r} is an id the spreadsheet has rounded; format the column as text")
    return found


def words(raw: Any) -> tuple[str, ...]:
    """Several texts: a list, or text with semicolons between.

    >>> words("宝妈; 学生；")
    ('宝妈', '学生')
    """
    return tuple(text(one) for one in items(raw))


def choice(raw: Any, names: Mapping[str, str]) -> str:
    """One of a closed set, by any of its names (keys of `names`, in lower case)."""
    found = plain(text(raw)).lower()
    if found in names:
        return names[found]
    nearest = get_close_matches(found, names, n=1)
    known = ", ".join(dict.fromkeys(names.values()))
    raise ValueError(f"{shown(raw)} is none of {known}" + (f"; do you mean {nearest[0]}?" if nearest else ""))


def contents(raw: Any) -> tuple[dict[str, str], ...]:
    """What may be in a bag, with the odds where they are stated: tables, or text such as 袜子=50%; 帽子=1/3.

    >>> contents("袜子=50%; 帽子")
    ({'name': '袜子', 'odds': '50%'}, {'name': '帽子'})
    """
    return tuple(_content(one) for one in items(raw))


def _content(raw: Any) -> dict[str, str]:
    if isinstance(raw, dict):
        unknown = raw.keys() - {"name", "odds"}
        if unknown or "name" not in raw:
            raise ValueError("each of the contents has `name` and, if stated, `odds`")
        return {"name": text(raw["name"])} | ({"odds": odds(raw["odds"])} if "odds" in raw else {})
    match = _BAG_ITEM.fullmatch(text(raw))
    return {"name": text(raw)} if match is None else {"name": match[1].strip(), "odds": odds(match[2])}


def odds(raw: Any) -> str:
    """Odds as they are to be announced, checked to be more than 0 and at most 1.

    >>> odds("５０％"), odds("1/3"), odds("0.2")
    ('50%', '1/3', '0.2')
    """
    found = plain(raw)
    match = _ODDS.fullmatch(found)
    if match is None or len(found) > DIGITS_MAX:
        raise ValueError(f"{shown(raw)} are no odds; write 5%, 1/20 or 0.05")
    below = 100 if match[2] == "%" else int(match[3] or 1)
    if not below or not 0 < Fraction(match[1]) / below <= 1:
        raise ValueError(f"{shown(raw)}: odds are more than 0 and at most 1")
    return found


def items(raw: Any) -> list[Any]:
    """The parts of a list, or of a text with semicolons (；, |, 、 or line breaks too) between; empty ones are none."""
    if isinstance(raw, list):
        return raw
    if isinstance(raw, str):
        return [part.strip() for part in _BETWEEN.split(raw) if part.strip()]
    return [raw]


def plain(raw: Any) -> str:
    """A cell with full-width letters, digits and signs as plain ones, and no space around them."""
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise ValueError(f"{shown(raw)} is neither text nor a number")
    return unicodedata.normalize("NFKC", str(raw)).strip()


def shown(raw: Any) -> str:
    """The cell as an error quotes it: the beginning is enough."""
    whole = repr(raw) if isinstance(raw, str) else str(raw)
    return whole if len(whole) <= 60 else whole[:57] + "…"


def _without_signs(found: str, currency: str) -> str:
    signs = (*_SIGNS.get(currency, ()), currency)
    for sign in signs:
        found = found.removeprefix(sign).removesuffix(sign).strip()
    return found
