"""The numbers of one product, by name, over its own sums; windows 1m, 5m, 10m and show."""

import msgspec
from xxhash import xxh3_64_intdigest

from stream import products as p
from stream.numbers import MISSING, Definition, Known, Number, Ratio, Status, counted, people
from stream.plans import Planned
from stream.products import Shelf, Stock

WINDOWS = ("1m", "5m", "10m", "show")
STOCK_FRESH_S = 10  # while orders come, an older reading says nothing about how long the stock lasts

_exposed = people(("product.expose",), p.EXPOSED)
_creators = people(("order.created",), p.CREATORS)
_carters = people(("cart.add",), p.CARTERS)
_clickers = people(("product.click",), p.CLICKERS)
_buyers = people(("order.paid",), p.BUYERS)


def _define(name: str, unit: str, formula: str, needs: str, *series: int) -> Definition:
    return Definition(name, unit, formula, WINDOWS, counted((needs,), *series))


PRODUCT_DEFINITIONS: tuple[Definition, ...] = (
    _define("exposes", "events", "product.expose events", "product.expose", p.EXPOSES),
    Definition("exposed", "people", "distinct users it was shown to", WINDOWS, _exposed),
    _define("clicks", "events", "product.click events", "product.click", p.CLICKS),
    Definition("clickers", "people", "distinct users who clicked it", WINDOWS, _clickers),
    _define("carts", "events", "cart.add events", "cart.add", p.CARTS),
    Definition("carters", "people", "distinct users who added it", WINDOWS, _carters),
    _define("orders_created", "orders", "distinct orders", "order.created", p.ORDERS_CREATED, p.NAMELESS_CREATED),
    _define("orders_paid", "orders", "distinct orders paid", "order.paid", p.ORDERS_PAID, p.NAMELESS_PAID),
    _define("units_created", "units", "sum of order.created.qty", "order.created", p.UNITS_CREATED),
    _define("units_paid", "units", "sum of order.paid.qty", "order.paid", p.UNITS_PAID),
    Definition("creators", "people", "distinct users who ordered it", WINDOWS, _creators),
    Definition("buyers", "people", "distinct users who paid for it", WINDOWS, _buyers),
    _define("gmv_created", "minor", "sum of order.created.amount", "order.created", p.GMV_CREATED),
    _define("gmv_paid", "minor", "sum of order.paid.amount", "order.paid", p.GMV_PAID),
    _define("refunded", "minor", "sum of order.refunded.amount", "order.refunded", p.REFUNDED),
    _define(
        "refunds",
        "orders",
        "distinct orders with a line of it refunded",
        "order.refunded",
        p.REFUNDS,
        p.NAMELESS_REFUNDED,
    ),
    Definition("click_rate", "ratio", "clickers / exposed", WINDOWS, Ratio(_clickers, _exposed)),
    Definition("create_rate", "ratio", "creators / clickers", WINDOWS, Ratio(_creators, _clickers)),
    Definition("cart_rate", "ratio", "carters / clickers", WINDOWS, Ratio(_carters, _clickers)),
    Definition("pay_rate", "ratio", "buyers / clickers", WINDOWS, Ratio(_buyers, _clickers)),
)
PRODUCT_WINDOWLESS: dict[str, tuple[str, str]] = {
    "velocity": ("per minute", "units ordered a minute (paid where creations are not sent): larger of 1 and 5 minutes"),
    "stock": ("pieces", "newest readings, summed over variants"),
    "safety_days": ("days", "stock / daily sales of the catalogue"),
    "refund_rate_show": ("ratio", "orders of it paid and refunded in this show / orders_paid_show"),
    "pitch_per_min": ("per minute", "orders in the last 60 s, once pinned for 60 s; missing while it is not pinned"),
    "pitch_peak": ("per minute", "the highest pitch_per_min since the pin"),
    "sell_out_min": ("minutes", "stock / velocity; missing when the reading is over 10 s old while orders come"),
}
PRODUCT_BY_KEY: dict[str, tuple[Definition, str]] = {
    f"{definition.name}_{window}": (definition, window)
    for definition in PRODUCT_DEFINITIONS
    for window in definition.windows
}
PRODUCT_KEYS: frozenset[str] = frozenset(PRODUCT_BY_KEY) | frozenset(PRODUCT_WINDOWLESS)
_PLANNED = {
    window: Planned(((key, one.make) for key, (one, of) in PRODUCT_BY_KEY.items() if of == window), window == "show")
    for window in WINDOWS
}
_pack = msgspec.msgpack.Encoder().encode
_ROW = {window: row for row, window in enumerate(WINDOWS)}
_NOTHING = [[0] * p.N_PRODUCT_SERIES for _ in WINDOWS]


