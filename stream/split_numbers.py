"""The numbers of one part of a room (a source, a segment, a scene, an ad plan), over its own sums."""

from collections.abc import Iterator

from stream import splits as p
from stream.numbers import Definition, Known, Make, Number, Ratio, counted, people, worst
from stream.plans import Planned
from stream.splits import Splits

WINDOWS = ("1m", "5m", "10m", "show")
_clickers = people(("product.click",), p.CLICKERS)
_buyers = people(("order.paid",), p.BUYERS)
_gmv = counted(("order.paid",), p.GMV_PAID)
_joins = counted(("viewer.join",), p.JOINS)
_spend = counted(("ad.spend",), p.AD_SPEND)


def _define(name: str, unit: str, formula: str, make: Make) -> Definition:
    return Definition(name, unit, formula, WINDOWS, make)


VIEWER_PARTS = frozenset({"from", "ref", "region", "age", "spend", "interest", "scene"})
AD_PARTS = frozenset({"plan", "channel", "audience", "creative"})
OF_VIEWERS: tuple[Definition, ...] = (
    _define("joins", "events", "viewer.join events with this value", _joins),
    _define("viewers", "people", "users of the window whose newest join had it", people(("user",), p.VIEWERS)),
    _define("clickers", "people", "of them, who clicked a product", _clickers),
    _define("buyers", "people", "of them, who paid", _buyers),
    _define("gmv_paid", "minor", "sum of what they paid", _gmv),
    _define("pay_rate", "ratio", "buyers / clickers", Ratio(_buyers, _clickers)),
)
OF_ADS: tuple[Definition, ...] = (
    _define("ad_spend", "minor", "sum of ad.spend.amount", _spend),
    _define("joins", "events", "joins from ads whose ref is a plan of it", _joins),
    _define("gmv_paid", "minor", "sum of lines that name the channel", _gmv),
    _define("cost_per_join", "minor", "ad_spend / joins", Ratio(_spend, _joins)),
    _define("roi", "ratio", "gmv_paid / ad_spend", Ratio(_gmv, _spend)),
)
SHOW_ONLY = frozenset({"viewers", "clickers", "buyers", "pay_rate"})  # of a scene: who was seen while it was on


def _definitions(kind: str, window: str) -> Iterator[tuple[str, Make]]:
    """What a part of this kind has in a window, by key."""
    for one in OF_ADS if kind in AD_PARTS else OF_VIEWERS:
        if kind == "scene" and window != "show" and one.name in SHOW_ONLY:
            continue
        if one.name in ("gmv_paid", "roi") and kind in AD_PARTS and kind != "channel":
            continue  # orders name a channel, never a plan
        yield f"{one.name}_{window}", one.make


def _planned(kind: str) -> tuple[Planned, ...]:
    return tuple(Planned(_definitions(kind, window), window == "show") for window in WINDOWS)


_OF_OTHERS = _planned("")
_PLANNED = {kind: _planned(kind) for kind in VIEWER_PARTS | AD_PARTS}


def part_line(splits: Splits, part: str, known: Known) -> dict[str, Number]:
    """Every known number of a part, by `<name>_<window>`."""
    rows = splits.panes.sums(part)
    if rows is None:
        return {}
    numbers: dict[str, Number] = {}
    for sums, planned in zip(rows, _PLANNED.get(part.partition("=")[0], _OF_OTHERS), strict=True):
        for key, flat in planned.of(known).items():
            number = flat(sums, 0)
            if number.status == "missing":
                continue
            if splits.full:
                number = Number(number.value, worst(number.status, "estimated"), number.num, number.den)
            numbers[key] = number
    return numbers
