"""The shelf: what each product sold and showed, its stock, and which one is pinned."""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from stream.catalogue import Product
from stream.events import (
    CartAdd,
    OrderCreated,
    OrderPaid,
    OrderRefunded,
    ProductClick,
    ProductExpose,
    ProductPin,
    ProductUnpin,
    StockLevel,
)
from stream.loops import KIND, NONE, WHAT, Ints, OnShelf
from stream.names import NOBODY, Names
from stream.panes import Panes
from stream.waiting import ABOUT_CODES, CODE, KINDS
from stream.windows import longer

(
    EXPOSES,
    CLICKS,
    CARTS,
    UNITS_CREATED,
    UNITS_PAID,
    GMV_CREATED,
    GMV_PAID,
    REFUNDED,
    NAMELESS_CREATED,
    NAMELESS_PAID,
    EXPOSED,
    CLICKERS,
    CARTERS,
    CREATORS,
    BUYERS,
    ORDERS_CREATED,
    ORDERS_PAID,
    REFUNDS,
    NAMELESS_REFUNDED,
) = range(19)
N_PRODUCT_SERIES = 19


class Stock(msgspec.Struct, gc=False, array_like=True):
    """The readings of one product; `by_sku` holds [pieces, ts] a variant, the newest by event time."""

    by_sku: dict[str, list[int]] = {}
    opening: int | None = None
    before_zero: int | None = None
    zero_since_ms: int | None = None
    refills: int = 0
    lines_since: int = 0  # order lines since the first reading or the last refill
    read_ms: int = 0

    @property
    def pieces(self) -> int:
        """Pieces left over all variants."""
        return sum(pieces for pieces, _ in self.by_sku.values())

    def take(self, sku: str, pieces: int, ts: int) -> None:
        """A reading; an older one than the newest of its variant says nothing."""
        held = self.by_sku.get(sku)
        if held is not None and ts < held[1]:
            return
        before = self.pieces if self.by_sku else None
        self.by_sku[sku] = [pieces, ts]
        self.read_ms = max(self.read_ms, ts)
        now = self.pieces
        if before is None:
            self.opening = now
            self.zero_since_ms = ts if now == 0 else None
            return
        if before > 0:
            self.before_zero = before
        if now > before:
            self.refills += held is not None  # a variant heard of for the first time is no refill
            self.lines_since = 0
        if held is None and self.opening is not None and not self.refills:
            self.opening += pieces
        if now > 0:
            self.zero_since_ms = None
        elif self.zero_since_ms is None:
            self.zero_since_ms = ts


_SERIES = np.full((len(KINDS), 2), NONE, np.int64)  # by kind of event, what it counts in and its user
_SERIES[CODE[ProductExpose]] = EXPOSES, EXPOSED
_SERIES[CODE[ProductClick]] = CLICKS, CLICKERS
_SERIES[CODE[CartAdd]] = CARTS, CARTERS
_ABOUT = np.isin(np.arange(len(KINDS)), ABOUT_CODES)  # by kind
# What lines of orders count in: pieces, amount, lines without an order, orders, users, and the orders they pair with.
LINES: dict[type, tuple[int, ...]] = {
    OrderCreated: (UNITS_CREATED, GMV_CREATED, NAMELESS_CREATED, ORDERS_CREATED, CREATORS, NONE),
    OrderPaid: (UNITS_PAID, GMV_PAID, NAMELESS_PAID, ORDERS_PAID, BUYERS, REFUNDS),
    OrderRefunded: (NONE, REFUNDED, NAMELESS_REFUNDED, REFUNDS, NONE, ORDERS_PAID),
}


