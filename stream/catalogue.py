"""What a room may sell: products, their prices, roles and offers, as the back office states them.

A room works without one; then nothing that needs a price, a role or an offer is prompted.
"""

from typing import Annotated, Literal

import msgspec

ID_MAX = 128
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=4_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]  # sums of 10^6 such still fit 63 bits
Role = Literal["traffic", "profit", "bag", "image"]


class Offer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """A price that can be opened for a time or a number of pieces; prices in minor units."""

    offer: Id
    kind: Literal["flash", "bundle", "coupon", "gift", "bag", "presale"] = "flash"
    price: Count
    quantity: Count | None = None
    per_person: Count | None = None
    minutes: Count | None = None
    text: Text = ""


class Content(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Something that may be in a bag, with its odds as they are announced ("5%", "1/20")."""

    name: Name
    odds: Annotated[str, msgspec.Meta(max_length=32)] | None = None


class Product(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One line of the shelf: a product, or with `sku` a variant of it; prices in minor units, `daily_sales` in pieces.

    `stock` is what the back office held when the catalogue was written, `opening_stock` what the show may sell of it.
    """

    product: Id
    sku: Id | None = None
    name: Text = ""
    price: Count | None = None
    other_prices: tuple[Count, ...] = ()
    role: Role | None = None
    category: Text = ""
    stock: Count | None = None
    opening_stock: Count | None = None
    daily_sales: Count | None = None
    segments: tuple[Text, ...] = ()
    tags: tuple[Text, ...] = ()
    offers: tuple[Offer, ...] = ()
    trust: tuple[Text, ...] = ()
    answers: dict[str, Text] = {}
    supplier: Text = ""
    backup: Text = ""
    lead_days: Count | None = None
    contents: tuple[Content, ...] = ()


class RundownItem(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One item of the running order (排品表)."""

    order: Count
    product: Id
    minutes: Count | None = None
    price: Count | None = None
    quantity: Count | None = None
