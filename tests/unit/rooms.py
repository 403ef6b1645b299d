"""A scripted room for tests of plays: numbers set by hand, time moved by hand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

import stream.playbook
from stream import columns
from stream import events as ev
from stream.catalogue import Offer, Product, RundownItem
from stream.columns import Columns, joined, read
from stream.desk import Desk
from stream.errors import RejectedEvent
from stream.events import RoomEvent
from stream.numbers import MISSING, Number
from stream.offers import Sale
from stream.playbook import Playbook
from stream.prompts import OfferProgress, Prompt, PromptState, Record
from stream.sifting import Floats

SHOW_MS = 1_760_000_000_000
ROOM = {"online", "online_1m", "joins_1m", "clicks_1m", "chats_1m", "retention_60s", "likes_1m"}
TEXT = Path(stream.playbook.__file__).with_name("playbook.toml").read_text("utf-8")
DEFAULT = Playbook.load(TEXT, room=ROOM, product={"clicks_1m", "carts_1m"})
TISSUE = Product(
    product="p1",
    name="抽纸",
    price=2_990,
    role="traffic",
    opening_stock=100,
    offers=(Offer(offer="o1", price=990, quantity=100, per_person=2),),
)
CUP = Product(product="p2", name="保温杯", price=8_900, role="profit", opening_stock=300)
SCARF = Product(product="p3", name="围巾", price=15_000, role="profit", opening_stock=50)
HEALTHY: dict[str, float] = {
    "online_1m": 400,
    "online_1m_3m_ago": 405,
    "online_drop_z": 0.2,
    "retention_60s": 0.5,
    "retention_60s_10m": 0.5,
    "retention_60s_cohort": 300,
    "orders_now": 4,
    "orders_median_10m": 4,
    "joins_1m": 60,
    "joins_median_10m": 58,
    "organic_joins_3m": 150,
    "organic_joins_base": 160,
    "ads_joins_3m": 30,
    "ads_joins_base": 40,
    "speech_age_s": 3,
    "order_age_s": 5,
    "scene_quiet": 0,
    "reactions_1m": 40,
    "reactions_expected_1m": 45,
    "pin_age_s": 100,
}
FALLING: dict[str, float] = HEALTHY | {
    "online_1m": 270,
    "online_1m_3m_ago": 400,
    "online_drop_z": 5.0,
    "orders_now": 0,
}


@dataclass(frozen=True)
class Silence:
    """A source that is silent."""

    source: str
    silent_s: int
    since_ms: int


@dataclass
class Script:
    """Signals as set by hand."""

    at_ms: int = SHOW_MS
    show_ms: int = SHOW_MS
    numbers: dict[str, Number] = field(default_factory=dict)
    shelf: dict[str, dict[str, Number]] = field(default_factory=dict)
    catalogue: Mapping[str, Product] = field(default_factory=lambda: {p.product: p for p in (TISSUE, CUP, SCARF)})
    rundown: tuple[RundownItem, ...] = (
        RundownItem(order=2, product="p2"),
        RundownItem(order=1, product="p1"),
        RundownItem(order=3, product="p3"),
    )
    pinned: str | None = "p1"
    sources: list[Silence] = field(default_factory=list)

    def number(self, name: str) -> Number:
        return self.numbers.get(name, MISSING)

    def seen(self, names: tuple[str, ...]) -> Floats:
        numbers = [self.number(name) for name in names]
        return np.array([nan if one.status in ("missing", "stale") else one.value for one in numbers], np.float64)

    def product_number(self, product: str, name: str) -> Number:
        return self.shelf.get(product, {}).get(name, MISSING)

    def products(self) -> Iterable[str]:
        return list(self.shelf)

    def silent(self) -> Iterable[Silence]:
        return list(self.sources)


def written(events: Iterable[RoomEvent]) -> Columns:
    """Events as they are read from the bytes that a sender would write."""
    refused: list[tuple[int, RejectedEvent]] = []
    found = read(joined([*map(ev.encode, events)]), lambda place, fault: refused.append((place, fault)))
    assert refused == []
    return found


def columns_of(events: Iterable[RoomEvent]) -> Columns:
    """Events as they would be read, with every one at hand as an object."""
    held = dict(enumerate(events))
    rows = [columns._row(event) for event in held.values()]
    return Columns(np.array(rows, np.int64).reshape(-1, columns.N_COLUMNS), held, None)


def known(values: Mapping[str, float]) -> dict[str, Number]:
    """Numbers that are all `ok`."""
    return {name: Number(value, "ok") for name, value in values.items()}


class Room:
    """A desk and its script, second by second."""

    def __init__(self, book: Playbook = DEFAULT, language: str = "zh", numbers: dict[str, float] = HEALTHY) -> None:
        self.desk = Desk("r1", book, language)
        self.script = Script(numbers=known(numbers))
        self.desk.start_show(SHOW_MS)

    def set(self, numbers: dict[str, float], **changes: float) -> None:
        """From now on these numbers hold."""
        self.script.numbers = known(numbers | changes)

    def product(self, product: str, **values: float) -> None:
        """From now on these numbers of a product hold."""
        self.script.shelf[product] = known(values)

    def sells(self, product: str = "p1", at_s: int | None = None, qty: int = 1) -> None:
        """One stock reading and one order, so that the product is looked at."""
        self.take(ev.StockLevel, product=product, available=5)
        self.take(ev.OrderCreated, product=product, amount=990, qty=qty)

    @property
    def now_s(self) -> int:
        return (self.script.at_ms - SHOW_MS) // 1000

    def take(self, kind: Any, /, **fields: Any) -> None:
        """An event in the second that closes next."""
        event: RoomEvent = kind(room="r1", **{"ts": self.script.at_ms} | fields)
        at_ms = self.script.at_ms + 1_000
        self.desk.arrive(event, at_ms)
        if isinstance(event, ev.OrderCreated | ev.OrderPaid):
            if event.product is not None:
                self.desk.sold(Sale(event.product, event.ts, event.qty, type(event) is ev.OrderCreated), at_ms)
        else:
            self.desk.take(event, at_ms)

    def run(self, seconds: int = 1) -> list[Record]:
        """Close so many seconds; what came out."""
        out: list[Record] = []
        for _ in range(seconds):
            self.script.at_ms += 1_000
            self.desk.decide(self.script)
            out += self.desk.drain()
        return out

    def until(self, second: int) -> list[Record]:
        """Close seconds up to one of the show."""
        return self.run(second - self.now_s)


def prompts(records: Iterable[Record]) -> list[Prompt]:
    """Prompts alone."""
    return [record for record in records if isinstance(record, Prompt)]


def states(records: Iterable[Record]) -> list[tuple[str, str]]:
    """(play, state) of what happened to prompts."""
    return [(record.id.split("~")[2], record.state) for record in records if isinstance(record, PromptState)]


def progress(records: Iterable[Record]) -> list[OfferProgress]:
    """Offer progress alone."""
    return [record for record in records if isinstance(record, OfferProgress)]
