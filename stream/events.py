"""The event contract: one JSON object a record, strictly typed, tagged by `type`; unknown fields are ignored.

Times are event time in whole milliseconds UTC, money is whole minor units, ids are strings.
Decoding raises RejectedEvent and never anything else; a decoded event needs no further check.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from stream.catalogue import Count, Id, Product, RundownItem, Text
from stream.clock import LAST_MS
from stream.errors import RejectedEvent

MAX_EVENT_BYTES = 1_000_000  # a large catalogue fits; a video sent by mistake does not
TS_MIN_MS = 978_307_200_000  # 2001-01-01: before it lie seconds, uptimes and zeros
TS_MAX_MS = LAST_MS
AHEAD_MAX_MS = 5_000  # a source whose clock runs further ahead than this takes the arrival time

Quantity = Annotated[int, Meta(ge=0, le=10**7)]
Amount = Annotated[int, Meta(ge=0, le=10**12)]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # beyond lies what a snapshot cannot carry
Shown = Whole | Annotated[str, Meta(max_length=32)]  # a count, or what a page displays: "6.8万"
GiftCount = Annotated[int, Meta(ge=0, le=10**6)]
GiftValue = Annotated[int, Meta(ge=0, le=10**7)]  # times the count: sums of 10^5 such still fit 63 bits
Currency = Annotated[str, Meta(min_length=3, max_length=3)]
Room = Annotated[str, Meta(min_length=1, max_length=128)]
From = Literal["feed", "short_video", "search", "follow", "ads", "private", "partner", "other"]


class Event(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", kw_only=True):
    """What every event carries. `ts` 0: the source sent none, the arrival time is taken and `stamped` set."""

    room: Room
    ts: int = 0
    id: Id | None = None
    user: Id | None = None
    source: Id | None = None
    stamped: bool = False


class Segment(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Who a viewer is, as far as the platform says."""

    region: Text | None = None
    age: Text | None = None
    spend: Text | None = None
    interests: tuple[Text, ...] = ()


# --- viewers


class ViewerJoin(Event, tag="viewer.join", frozen=True, gc=False, kw_only=True):
    from_: From | None = field(default=None, name="from")
    ref: Id | None = None
    segment: Segment | None = None


class ViewerLeave(Event, tag="viewer.leave", frozen=True, gc=False, kw_only=True):
    pass


class ViewerHeartbeat(Event, tag="viewer.heartbeat", frozen=True, gc=False, kw_only=True):
    pass


class ViewerCount(Event, tag="viewer.count", frozen=True, gc=False, kw_only=True):
    online: Shown | None = None
    total: Shown | None = None


class RoomExposure(Event, tag="room.exposure", frozen=True, gc=False, kw_only=True):
    count: Count = 1


class Like(Event, tag="like", frozen=True, gc=False, kw_only=True):
    count: Count = 1


class Follow(Event, tag="follow", frozen=True, gc=False, kw_only=True):
    pass


class Share(Event, tag="share", frozen=True, gc=False, kw_only=True):
    pass


class FanclubJoin(Event, tag="fanclub.join", frozen=True, gc=False, kw_only=True):
    pass


class Gift(Event, tag="gift", frozen=True, gc=False, kw_only=True):
    """`value` is the worth of one gift; with `combo`, `count` is the combo's running count and only its rise is new."""

    count: GiftCount = 1
    value: GiftValue = 0
    combo: Id | None = None


class PrivateJoin(Event, tag="private.join", frozen=True, gc=False, kw_only=True):
    channel: Text | None = None


class Chat(Event, tag="chat", frozen=True, gc=False, kw_only=True):
    text: Text


# --- carts


class ProductPin(Event, tag="product.pin", frozen=True, gc=False, kw_only=True):
    product: Id
    sku: Id | None = None


class ProductUnpin(Event, tag="product.unpin", frozen=True, gc=False, kw_only=True):
    product: Id
    sku: Id | None = None


class ProductExpose(Event, tag="product.expose", frozen=True, gc=False, kw_only=True):
    product: Id
    sku: Id | None = None


class ProductClick(Event, tag="product.click", frozen=True, gc=False, kw_only=True):
    product: Id
    sku: Id | None = None


class CartAdd(Event, tag="cart.add", frozen=True, gc=False, kw_only=True):
    product: Id
    sku: Id | None = None
    qty: Quantity = 1
    price: Amount | None = None


class CartRemove(Event, tag="cart.remove", frozen=True, gc=False, kw_only=True):
    product: Id
    sku: Id | None = None
    qty: Quantity = 1
    price: Amount | None = None


