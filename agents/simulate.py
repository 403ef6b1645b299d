"""A simulated show: viewers, chat, shop and host of one room, from a seed and nothing else.

The audience reacts. It comes in waves, drifts off, most of all when the host talks on over a weak pitch; the simulated
producer watches the online count as the play `flash_drop` does, sets the price READY_AFTER_MS after its condition is
first met, and the opened offer brings people back and sells out. Rates follow a recorded room of a few hundred.
"""

import heapq
import itertools
import random
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from typing import Any, NamedTuple, TypeVar

import msgspec

from stream import events as ev
from stream.catalogue import Product, RundownItem

T = TypeVar("T")

MINUTES_MIN = 10  # below it the minutes before the exodus are too few to tell that orders fell
GUARD_MS = 480_000  # `flash_drop` stays silent in the first 8 minutes of a show
READY_AFTER_MS = 47_000  # the condition holds 30 s before the producer is told; then they need a moment
OPEN_AFTER_MS = 11_000  # and the host another to read the prompt and open it
DELAY_MAX_MS = 2_400  # real feeds are reordered by up to 2.5 s
DUPLICATES = 0.005
JOINS_PER_S = 2.3
DWELL_MEAN_S = {25.0: 45, 120.0: 35, 700.0: 20}  # a glance, a look, a guest, and how often: 193 s on average
TAIL_MS = 180_000  # exodus, prompt, drop, sell-out and what comes after, in the shortest show
SILENCE_MS = 40_000  # dead air: the host says nothing for longer than the 30 s that `dead_air` allows

FLASH, CUP, SCARF, BAG = "p-tissue", "p-cup", "p-scarf", "p-bag"  # the products that the acts name


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """simulate.toml; words and origins map to their weights, habits to rates per act."""

    start: dict[str, str]
    catalogue: tuple[Product, ...]
    rundown: tuple[RundownItem, ...]
    speech: dict[str, tuple[str, ...]]
    chat: dict[str, dict[str, int]]
    origins: dict[ev.From, int]
    refs: dict[str, tuple[str, ...]]
    segments: tuple[ev.Segment, ...]
    habits: dict[str, tuple[float, float, float]]


_text = resources.files("agents").joinpath("simulate.toml").read_text(encoding="utf-8")
DATA = msgspec.convert(tomllib.loads(_text), _Data)
PRODUCTS = {product.product: product for product in DATA.catalogue}
OFFER = PRODUCTS[FLASH].offers[0]
PRICES = {product.product: product.price or 0 for product in DATA.catalogue}


class Arrival(NamedTuple):
    """An event, and when it comes in, ms after the first event's time; arrivals are in order, event times nearly."""

    offset_ms: int
    event: ev.RoomEvent


@dataclass(frozen=True, slots=True)
class Script:
    """When the acts begin, ms after the first event; `started_ms`, 0 or less, is when the show is said to have begun.

    >>> script(10)
    Script(started_ms=-50000, wave_ms=126000, second_pin_ms=189000, silence_ms=252000, exodus_ms=420000, end_ms=600000)
    """

    started_ms: int
    wave_ms: int
    second_pin_ms: int
    silence_ms: int
    exodus_ms: int
    end_ms: int