class ProductView:
    """One product at the end of a second (`at_ms`), its numbers computed when asked."""

    __slots__ = ("_known", "_rows", "at_ms", "product", "shelf", "stock")

    def __init__(self, shelf: Shelf, product: str, known: Known, at_ms: int) -> None:
        self.shelf = shelf
        self.product = product
        self.at_ms = at_ms
        self.stock: Stock | None = shelf.stocks.get(product)
        self._known = known
        self._rows = shelf.panes.sums(product) or _NOTHING

    def number(self, name: str) -> Number:
        """A number of the product by its key, or one of PRODUCT_SIGNALS. Raises KeyError for another name."""
        entry = PRODUCT_BY_KEY.get(name)
        if entry is not None:
            flat = _PLANNED[entry[1]].of(self._known).get(name)
            return MISSING if flat is None else flat(self._rows[_ROW[entry[1]]], 0)
        if name == "velocity":
            return self._velocity()
        if name == "units_5m":
            return self._units(1)
        if name == "pinned":
            return Number(int(self.shelf.pinned == self.product), "ok")
        if name == "refund_rate_show":
            return self._refund_rate()
        if name in ("pitch_per_min", "pitch_peak"):
            return self._pitch(name)
        return self._stock_number(name)

    def mark(self) -> int | None:
        """A digest of all that the line is made of but what is known; None where it changes with time alone."""
        if self.stock is not None or self.shelf.pinned == self.product:
            return None
        return xxh3_64_intdigest(_pack((self._rows, self.shelf.refunded_paid.get(self.product))))

    def line(self) -> dict[str, Number]:
        """Every number of the product that is not missing."""
        numbers: dict[str, Number] = {}
        for sums, planned in zip(self._rows, _PLANNED.values(), strict=True):
            for key, flat in planned.of(self._known).items():
                number = flat(sums, 0)
                if number.status != "missing":
                    numbers[key] = number
        for name in PRODUCT_WINDOWLESS:
            number = self.number(name)
            if number.status != "missing":
                numbers[name] = number
        return numbers

    def _units(self, row: int) -> Number:
        """Units ordered in the window of `row`: created, or paid where creations are not sent."""
        created = "order.created" in self._known.seen
        status = self._known.status(("order.created",) if created else ("order.paid",))
        if status == "missing":
            return MISSING
        return Number(self._rows[row][p.UNITS_CREATED if created else p.UNITS_PAID], status)

    def _velocity(self) -> Number:
        one, five = self._units(0), self._units(1)
        if one.value is None or five.value is None:
            return MISSING
        a, b = int(one.value), int(five.value)
        return Number(float(a), one.status, a, 1) if 5 * a >= b else Number(b / 5, one.status, b, 5)

    def _refund_rate(self) -> Number:
        paid = self.number("orders_paid_show")
        if paid.value is None or "order.refunded" not in self._known.seen:
            return MISSING
        refunded, orders = self.shelf.refunded_paid.get(self.product, 0), int(paid.value)
        if orders == 0:
            return Number(None, "missing", refunded, 0)
        return Number(refunded / orders, paid.status, refunded, orders)

    def _pitch(self, name: str) -> Number:
        created = "order.created" in self._known.seen
        status = self._known.status(("order.created",) if created else ("order.paid",))
        if status == "missing" or self.shelf.pinned != self.product:
            return MISSING
        value = self.shelf.pitch_peak if name == "pitch_peak" else self.shelf.pitch_orders(created)
        return MISSING if value is None else Number(value, status)

    def _stock_number(self, name: str) -> Number:
        stock = self.stock
        if stock is None:
            if name in _STOCK_SIGNALS:
                return MISSING
            raise KeyError(name)
        status = self._known.status(("stock.level",))
        if status == "missing":  # read before this show; still what the back office said last
            status = "ok"
        if name == "sell_out_min":
            return self._sell_out(stock)
        if name == "safety_days":
            return self._safety(stock, status)
        value = self._stock_value(name, stock)
        return MISSING if value is None else Number(value, status)

    def _stock_value(self, name: str, stock: Stock) -> int | None:
        if name == "stock":
            return stock.pieces
        if name == "stock_age_s":
            return max(0, self.at_ms - stock.read_ms) // 1000
        if name == "opening_stock":
            catalogued = self.shelf.opening.get(self.product)
            return stock.opening if catalogued is None else catalogued
        if name == "stock_before_zero":
            return stock.before_zero
        if name == "zero_for_s":
            return None if stock.zero_since_ms is None else max(0, self.at_ms - stock.zero_since_ms) // 1000
        if name == "orders_since_stock":
            return stock.lines_since
        if name == "refills":
            return stock.refills
        raise KeyError(name)

    def _safety(self, stock: Stock, status: Status) -> Number:
        daily = self.shelf.daily_sales.get(self.product)
        if daily is None:
            return MISSING
        if daily == 0:
            return Number(None, "missing", stock.pieces, 0)
        return Number(stock.pieces / daily, status, stock.pieces, daily)

    def _sell_out(self, stock: Stock) -> Number:
        velocity = self._velocity()
        if velocity.value is None or velocity.num is None or not velocity.num:
            return MISSING
        last_minute = self._units(0).value
        if last_minute and self.at_ms - stock.read_ms > STOCK_FRESH_S * 1000:
            return MISSING
        status: Status = "stale" if "stock.level" in self._known.silent else velocity.status
        pieces, minutes = stock.pieces, velocity.den or 1
        return Number(pieces * minutes / velocity.num, status, pieces * minutes, velocity.num)


_STOCK_SIGNALS = frozenset(
    {
        "stock",
        "stock_age_s",
        "opening_stock",
        "stock_before_zero",
        "zero_for_s",
        "orders_since_stock",
        "refills",
        "safety_days",
        "sell_out_min",
    }
)