class OrderLine(Event, frozen=True, gc=False, kw_only=True):
    """One line of an order; lines of one order share `order`. `amount` is what the buyer pays for the goods."""

    order: Id | None = None
    product: Id | None = None
    sku: Id | None = None
    qty: Quantity = 1
    amount: Amount
    subsidy: Amount = 0
    freight: Amount = 0
    currency: Currency = "CNY"
    channel: Text | None = None
    deposit: bool = False
    returning: bool | None = None


class OrderCreated(OrderLine, tag="order.created", frozen=True, gc=False, kw_only=True):
    pass


class OrderPaid(OrderLine, tag="order.paid", frozen=True, gc=False, kw_only=True):
    pass


class OrderCancelled(OrderLine, tag="order.cancelled", frozen=True, gc=False, kw_only=True):
    amount: Amount = 0


class OrderRefunded(OrderLine, tag="order.refunded", frozen=True, gc=False, kw_only=True):
    pass


class StockLevel(Event, tag="stock.level", frozen=True, gc=False, kw_only=True):
    product: Id
    sku: Id | None = None
    available: Quantity


class AdSpend(Event, tag="ad.spend", frozen=True, gc=False, kw_only=True):
    channel: Text
    amount: Amount
    plan: Text | None = None
    audience: Text | None = None
    creative: Text | None = None
    currency: Currency = "CNY"


# --- host


class RoomStart(Event, tag="room.start", frozen=True, gc=False, kw_only=True):
    title: Text | None = None
    host: Text | None = None
    account: Text | None = None
    platform: Text | None = None
    locale: Text | None = None


class RoomPause(Event, tag="room.pause", frozen=True, gc=False, kw_only=True):
    pass


class RoomEnd(Event, tag="room.end", frozen=True, gc=False, kw_only=True):
    pass


class HostSpeech(Event, tag="host.speech", frozen=True, gc=False, kw_only=True):
    """`ts` is the end of the spoken piece."""

    text: Text


class SceneStart(Event, tag="scene.start", frozen=True, gc=False, kw_only=True):
    scene: Text
    quiet: bool = False


class OfferReady(Event, tag="offer.ready", frozen=True, gc=False, kw_only=True):
    """Price and stock are really set in the back office; `until` is event time in ms."""

    offer: Id
    product: Id
    kind: Text = "flash"
    price: Amount
    quantity: Quantity | None = None
    per_person: Quantity | None = None
    until: Whole | None = None


class OfferStart(Event, tag="offer.start", frozen=True, gc=False, kw_only=True):
    offer: Id


class OfferStop(Event, tag="offer.stop", frozen=True, gc=False, kw_only=True):
    offer: Id


class PromptShown(Event, tag="prompt.shown", frozen=True, gc=False, kw_only=True):
    prompt: Text


class PromptDone(Event, tag="prompt.done", frozen=True, gc=False, kw_only=True):
    prompt: Text


class PromptSkipped(Event, tag="prompt.skipped", frozen=True, gc=False, kw_only=True):
    prompt: Text


class Violation(Event, tag="violation", frozen=True, gc=False, kw_only=True):
    text: Text


# --- producer


class CatalogueSet(Event, tag="catalogue.set", frozen=True, gc=False, kw_only=True):
    """The whole catalogue; it replaces the one before."""

    products: tuple[Product, ...]
    by: Text | None = None


class RundownSet(Event, tag="rundown.set", frozen=True, gc=False, kw_only=True):
    items: tuple[RundownItem, ...]
    by: Text | None = None


class PlaybookSet(Event, tag="playbook.set", frozen=True, gc=False, kw_only=True):
    """Changes to plays of this room, as the text of a playbook in TOML."""

    playbook: Annotated[str, Meta(max_length=200_000)]
    by: Text | None = None


class ModeSet(Event, tag="mode.set", frozen=True, gc=False, kw_only=True):
    """`mode` quiet: no prompts to the host but compliance."""

    mode: Literal["normal", "quiet"]
    by: Text | None = None


class PromptApprove(Event, tag="prompt.approve", frozen=True, gc=False, kw_only=True):
    prompt: Text
    by: Text | None = None


class PromptWithdraw(Event, tag="prompt.withdraw", frozen=True, gc=False, kw_only=True):
    prompt: Text
    by: Text | None = None


class PromptSend(Event, tag="prompt.send", frozen=True, gc=False, kw_only=True):
    """A prompt written by hand; `ttl_s` seconds on the screen."""

    title: Text
    say: Text = ""
    ttl_s: Annotated[int, Meta(ge=5, le=3600)] = 60
    by: Text | None = None


