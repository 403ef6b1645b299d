"""The record of one show that the recap is made of, and `summary.json`, which is that record.

Money is whole minor units, times are milliseconds UTC, None is "unknown" and never a zero.
"""

from typing import Literal

import msgspec

from stream.numbers import Number

VERSION = 1  # of summary.json; raised when a field changes its meaning

MarkerKind = Literal["pin", "offer", "violation", "prompt", "start", "end", "pause"]


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in `[at_ms, at_ms + 60 s)`; `online` is the mean."""

    at_ms: int
    online: int | float | None = None
    peak_online: int | None = None
    joins: int | None = None
    leaves: int | None = None
    chats: int | None = None
    likes: int | None = None
    clicks: int | None = None
    carts: int | None = None
    orders_created: int | None = None
    orders_paid: int | None = None
    units_paid: int | None = None
    gmv_paid: int | None = None
    refunded: int | None = None


class ProductRow(msgspec.Struct, frozen=True, kw_only=True):
    """One product over the whole show; `orders`, `units` and `gmv` are paid ones."""

    product: str
    name: str = ""
    clicks: int | None = None
    carts: int | None = None
    orders: int | None = None
    units: int | None = None
    gmv: int | None = None
    refunded: int | None = None
    stock: int | None = None
    opening_stock: int | None = None
    first_pin_ms: int | None = None
    pinned_s: int | None = None


class PromptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt and what became of it; `why` is its evidence in words."""

    id: str
    play: str
    audience: str
    class_: str = msgspec.field(name="class", default="")
    issued_ms: int
    expires_ms: int | None = None
    state: str
    shown_ms: int | None = None
    done_ms: int | None = None
    title: str = ""
    say: str = ""
    why: str = ""
    product: str | None = None
    offer: str | None = None


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """Something that belongs on every curve."""

    at_ms: int
    kind: MarkerKind
    label: str = ""


class Recap(msgspec.Struct, frozen=True, kw_only=True):
    """One show as it stood at `at_ms`; `ended_ms` is None while it is on air, `numbers` holds the room's keys."""

    room: str
    show_ms: int
    ended_ms: int | None = None
    at_ms: int
    title: str = ""
    host: str = ""
    platform: str = ""
    currency: str = "CNY"
    numbers: dict[str, Number] = {}
    minutes: list[Minute] = []
    products: list[ProductRow] = []
    prompts: list[PromptRow] = []
    markers: list[Marker] = []
    warnings: list[str] = []


def summary(recap: Recap) -> str:
    """The record as `summary.json`: one object, and the version of its shape."""
    plain = {"version": VERSION, **msgspec.to_builtins(recap)}
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()


def parse(text: str | bytes) -> Recap:
    """The record of a `summary.json`; `parse(summary(r)) == r`. Raises ValueError for anything else."""
    try:
        plain = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        if plain.pop("version", None) != msgspec.Raw(str(VERSION).encode()):
            raise ValueError(f"this is no summary of version {VERSION}")
        return msgspec.json.decode(text, type=Recap)
    except msgspec.DecodeError as error:
        raise ValueError(f"this summary cannot be read: {error}") from None
