"""Which number is worst: each against the shop's own benchmark, the lowest share of it first.

The defaults are practitioners' rules of thumb, not a standard; money is in minor units (fen).
"""

from collections.abc import Callable, Mapping

import msgspec

from stream.numbers import BY_KEY, Number

BENCHMARKS: Mapping[str, float] = {
    "dwell_s": 60,
    "interaction_rate": 0.05,
    "follow_rate": 0.03,
    "click_rate": 0.10,
    "pay_rate": 0.03,
    "gpm": 80_000,
    "uv_value": 150,
    "roi": 2.5,
}
NOW = "10m"  # long enough that a rate means something, short enough to act on


class Worst(msgspec.Struct, frozen=True, gc=False):
    """A number below its benchmark; `share` is value / benchmark."""

    key: str
    value: float
    benchmark: float
    share: float


def benchmarks(text: str) -> dict[str, float]:
    """Benchmarks by name out of `name=value,name=value`, over the defaults; a value of 0 takes one out.

    Raises ValueError naming what is wrong.
    """
    found = dict(BENCHMARKS)
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = item.partition("=")
        if f"{name}_{NOW}" not in BY_KEY:
            raise ValueError(f"{name!r} is no number with a 10-minute window")
        try:
            found[name] = float(value)
        except ValueError:
            raise ValueError(f"{item!r} is not of the form name=value") from None
    return {name: value for name, value in found.items() if value > 0}


def below(number: Callable[[str], Number], against: Mapping[str, float], window: str, most: int) -> list[Worst]:
    """The `most` worst numbers of `window` that lie below their benchmark, worst first; only what is known counts."""
    found = []
    for name, benchmark in against.items():
        held = number(f"{name}_{window}")
        if held.value is not None and held.status in ("ok", "estimated") and held.value < benchmark:
            found.append(Worst(f"{name}_{window}", float(held.value), benchmark, held.value / benchmark))
    return sorted(found, key=lambda one: (one.share, one.key))[:most]