class QuestionAnswered(Event, tag="question.answered", frozen=True, gc=False, kw_only=True):
    question: Text
    by: Text | None = None


# --- sources


class SourceBeat(Event, tag="source.beat", frozen=True, gc=False, kw_only=True):
    pass


RoomEvent = (
    ViewerJoin
    | ViewerLeave
    | ViewerHeartbeat
    | ViewerCount
    | RoomExposure
    | Like
    | Follow
    | Share
    | FanclubJoin
    | Gift
    | PrivateJoin
    | Chat
    | ProductPin
    | ProductUnpin
    | ProductExpose
    | ProductClick
    | CartAdd
    | CartRemove
    | OrderCreated
    | OrderPaid
    | OrderCancelled
    | OrderRefunded
    | StockLevel
    | AdSpend
    | RoomStart
    | RoomPause
    | RoomEnd
    | HostSpeech
    | SceneStart
    | OfferReady
    | OfferStart
    | OfferStop
    | PromptShown
    | PromptDone
    | PromptSkipped
    | Violation
    | CatalogueSet
    | RundownSet
    | PlaybookSet
    | ModeSet
    | PromptApprove
    | PromptWithdraw
    | PromptSend
    | QuestionAnswered
    | SourceBeat
)
MoneyEvent = OrderCreated | OrderPaid | OrderCancelled | OrderRefunded | AdSpend
MONEY = frozenset({OrderCreated, OrderPaid, OrderCancelled, OrderRefunded, AdSpend})

_room_decoder: msgspec.json.Decoder[RoomEvent] = msgspec.json.Decoder(RoomEvent)
_encoder = msgspec.json.Encoder()
TAG_OF: dict[type, str] = {cls: str(cls.__struct_config__.tag) for cls in RoomEvent.__args__}
KIND_OF: dict[str, type] = {tag: cls for cls, tag in TAG_OF.items()}
TYPES: frozenset[str] = frozenset(KIND_OF)


def decode(raw: bytes | None, key: bytes | None = None) -> RoomEvent:
    """One record of `live.events` as a typed event. With `key`, the event's room must equal it.

    Raises RejectedEvent.
    """
    try:
        event = _room_decoder.decode(raw or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise rejection(raw, error) from None
    if key is not None and event.room.encode() != key:
        raise RejectedEvent("wrong_room", f"the event says room {event.room!r}, the record's key {key[:128]!r}")
    return event


def encode(event: RoomEvent) -> bytes:
    """The event as one JSON object, defaults left out; `decode(encode(e)) == e`."""
    return _encoder.encode(event)


def rejection(raw: bytes | None, error: Exception) -> RejectedEvent:
    """Why `raw` could not be decoded, in the words of the contract."""
    if not raw:
        return RejectedEvent("empty", "the record has no value")
    if len(raw) > MAX_EVENT_BYTES:
        return RejectedEvent("too_large", f"{len(raw)} bytes; an event has at most {MAX_EVENT_BYTES}")
    if isinstance(error, msgspec.ValidationError):
        detail = str(error)
        if detail.startswith("Invalid value") and detail.endswith("`$.type`"):
            return RejectedEvent("unknown_type", detail)
        return RejectedEvent("invalid", detail)
    return RejectedEvent("malformed", str(error))


def settle_time(event: RoomEvent, arrived_ms: int) -> RoomEvent:
    """The event with a usable event time: seconds and microseconds become milliseconds, none becomes the arrival.

    An event more than AHEAD_MAX_MS ahead of its arrival takes the arrival time. Whatever was changed is marked
    `stamped`. Raises RejectedEvent for a time that cannot be meant.
    """
    ts = event.ts
    if TS_MIN_MS <= ts <= arrived_ms + AHEAD_MAX_MS:
        return event
    ts = milliseconds(ts) if ts else arrived_ms
    if not TS_MIN_MS <= ts < TS_MAX_MS:
        raise RejectedEvent("absurd_time", f"ts {event.ts} is no time in milliseconds between 2001 and 2100")
    if ts > arrived_ms + AHEAD_MAX_MS:
        ts = arrived_ms
    return msgspec.structs.replace(event, ts=ts, stamped=True)


def milliseconds(ts: int) -> int:
    """A time in seconds, milliseconds or microseconds as milliseconds; 0 for one that cannot be meant.

    >>> milliseconds(1_696_447_175), milliseconds(1_696_447_175_000), milliseconds(17)
    (1696447175000, 1696447175000, 0)
    """
    for candidate in (ts, ts * 1000, ts // 1000):
        if TS_MIN_MS <= candidate < TS_MAX_MS:
            return candidate
    return 0
