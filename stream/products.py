"""The shelf: what each product sold and showed, its stock, and which one is pinned."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

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
from stream.panes import Panes

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


PRODUCTS_MAX = 10_000  # products a room keeps; events of further ones count for the room alone


class Shelf:
    """Every product of the room, by id. Seconds are those of the room's buckets."""

    __slots__ = (
        "_amounts",
        "_last",
        "_moves",
        "_places",
        "daily_sales",
        "full",
        "opening",
        "panes",
        "pin_ts",
        "pinned",
        "pitch_peak",
        "refunded_paid",
        "stocks",
        "touched_s",
    )

    def __init__(self) -> None:
        self.panes = Panes(N_PRODUCT_SERIES)
        self._places: list[int] = []  # what the second being closed adds, not yet in the panes: see `settle`
        self._amounts: list[int] = []
        self._moves: list[tuple[int, int]] = []
        self._last: dict[int, dict[str, dict[str, int]]] = {}  # series -> product -> key -> second
        self.stocks: dict[str, Stock] = {}
        self.daily_sales: dict[str, int] = {}  # as the catalogue states them
        self.opening: dict[str, int] = {}  # opening stock as the catalogue states it
        self.pinned: str | None = None
        self.pin_ts = 0
        self.pitch_peak: int | None = None  # most orders in 60 s since the pin
        self.refunded_paid: dict[str, int] = {}  # product -> orders of this show paid and refunded
        self.full = False  # whether products had to be left out
        self.touched_s: dict[str, int] = {}  # product -> newest second with anything about it

    def start(self, second: int) -> None:
        """A new show begins at `second`; stock readings are facts of the back office and stay."""
        self.panes.start(second)
        self._last = {}
        self.pinned = None
        self.pin_ts = 0
        self.pitch_peak = None
        self.refunded_paid = {}
        self.full = False
        self.touched_s = {}
        for product, stock in self.stocks.items():
            stock.opening, stock.refills, stock.lines_since = stock.pieces, 0, 0
            self.touched_s[product] = second

    def know(self, products: Iterable[Product]) -> None:
        """The catalogue as it is from now on; stock and sales of a product's variants add up."""
        self.opening, self.daily_sales = {}, {}
        for product in products:
            if product.opening_stock is not None:
                self.opening[product.product] = self.opening.get(product.product, 0) + product.opening_stock
            if product.daily_sales is not None:
                self.daily_sales[product.product] = self.daily_sales.get(product.product, 0) + product.daily_sales

    def _touch(self, product: str, second: int) -> bool:
        """Something happened to `product`; False when there are too many products to keep it."""
        if product not in self.touched_s and len(self.touched_s) >= PRODUCTS_MAX:
            self.full = True
            return False
        self.touched_s[product] = max(second, self.touched_s.get(product, 0))
        return True

    def _add(self, product: str, series: int, second: int, amount: int) -> None:
        if second < self.panes.end_s - 1:
            self.panes.add(product, series, second, amount)
            return
        self._places.append(self.panes.place(product) + series)
        self._amounts.append(amount)

    def _see(self, series: int, product: str, key: str | None, second: int) -> None:
        if key is None:
            return
        last = self._last.setdefault(series, {}).setdefault(product, {})
        before = last.get(key)
        if before is None:
            self._add(product, series, second, 1)
        elif before >= second:
            return
        elif second < self.panes.end_s - 1:
            self.panes.add(product, series, before, -1, shown=False)
            self.panes.add(product, series, second, 1, shown=False)
        else:
            self._moves.append((self.panes.place(product) + series, before))
        last[key] = second

    def settle(self) -> None:
        """All events of the second being closed were taken: what they add goes into the panes, in one go."""
        if self._places:
            self.panes.add_newest(self._places, self._amounts)
            self._places, self._amounts = [], []
        if self._moves:
            self.panes.move_newest(self._moves)
            self._moves = []

    def count(
        self, events: int, people: int, group: Sequence[ProductExpose | ProductClick | CartAdd], second: int
    ) -> None:
        """Events of one type, each about a product: one more of the series `events`, and of `people` distinct users."""
        panes = self.panes
        if second < panes.end_s - 1 or len(self.touched_s) + len(group) > PRODUCTS_MAX:
            for event in group:
                if self._touch(event.product, second):
                    self._add(event.product, events, second, 1)
                    self._see(people, event.product, event.user, second)
            return
        last, place_of = self._last.setdefault(people, {}), panes.place_of
        added: list[int] = []
        for event in group:
            product, user = event.product, event.user
            try:
                place, users = place_of[product], last[product]
            except KeyError:
                place, users = panes.place(product), last.setdefault(product, {})
            added.append(place + events)
            if user is None:
                continue
            before = users.get(user)
            if before is None:
                added.append(place + people)
            elif before < second:
                self._moves.append((place + people, before))
            else:
                continue
            users[user] = second
        self._places += added
        self._amounts += [1] * len(added)
        self.touched_s.update(dict.fromkeys([event.product for event in group], second))

    def created(self, event: OrderCreated, second: int) -> None:
        """A line of an order that was placed."""
        if event.product is None:
            return
        self._order(event, second, UNITS_CREATED, GMV_CREATED, NAMELESS_CREATED, ORDERS_CREATED, CREATORS)
        stock = self.stocks.get(event.product)
        if stock is not None:
            stock.lines_since += 1

    def paid(self, event: OrderPaid, second: int, counts_stock: bool) -> None:
        """A line of an order that was paid; `counts_stock` where creations are not sent."""
        if event.product is None:
            return
        self._order(event, second, UNITS_PAID, GMV_PAID, NAMELESS_PAID, ORDERS_PAID, BUYERS)
        stock = self.stocks.get(event.product)
        if counts_stock and stock is not None:
            stock.lines_since += 1

    def _order(
        self, event: OrderCreated | OrderPaid, second: int, units: int, gmv: int, lines: int, orders: int, people: int
    ) -> None:
        product = event.product
        assert product is not None
        if not self._touch(product, second):
            return
        add = self._add
        add(product, units, second, event.qty)
        add(product, gmv, second, event.amount)
        if event.order is None:
            add(product, lines, second, 1)
        if orders == ORDERS_PAID:
            self._match(product, event.order, ORDERS_PAID, REFUNDS)
        self._see(orders, product, event.order, second)
        self._see(people, product, event.user, second)

    def _match(self, product: str, order: str | None, here: int, there: int) -> None:
        """Before an order is seen `here` for the first time: is it the pair of one `there`?"""
        if order is None or order in self._last.get(here, {}).get(product, ()):
            return
        if order in self._last.get(there, {}).get(product, ()):
            self.refunded_paid[product] = self.refunded_paid.get(product, 0) + 1

    def refunded(self, event: OrderRefunded, second: int) -> None:
        """A line of an order that was paid back."""
        if event.product is None or not self._touch(event.product, second):
            return
        self._add(event.product, REFUNDED, second, event.amount)
        self._match(event.product, event.order, REFUNDS, ORDERS_PAID)
        self._see(REFUNDS, event.product, event.order, second)
        if event.order is None:
            self._add(event.product, NAMELESS_REFUNDED, second, 1)

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
            "last": list(self._last.items()),
            "stocks": {product: msgspec.to_builtins(stock) for product, stock in self.stocks.items()},
            "opening": self.opening,
            "daily_sales": self.daily_sales,
            "pinned": self.pinned,
            "pin_ts": self.pin_ts,
            "pitch_peak": self.pitch_peak,
            "refunded_paid": self.refunded_paid,
            "full": self.full,
            "touched_s": self.touched_s,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The shelf as it stood when `state` was taken."""
        self.panes.restore(state["panes"])
        self._last = dict(state["last"])
        self.stocks = msgspec.convert(state["stocks"], dict[str, Stock])
        self.opening, self.daily_sales = state["opening"], state["daily_sales"]
        self.pinned, self.pin_ts = state["pinned"], state["pin_ts"]
        self.pitch_peak, self.refunded_paid, self.full = state["pitch_peak"], state["refunded_paid"], state["full"]
        self.touched_s = state["touched_s"]
