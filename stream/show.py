"""What one show is remembered by beside its sums: who, when, what was pinned, offered and prompted; and its recap."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stream import events as e
from stream import products as p
from stream import series as s
from stream.catalogue import Product
from stream.numbers import Known
from stream.prompts import Prompt
from stream.recap import Marker, Minute, ProductRow, PromptRow, Recap
from stream.tally import Tally
from stream.view import RoomView

MARKERS_MAX = 5_000  # a show has some hundred; a broken source must not fill the memory
PROMPTS_MAX = 5_000


class Pinned(msgspec.Struct, gc=False):
    """When a product was first pinned and for how long in all; `since_ms` while it is."""

    first_ms: int
    total_ms: int = 0
    since_ms: int | None = None


class Show(msgspec.Struct):
    """One show's record; plain data, so that it is its own snapshot."""

    room: str
    show_ms: int
    title: str = ""
    host: str = ""
    platform: str = ""
    account: str = ""
    started: bool = False  # by a room.start, not by the first event
    ended_ms: int | None = None
    currency: str | None = None
    peak: tuple[int, int] = (0, 0)  # sum and seconds of the highest 1-minute mean of online
    markers: list[Marker] = []
    prompts: dict[str, PromptRow] = {}
    pins: dict[str, Pinned] = {}

    def take(self, event: e.RoomEvent) -> None:
        """An event of the show, in the order of event time."""
        match event:
            case e.RoomStart():
                self.title, self.host = event.title or "", event.host or ""
                self.platform, self.account = event.platform or "", event.account or ""
                self.started = True
                self._mark(event.ts, "start", self.title)
            case e.RoomPause():
                self._mark(event.ts, "pause", "")
            case e.RoomEnd() if self.ended_ms is None:
                self._close_pins(event.ts)
                self.ended_ms = event.ts
                self._mark(event.ts, "end", "")
            case e.ProductPin():
                self._close_pins(event.ts)
                pinned = self.pins.setdefault(event.product, Pinned(event.ts))
                pinned.since_ms = event.ts
                self._mark(event.ts, "pin", event.product)
            case e.ProductUnpin():
                self._close_pins(event.ts)
            case e.OfferReady() | e.OfferStart() | e.OfferStop():
                self._mark(event.ts, "offer", event.offer)
            case e.Violation():
                self._mark(event.ts, "violation", event.text)
            case _:
                pass

    def prompted(self, prompt: Prompt) -> None:
        """A prompt was issued."""
        if prompt.id not in self.prompts:
            if len(self.prompts) >= PROMPTS_MAX:
                return
            self._mark(prompt.issued_ms, "prompt", prompt.play)
        self.prompts[prompt.id] = PromptRow(
            id=prompt.id,
            play=prompt.play,
            audience=prompt.audience,
            class_=prompt.class_,
            issued_ms=prompt.issued_ms,
            expires_ms=prompt.expires_ms,
            state=prompt.state,
            title=prompt.title,
            say=prompt.say,
            why=prompt.why,
            product=prompt.product,
            offer=prompt.offer,
        )

    def became(self, prompt: str, state: str, at_ms: int) -> None:
        """A prompt changed its state."""
        row = self.prompts.get(prompt)
        if row is None:
            return
        if state == "shown":
            row = msgspec.structs.replace(row, state=state, shown_ms=at_ms)
        elif state == "done":
            row = msgspec.structs.replace(row, state=state, done_ms=at_ms)
        else:
            row = msgspec.structs.replace(row, state=state)
        self.prompts[prompt] = row

    def watch_peak(self, tally: Tally) -> None:
        """After a second was closed: the 1-minute mean of online, where a whole minute is known."""
        totals = tally.buckets.totals
        if totals.item(0, s.ONLINE_KNOWN) == 60:
            online = totals.item(0, s.ONLINE)
            if not self.peak[1] or online > self.peak[0]:
                self.peak = (online, 60)

    def _close_pins(self, ts: int) -> None:
        for pinned in self.pins.values():
            if pinned.since_ms is not None:
                pinned.total_ms += max(0, ts - pinned.since_ms)
                pinned.since_ms = None

    def _mark(self, at_ms: int, kind: str, label: str) -> None:
        if len(self.markers) < MARKERS_MAX:
            self.markers.append(msgspec.convert({"at_ms": at_ms, "kind": kind, "label": label}, Marker))


