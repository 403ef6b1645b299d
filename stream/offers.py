"""Offers of a show: really set (`ready`), opened (`running`), over (`ended`), and how many pieces are gone.

Price and quantity are those of `offer.ready`, never the catalogue's plan. Pieces count from the moment the price was
set. Created and paid orders are two reports of one sale: the larger count holds, so a room may send either or both.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct

from stream.catalogue import Product
from stream.events import TS_MAX_MS, TS_MIN_MS, OfferReady
from stream.prompts import OfferProgress, OfferState

MAX_OFFERS = 64  # of a show; the oldest that is over is forgotten first
STANDS_MS = 3_600_000  # an offer set up to an hour before the show belongs to it


class Sale(NamedTuple):
    """A line of an order that was `created`, or else paid."""

    product: str
    ts: int
    pieces: int
    created: bool


class Offering(Struct):
    """One offer; times in event time."""

    offer: str
    product: str
    kind: str
    price: int
    quantity: int | None
    per_person: int | None
    until: int | None
    ready_ms: int
    set_ms: int
    state: OfferState = "ready"
    ended_ms: int | None = None
    created: int = 0
    paid: int = 0

    @property
    def sold(self) -> int:
        """Pieces gone."""
        return max(self.created, self.paid)


class Offers(Struct):
    """The offers of a room by id, and those whose progress is still to be given out."""

    all: dict[str, Offering] = {}
    changed: dict[str, int] = {}

    def ready(self, event: OfferReady, at_ms: int) -> bool:
        """Price and stock are set; a running offer takes the new terms and goes on. Whether these are the newest."""
        old = self.all.get(event.offer)
        if old is not None and event.ts < old.set_ms:
            return False
        terms = Offering(
            offer=event.offer,
            product=event.product,
            kind=event.kind,
            price=event.price,
            quantity=event.quantity,
            per_person=event.per_person,
            until=_moment(event.until),
            ready_ms=event.ts,
            set_ms=event.ts,
        )
        if old is not None and old.state != "ended" and old.product == event.product:
            terms.ready_ms, terms.state, terms.created, terms.paid = old.ready_ms, old.state, old.created, old.paid
        self.all.pop(event.offer, None)
        self.all[event.offer] = terms
        self._forget()
        self.changed[event.offer] = at_ms
        return True

    def _forget(self) -> None:
        while len(self.all) > MAX_OFFERS:
            over = next((id_ for id_, offer in self.all.items() if offer.state == "ended"), next(iter(self.all)))
            del self.all[over]
            self.changed.pop(over, None)

    def start(self, id_: str, at_ms: int) -> bool:
        """The host has opened it; whether that is news."""
        offer = self.all.get(id_)
        if offer is None or offer.state != "ready":
            return False
        offer.state = "running"
        self.changed[id_] = at_ms
        return True

    def stop(self, id_: str, ended_ms: int, at_ms: int) -> bool:
        """It is over; whether that is news."""
        offer = self.all.get(id_)
        if offer is None or offer.state == "ended":
            return False
        offer.state, offer.ended_ms = "ended", ended_ms
        self.changed[id_] = at_ms
        return True

    def sell(self, sale: Sale, at_ms: int) -> None:
        """Count the pieces of an order line for the offers of its product that stood at its time."""
        for offer in self.all.values():
            over_ms = offer.ended_ms
            if offer.product != sale.product or sale.ts < offer.ready_ms or (over_ms and sale.ts >= over_ms):
                continue
            before = offer.sold
            if sale.created:
                offer.created += sale.pieces
            else:
                offer.paid += sale.pieces
            if offer.sold != before and offer.state != "ready":
                self.changed[offer.offer] = at_ms

    def over(self, at_ms: int) -> list[str]:
        """End what is sold out or past its time; which those are."""
        ended = []
        for offer in self.all.values():
            if offer.state == "ended":
                continue
            if offer.until is not None and offer.until <= at_ms:
                ended.append((offer, offer.until))
            elif offer.quantity is not None and offer.state == "running" and offer.sold >= offer.quantity:
                ended.append((offer, at_ms))
        for offer, ended_ms in ended:
            self.stop(offer.offer, ended_ms, at_ms)
        return [offer.offer for offer, _ in ended]

    def standing(self, state: OfferState) -> Iterator[Offering]:
        """Offers in a state, oldest first."""
        return (offer for offer in self.all.values() if offer.state == state)

    def of(self, product: str, state: str) -> Offering | None:
        """The newest offer of a product in a state."""
        found = [offer for offer in self.all.values() if offer.product == product and offer.state == state]
        return found[-1] if found else None

    def progress(self, catalogue: Mapping[str, Product]) -> list[OfferProgress]:
        """What has changed since the last call."""
        out = []
        for id_, at_ms in self.changed.items():
            offer = self.all[id_]
            product = catalogue.get(offer.product)
            out.append(
                OfferProgress(
                    offer=id_,
                    product=offer.product,
                    name=product.name if product is not None else "",
                    price=offer.price,
                    quantity=offer.quantity,
                    sold=offer.sold if offer.quantity is None else min(offer.sold, offer.quantity),
                    until=offer.until,
                    state=offer.state,
                    at_ms=at_ms,
                )
            )
        self.changed = {}
        return out

    def new_show(self, show_ms: int) -> None:
        """End what ran, forget what ended, keep what was set for this show."""
        for offer in list(self.all.values()):
            past = offer.state == "ended" and offer.offer not in self.changed
            if past or (offer.state == "ready" and offer.ready_ms < show_ms - STANDS_MS):
                del self.all[offer.offer]
                self.changed.pop(offer.offer, None)
            elif offer.state == "running" and offer.ready_ms < show_ms:
                self.stop(offer.offer, show_ms, show_ms)


def _moment(until: int | None) -> int | None:
    """An end in milliseconds, also where seconds were sent; None where no time can be meant."""
    if until is not None and until < TS_MIN_MS:
        until *= 1000
    return until if until is not None and TS_MIN_MS <= until < TS_MAX_MS else None