def script(minutes: int) -> Script:
    """The acts of a show of that length. A short one is a reader that came in late: its guard ends with the exodus."""
    if minutes < MINUTES_MIN:
        raise ValueError(f"a simulated show lasts at least {MINUTES_MIN} minutes, not {minutes}")
    end = minutes * 60_000
    exodus = end - max(TAIL_MS, end // 4)
    return Script(
        started_ms=-max(0, GUARD_MS - exodus - 10_000),
        wave_ms=exodus * 30 // 100,
        second_pin_ms=exodus * 45 // 100,
        silence_ms=exodus * 60 // 100,
        exodus_ms=exodus,
        end_ms=end,
    )


def show(seed: int, minutes: int, end_ms: int, room: str) -> Iterator[Arrival]:
    """The events of a show in order of arrival; the same arguments give the same bytes.

    No event time lies after `end_ms`; a few events come up to 2.4 s late, a few twice. The show does not end: there
    is no `room.end`. Raises ValueError for fewer than MINUTES_MIN minutes.
    """
    return _Show(seed, script(minutes), end_ms, room).run()


@dataclass(slots=True, eq=False)
class _Viewer:
    user: str
    leave_ms: int


@dataclass(slots=True)
class _Show:
    """The world of one show; times inside are ms after the first event."""

    seed: int
    acts: Script
    end_ms: int
    room: str
    rng: random.Random = field(init=False)
    now: int = 0
    act: str = "calm"
    pull: float = 1.0  # how strongly the room draws people in
    pinned: str = CUP
    total: int = 0
    present: list[_Viewer] = field(default_factory=list)
    stock: dict[str, int] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)  # products whose stock changed since it was last sent
    readings: list[tuple[int, int]] = field(default_factory=list)  # of the online count
    numbers: Iterator[int] = field(default_factory=itertools.count)
    agenda: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    waiting: list[tuple[int, int, ev.RoomEvent]] = field(default_factory=list)  # sent, not yet arrived

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.stock = {product.product: product.opening_stock or 0 for product in DATA.catalogue}

    def run(self) -> Iterator[Arrival]:
        self._plan()
        for second in range(0, self.acts.end_ms + DELAY_MAX_MS, 1000):
            self._habits(second)
            while self.agenda and self.agenda[0][0] < min(second + 1000, self.acts.end_ms):
                self.now, _, action = heapq.heappop(self.agenda)
                action()
            while self.waiting and self.waiting[0][0] < second + 1000:  # nothing sent later can overtake these
                offset, _, event = heapq.heappop(self.waiting)
                yield Arrival(offset, event)

    # --- time, chance and sending

    def _at(self, due: int, action: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (max(due, self.now), next(self.numbers), action))

    def _in(self, low_ms: int, high_ms: int, action: Callable[[], None]) -> None:
        self._at(self.now + self.rng.randint(low_ms, high_ms), action)

    def _every(self, period: int, action: Callable[[], None], first: int = 0) -> None:
        for due in range(first, self.acts.end_ms, period):
            self._at(due, action)

    def _pick(self, weights: Mapping[T, int]) -> T:
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def _send(self, kind: Callable[..., ev.RoomEvent], source: str, at: int | None = None, **fields: Any) -> None:
        """An event of now (or `at`), as its source sends it: a little late, seldom twice."""
        number, epoch = next(self.numbers), self.end_ms - self.acts.end_ms
        ts, name = epoch + (self.now if at is None else at), f"{epoch // 1000:x}-{number}"
        event = kind(room=self.room, ts=ts, id=name, source=source, **fields)
        if source == "room":
            delay = min(DELAY_MAX_MS, round(self.rng.lognormvariate(6.5, 0.5)))
        else:
            delay = 20 if source == "desk" else self.rng.randint(150, 900)
        heapq.heappush(self.waiting, (self.now + delay, number, event))
        if self.rng.random() < DUPLICATES and delay < DELAY_MAX_MS:
            again = self.rng.randint(delay, DELAY_MAX_MS)
            heapq.heappush(self.waiting, (self.now + again, next(self.numbers), event))

    # --- the acts

    def _plan(self) -> None:
        acts, desk = self.acts, "desk"
        self._send(ev.RoomStart, desk, at=acts.started_ms, **DATA.start)
        self._send(ev.CatalogueSet, desk, products=DATA.catalogue, by="运营小周")
        self._send(ev.RundownSet, desk, items=DATA.rundown, by="运营小周")
        self._at(100, partial(self._pin, CUP))
        for _ in range(260):  # the crowd that waited for the start
            self._at(min(80_000, round(self.rng.expovariate(1 / 20_000))), partial(self._join, 500.0))
        self._at(1_500, self._speak)
        self._every(5_000, self._count, first=1_000)
        self._every(2_000, self._tell_stock, first=1_500)
        self._every(8_000, lambda: self.untold.update((self.pinned, FLASH)))
        self._every(30_000, self._advertise, first=2_000)
        for source in ("room", "shop", "captions", desk):
            self._every(10_000, partial(self._send, ev.SourceBeat, source), first=500)
        self._at(acts.wave_ms, partial(self._turn, "calm", pull=2.6))
        self._at(acts.wave_ms + 75_000, partial(self._turn, "calm", pull=1.0))
        self._at(acts.second_pin_ms, partial(self._pin, SCARF))
        self._at(acts.exodus_ms - 40_000, partial(self._turn, "weak", pull=0.8))
        self._at(acts.exodus_ms, self._exodus)

    def _turn(self, act: str, pull: float) -> None:
        self.act, self.pull = act, pull

    def _exodus(self) -> None:
        """A third has had enough of the weak pitch; the producer starts to watch."""
        self.pull = 0.45
        for viewer in self.present:
            if self.rng.random() < 0.31:
                self._stay(viewer, min(80_000, round(self.rng.expovariate(1 / 18_000))))
        self._watch()

    def _watch(self) -> None:
        """The producer's eye on the online count, by the rule of `flash_drop`."""
        now, before = self._online_1m(self.now), self._online_1m(self.now - 180_000)
        met = before >= 50 and before - now >= 0.25 * before and before - now >= 3 * (before + now) ** 0.5
        guarded = self.now - self.acts.started_ms < GUARD_MS
        if (met and not guarded) or self.now > self.acts.exodus_ms + 75_000:
            self._at(self.now + READY_AFTER_MS, self._offer_ready)
        else:
            self._at(self.now + 1_000, self._watch)

    def _online_1m(self, end: int) -> float:
        last = [online for at, online in self.readings if end - 60_000 <= at < end]
        return sum(last) / len(last) if last else 0.0

    def _offer_ready(self) -> None:
        until = self.end_ms - self.acts.end_ms + self.now + OPEN_AFTER_MS + (OFFER.minutes or 0) * 60_000
        self._send(ev.StockLevel, "shop", product=FLASH, available=self.stock[FLASH])
        terms: dict[str, Any] = {"price": OFFER.price, "quantity": OFFER.quantity, "per_person": OFFER.per_person}
        self._send(ev.OfferReady, "desk", offer=OFFER.offer, product=FLASH, until=until, **terms)
        self._at(self.now + OPEN_AFTER_MS, self._offer_start)

    def _offer_start(self) -> None:
        """The offer is open: those who are here grab or at least stay, and the word brings others."""
        self._send(ev.OfferStart, "desk", offer=OFFER.offer)
        self._turn("flash", pull=3.5)
        self._pin(FLASH)
        for viewer in self.present:
            if self.rng.random() < 0.5:
                self._stay(viewer, self.rng.randint(60_000, 300_000))
                self._grab_soon(viewer)

    def _sold_out(self) -> None:
        self._send(ev.StockLevel, "shop", product=FLASH, available=0)
        self._turn("after", pull=1.6)
        self._at(self.now + 6_000, partial(self._send, ev.OfferStop, "desk", offer=OFFER.offer))
        self._at(self.now + 16_000, partial(self._pin, BAG))
        self._at(self.now + 60_000, partial(self._turn, "calm", pull=1.0))

    # --- viewers

    def _habits(self, second: int) -> None:
        """What happens unasked in this second: a Poisson number of each thing."""
        which = {"weak": 1, "flash": 2}.get(self.act, 0)
        doings: dict[str, Callable[[], None]] = {
            "chat": lambda: self._by_someone(ev.Chat, text=self._pick(DATA.chat[self.act])),
            "like": lambda: self._by_someone(ev.Like, count=self.rng.randint(1, 15)),
            "gift": self._gift,
            "follow": partial(self._by_someone, ev.Follow),
            "share": partial(self._by_someone, ev.Share),
            "fanclub": partial(self._by_someone, ev.FanclubJoin),
            "look": self._look,
        }
        self._scatter(second, JOINS_PER_S * self.pull, partial(self._join, None))
        for name, rates in DATA.habits.items():
            self._scatter(second, rates[which] * len(self.present), doings[name])

    def _scatter(self, second: int, rate: float, action: Callable[[], None]) -> None:
        at = self.rng.expovariate(rate) if rate > 0 else 1.0
        while at < 1.0:
            self._at(second + int(at * 1000), action)
            at += self.rng.expovariate(rate)

    def _join(self, mean_dwell_s: float | None) -> None:
        """Someone comes in; without a mean of their own they glance, look or stay."""
        mean = mean_dwell_s or self._pick(DWELL_MEAN_S)
        self.total += 1
        viewer = _Viewer(f"u{self.seed:x}{self.total:05d}", 0)
        self._enter(viewer, round(self.rng.expovariate(1 / mean) * 1000) + 1_000)
        if self.act == "flash" and self.rng.random() < 0.25:
            self._grab_soon(viewer)

    def _enter(self, viewer: _Viewer, dwell_ms: int) -> None:
        origin = self._pick(DATA.origins)
        fields: dict[str, Any] = {"from_": origin}
        if origin in DATA.refs:
            fields["ref"] = self.rng.choice(DATA.refs[origin])
        if self.rng.random() < 0.6:
            fields["segment"] = self.rng.choice(DATA.segments)
        self._send(ev.ViewerJoin, "room", user=viewer.user, **fields)
        self.present.append(viewer)
        self._stay(viewer, dwell_ms)

    def _stay(self, viewer: _Viewer, ms: int) -> None:
        """From now they stay that long; an earlier plan to leave is void."""
        viewer.leave_ms = due = self.now + ms
        self._at(due, partial(self._leave, viewer, due))

    def _leave(self, viewer: _Viewer, due: int) -> None:
        if viewer.leave_ms != due:
            return
        self.present.remove(viewer)
        self._send(ev.ViewerLeave, "room", user=viewer.user)
        if self.rng.random() < 0.04:  # a bad network, not a change of mind
            self._in(4_000, 25_000, lambda: self._enter(viewer, self.rng.randint(20_000, 120_000)))

    def _by_someone(self, kind: Callable[..., ev.RoomEvent], **fields: Any) -> None:
        if self.present:
            self._send(kind, "room", user=self.rng.choice(self.present).user, **fields)

    def _gift(self) -> None:
        """A gift; three in ten are a combo, which tells its running count with each."""
        fields: dict[str, Any] = {"value": self.rng.choice((10, 10, 20, 100, 990))}
        if self.present and self.rng.random() < 0.3:
            fields |= {"user": self.rng.choice(self.present).user, "combo": f"c{next(self.numbers)}"}
            for count in range(1, self.rng.randint(2, 8)):
                self._at(self.now + 400 * count, partial(self._send, ev.Gift, "room", count=count, **fields))
        else:
            self._by_someone(ev.Gift, **fields)

    def _count(self) -> None:
        self.readings.append((self.now, len(self.present)))
        self._send(ev.ViewerCount, "room", online=len(self.present), total=self.total)
        self._send(ev.RoomExposure, "room", count=round(JOINS_PER_S * self.pull * 5 * self.rng.uniform(5, 9)))

    # --- shop

    def _pin(self, product: str) -> None:
        if product != self.pinned:
            self._send(ev.ProductUnpin, "shop", product=self.pinned)
        self.pinned = product
        self._send(ev.ProductPin, "shop", product=product)

    def _look(self) -> None:
        """A viewer sees the card of the pinned product; one in five touches it, one of those in four buys."""
        if not self.present or self.pinned == FLASH:  # the drop has its own crowd
            return
        user, product = self.rng.choice(self.present).user, self.pinned
        self._send(ev.ProductExpose, "shop", user=user, product=product)
        if self.rng.random() < 0.2:
            self._in(1_000, 6_000, partial(self._send, ev.ProductClick, "shop", user=user, product=product))
            chance = self.rng.random()
            if chance < 0.25:
                put: dict[str, Any] = {"user": user, "product": product, "price": PRICES[product]}
                self._in(6_000, 14_000, partial(self._send, ev.CartAdd, "shop", **put))
            if chance < 0.2 or chance > 0.88:
                self._in(15_000, 25_000, partial(self._order, user, product, 1, PRICES[product]))

    def _grab_soon(self, viewer: _Viewer) -> None:
        self._at(self.now + 2_500 + round(self.rng.expovariate(1 / 35_000)), partial(self._grab, viewer.user))

    def _grab(self, user: str) -> None:
        self._send(ev.ProductExpose, "shop", user=user, product=FLASH)
        self._send(ev.ProductClick, "shop", user=user, product=FLASH)
        if self.rng.random() < 0.3 and self.stock[FLASH]:
            self._send(ev.CartAdd, "shop", user=user, product=FLASH, price=OFFER.price)
        if self.act == "flash":  # who comes later finds the link closed
            self._in(1_500, 4_000, lambda: self._order(user, FLASH, self.rng.choice((1, 2)), OFFER.price))

    def _order(self, user: str, product: str, quantity: int, price: int) -> None:
        """An order if there is stock; nobody buys in the silence, hardly anyone in the weak act."""
        silent = -2_000 <= self.now - self.acts.silence_ms < SILENCE_MS
        quantity = min(quantity, self.stock[product])
        if quantity == 0 or silent or (self.act == "weak" and self.rng.random() < 0.97):
            return
        self.stock[product] -= quantity
        self.untold.add(product)
        line: dict[str, Any] = {"product": product, "qty": quantity, "amount": price * quantity}
        line |= {"order": f"o{self.seed:x}{next(self.numbers):07d}", "returning": self.rng.random() < 0.12}
        if self.rng.random() < 0.9:  # some order feeds name no buyer
            line["user"] = user
        self._send(ev.OrderCreated, "shop", **line)
        if self.rng.random() < 0.93:
            self._in(2_000, 9_000, partial(self._send, ev.OrderPaid, "shop", **line))
        if product == FLASH and self.stock[FLASH] == 0:
            self._sold_out()

    def _tell_stock(self) -> None:
        for product in sorted(self.untold):
            self._send(ev.StockLevel, "shop", product=product, available=self.stock[product])
        self.untold.clear()

    def _advertise(self) -> None:
        plan, spent = self.rng.choice(DATA.refs["ads"]), round(JOINS_PER_S * 30 * 0.1 * self.rng.randint(60, 140))
        self._send(ev.AdSpend, "desk", channel="qianchuan", plan=plan, amount=spent)

    # --- host

    def _speak(self) -> None:
        """The host's last sentence, in the captions; then the next, but for one long silence."""
        silence = self.acts.silence_ms
        if silence <= self.now < silence + SILENCE_MS:
            self._at(silence + SILENCE_MS, self._speak)
            return
        price = OFFER.price if self.pinned == FLASH else PRICES[self.pinned]
        words = {"name": PRODUCTS[self.pinned].name, "price": f"{price / 100:g}", "stock": self.stock[FLASH]}
        self._send(ev.HostSpeech, "captions", text=self.rng.choice(DATA.speech[self.act]).format(**words))
        self._in(5_000, 9_000, self._speak)
