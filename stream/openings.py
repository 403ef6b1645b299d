"""An offer on its way to the host: chosen from the catalogue, asked of the producer, opened once it is really set.

The host hears only of an offer that `offer.ready` confirmed; its price and quantity are taken from there.
"""

from collections.abc import Mapping

from msgspec import Struct

from stream.catalogue import Offer, Product
from stream.offers import Offering, Offers
from stream.playbook import OfferRule
from stream.prompts import Evidence
from stream.signals import Signals


class Plan(Struct, frozen=True):
    """What the producer is asked to set; price in minor units."""

    product: str
    offer: str
    price: int
    pieces: int
    per_person: int | None


class Opening(Struct):
    """An offer between the moment it was decided and its opening; `until_ms` bounds the wait for the producer."""

    until_ms: int
    facts: dict[str, str]
    evidence: tuple[Evidence, ...]
    asked: str = ""
    offer: str = ""
    set_ms: int = 0
    prompt: str = ""


def plan(rule: OfferRule, signals: Signals) -> Plan | None:
    """The first product of the role, in the order of the rundown, with such an offer, stock and a bearable loss."""
    order = {item.product: item.order for item in sorted(signals.rundown, key=lambda item: -item.order)}
    fitting = [product for product in signals.catalogue.values() if product.role == rule.role]
    for product in sorted(fitting, key=lambda product: order.get(product.product, len(order) + 10**12)):
        for offer in product.offers:
            pieces = _pieces(rule, product, offer, signals) if offer.kind == rule.kind else 0
            if pieces > 0:
                return Plan(product.product, offer.offer, offer.price, pieces, offer.per_person)
    return None


def _pieces(rule: OfferRule, product: Product, offer: Offer, signals: Signals) -> int:
    """How many pieces may be released: the offer's, within the cap, the loss limit and the stock."""
    pieces = min(offer.quantity or rule.max_pieces, rule.max_pieces)
    if product.price is not None and product.price > offer.price:
        pieces = min(pieces, rule.max_loss // (product.price - offer.price))
    stock = signals.product_number(product.product, "stock")
    if stock.status in ("ok", "estimated") and stock.value is not None:
        return min(pieces, int(stock.value))
    if stock.status == "stale":
        return 0
    return min(pieces, product.opening_stock) if product.opening_stock is not None else pieces * bool(offer.quantity)


def standing(rule: OfferRule, offers: Offers, catalogue: Mapping[str, Product]) -> Offering | None:
    """The newest offer of the rule's kind that is really set and not yet opened."""
    found = None
    for offering in offers.standing("ready"):
        product = catalogue.get(offering.product)
        role = product.role if product is not None else None
        if offering.kind == rule.kind and role in (None, rule.role) and offering.quantity != 0:
            found = offering
    return found


def loss_minor(rule: OfferRule, offering: Offering, catalogue: Mapping[str, Product]) -> int | None:
    """What an offer costs at most against the list price; None where that price is not known."""
    product = catalogue.get(offering.product)
    if product is None or product.price is None:
        return None
    pieces = rule.max_pieces if offering.quantity is None else offering.quantity
    return pieces * max(product.price - offering.price, 0)