class Shelf:
    """Every product of the room, by id. Seconds are those of the room's buckets."""

    __slots__ = (
        "_names",
        "_places",
        "_touched",
        "daily_sales",
        "full",
        "numbers",
        "opening",
        "panes",
        "pin_ts",
        "pinned",
        "pitch_peak",
        "refunded_paid",
        "stocks",
    )

    def __init__(self, names: Names) -> None:
        self._names = names
        self._forget()
        self.panes = Panes(N_PRODUCT_SERIES)
        self.stocks: dict[str, Stock] = {}
        self.daily_sales: dict[str, int] = {}  # as the catalogue states them
        self.opening: dict[str, int] = {}  # opening stock as the catalogue states it
        self.pinned: str | None = None
        self.pin_ts = 0
        self.pitch_peak: int | None = None  # most orders in 60 s since the pin
        self.refunded_paid: dict[str, int] = {}  # product -> orders of this show paid and refunded
        self.full = False  # whether products had to be left out

    def start(self, second: int) -> None:
        """A new show begins at `second`; stock readings are facts of the back office and stay."""
        self.panes.start(second)
        self.pinned = None
        self.pin_ts = 0
        self.pitch_peak = None
        self.refunded_paid = {}
        self.full = False
        self._forget()
        for product, stock in self.stocks.items():
            stock.opening, stock.refills, stock.lines_since = stock.pieces, 0, 0
            self._touch(product, second)

    def _forget(self) -> None:
        self.numbers: dict[str, int] = {}  # by product, in the order of appearance in the show
        self._places: Ints = np.full(1, NONE, np.int64)  # by number; that of nobody has none
        self._touched: Ints = np.zeros(1, np.int64)  # by number, the newest second with anything about it

    def know(self, products: Iterable[Product]) -> None:
        """The catalogue as it is from now on; stock and sales of a product's variants add up."""
        self.opening, self.daily_sales = {}, {}
        for product in products:
            if product.opening_stock is not None:
                self.opening[product.product] = self.opening.get(product.product, 0) + product.opening_stock
            if product.daily_sales is not None:
                self.daily_sales[product.product] = self.daily_sales.get(product.product, 0) + product.daily_sales

    def _new(self, product: str, number: int) -> bool:
        """The product appears; False when there are too many to keep it."""
        if number == NOBODY:
            self.full = True
            return False
        self._make_room()
        self._places[number] = self.panes.place(product)
        self.numbers[product] = number
        return True

    def known(self, product: str) -> int:
        """The number of a product, which appears if it did not before; NOBODY when there are too many to keep it."""
        number = self.numbers.get(product)
        if number is not None:
            return number
        number = self._names.number(product)
        return number if self._new(product, number) else NOBODY

    def _touch(self, product: str, second: int) -> bool:
        """Something happened to the product; False when there are too many to keep it."""
        number = self.known(product)
        if number == NOBODY:
            return False
        self._touched[number] = max(second, self._touched[number])
        return True

    def _make_room(self) -> None:
        """For every product with a number."""
        products = len(self._names)
        if products >= len(self._places):
            self._places = np.concatenate([self._places, np.full(products + 1, NONE)])
            self._touched = longer(self._touched, len(self._places) - 1)

    def make_room(self, rows: Ints) -> None:
        """For rows of which some are about a product: shown, clicked, put into a cart, or sold."""
        if len(self.numbers) < len(self._names):
            self._make_room()
            about = rows[_ABOUT[rows[:, KIND]] & (rows[:, WHAT] > NOBODY), WHAT]
            for number in dict.fromkeys(about[self._places[about] == NONE].tolist()):
                self._new(self.name(number), number)
        self.panes.make_room(7 * len(rows), 2 * len(rows))  # of order lines the most

    @property
    def state(self) -> OnShelf:
        """What is counted by product, for loops."""
        return self.panes.state, _SERIES, self._places, self._touched

    @property
    def touched_s(self) -> dict[str, int]:
        """The newest second with anything about it, by product in the order of appearance."""
        seconds: list[int] = self._touched.tolist()
        return {product: seconds[number] for product, number in self.numbers.items()}

    def name(self, number: int) -> str:
        """The product with this number."""
        return str(self._names.name(number))

    def pair(self, numbers: Ints) -> None:
        """Of each of these products one more order is paid and refunded."""
        for number in numbers.tolist():
            product = self.name(number)
            self.refunded_paid[product] = self.refunded_paid.get(product, 0) + 1

    def tell_stocks(self, numbers: Ints) -> None:
        """Order lines of these products take from their stock."""
        for number in numbers[numbers > NOBODY].tolist():
            stock = self.stocks.get(self.name(number))
            if stock is not None:
                stock.lines_since += 1

    def stock(self, event: StockLevel, second: int) -> None:
        """A reading of the back office."""
        if not self._touch(event.product, second):
            return
        stock = self.stocks.get(event.product)
        if stock is None:
            stock = self.stocks[event.product] = Stock()
        stock.take(event.sku or "", event.available, event.ts)

    def pin(self, event: ProductPin) -> None:
        """The host turns to this product."""
        if event.ts >= self.pin_ts:
            if self.pinned != event.product:
                self.pin_ts = event.ts
                self.pitch_peak = None
            self.pinned = event.product

    def unpin(self, event: ProductUnpin) -> None:
        """The host is done with it."""
        if event.ts >= self.pin_ts and self.pinned == event.product:
            self.pinned = None
            self.pin_ts = event.ts
            self.pitch_peak = None

    def pitch_orders(self, created: bool) -> int | None:
        """Orders of the pinned product in the last minute, once it has been pinned for one; None before."""
        if self.pinned is None or self.panes.end_s * 1000 - self.pin_ts < 60_000:
            return None
        rows = self.panes.sums(self.pinned)
        if rows is None:
            return 0
        orders = (ORDERS_CREATED, NAMELESS_CREATED) if created else (ORDERS_PAID, NAMELESS_PAID)
        return sum(rows[0][series] for series in orders)

    def watch_pitch(self, created: bool) -> None:
        """After a second was closed: the best minute of the pitch so far; `created` where creations are sent."""
        orders = self.pitch_orders(created)
        if orders is not None and (self.pitch_peak is None or orders > self.pitch_peak):
            self.pitch_peak = orders

    def snapshot(self) -> dict[str, Any]:
        """The shelf as plain data."""
        return {
            "panes": self.panes.snapshot(),
            "stocks": {product: msgspec.to_builtins(stock) for product, stock in self.stocks.items()},
            "opening": self.opening,
            "daily_sales": self.daily_sales,
            "pinned": self.pinned,
            "pin_ts": self.pin_ts,
            "pitch_peak": self.pitch_peak,
            "refunded_paid": self.refunded_paid,
            "full": self.full,
            "touched": list(self.touched_s.items()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The shelf as it stood when `state` was taken."""
        self.panes.restore(state["panes"])
        self.stocks = msgspec.convert(state["stocks"], dict[str, Stock])
        self.opening, self.daily_sales = state["opening"], state["daily_sales"]
        self.pinned, self.pin_ts = state["pinned"], state["pin_ts"]
        self.pitch_peak, self.refunded_paid, self.full = state["pitch_peak"], state["refunded_paid"], state["full"]
        for product, second in state["touched"]:
            self._touch(product, second)