def recap(show: Show, tally: Tally, view: RoomView, warnings: list[str]) -> Recap:
    """The show as it stands at the end of the newest closed second."""
    return Recap(
        room=show.room,
        show_ms=show.show_ms,
        ended_ms=show.ended_ms,
        at_ms=view.at_ms,
        title=show.title,
        host=show.host,
        platform=show.platform,
        currency=show.currency or "CNY",
        numbers=view.line().numbers,
        minutes=_minutes(tally),
        products=_products(show, tally, view.catalogue, view.at_ms),
        prompts=list(show.prompts.values()),
        markers=sorted(show.markers, key=lambda marker: marker.at_ms),
        warnings=warnings,
    )


def _minutes(tally: Tally) -> list[Minute]:
    seen = tally.known.seen
    fields = (
        ("joins", "viewer.join", s.JOINS),
        ("leaves", "viewer.leave", s.LEAVES),
        ("chats", "chat", s.CHATS),
        ("likes", "like", s.LIKES),
        ("clicks", "product.click", s.CLICKS),
        ("carts", "cart.add", s.CARTS),
        ("orders_created", "order.created", s.ORDERS_CREATED),
        ("orders_paid", "order.paid", s.ORDERS_PAID),
        ("units_paid", "order.paid", s.UNITS_PAID),
        ("gmv_paid", "order.paid", s.GMV_PAID),
        ("refunded", "order.refunded", s.REFUNDED),
    )
    known = [(name, series) for name, tag, series in fields if tag in seen]
    nameless = {"orders_created": s.NAMELESS_CREATED, "orders_paid": s.NAMELESS_PAID}
    minutes = []
    for minute, sums in sorted(tally.buckets.minutes.items()):
        values: dict[str, Any] = {name: int(sums[series]) for name, series in known}
        for name, series in nameless.items():
            if name in values:
                values[name] += int(sums[series])
        seconds = int(sums[s.ONLINE_KNOWN])
        online = int(sums[s.ONLINE]) / seconds if seconds else None
        minutes.append(Minute(at_ms=minute * 60_000, online=online, **values))
    return minutes


def _products(show: Show, tally: Tally, catalogue: Mapping[str, Product], at_ms: int) -> list[ProductRow]:
    shelf, known = tally.shelf, tally.known
    ids = dict.fromkeys([*shelf.touched_s, *show.pins])
    return [_product(product, show, tally, catalogue.get(product), known, at_ms) for product in ids]


def _product(
    product: str, show: Show, tally: Tally, catalogued: Product | None, known: Known, at_ms: int
) -> ProductRow:
    shelf = tally.shelf
    rows = shelf.panes.sums(product)
    sums = rows[-1] if rows is not None else [0] * p.N_PRODUCT_SERIES
    stock, pinned = shelf.stocks.get(product), show.pins.get(product)
    paid = "order.paid" in known.seen
    pinned_ms = None
    if pinned is not None:
        pinned_ms = pinned.total_ms + (0 if pinned.since_ms is None else max(0, at_ms - pinned.since_ms))
    return ProductRow(
        product=product,
        name=catalogued.name if catalogued else "",
        clicks=sums[p.CLICKS] if "product.click" in known.seen else None,
        carts=sums[p.CARTS] if "cart.add" in known.seen else None,
        orders=sums[p.ORDERS_PAID] + sums[p.NAMELESS_PAID] if paid else None,
        units=sums[p.UNITS_PAID] if paid else None,
        gmv=sums[p.GMV_PAID] if paid else None,
        refunded=sums[p.REFUNDED] if "order.refunded" in known.seen else None,
        stock=stock.pieces if stock else None,
        opening_stock=shelf.opening.get(product, stock.opening if stock else None),
        first_pin_ms=pinned.first_ms if pinned else None,
        pinned_s=None if pinned_ms is None else pinned_ms // 1000,
    )
