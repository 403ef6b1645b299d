"""What happens to an order after the show: its own topic, keyed by order, not a room's input.

The rules are those of `events`: strictly typed, tagged by `type`, RejectedEvent and never anything else.
"""

import msgspec
from msgspec import Struct

from stream.catalogue import Id, Text
from stream.events import rejection


class ParcelEvent(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", kw_only=True):
    """What happens to an order after the show."""

    order: Id
    ts: int = 0
    id: Id | None = None
    source: Id | None = None
    stamped: bool = False
    carrier: Text | None = None
    parcel: Id | None = None


class ParcelCreated(ParcelEvent, tag="parcel.created", frozen=True, gc=False, kw_only=True):
    pass


class ParcelPickedUp(ParcelEvent, tag="parcel.picked_up", frozen=True, gc=False, kw_only=True):
    pass


class ParcelScanned(ParcelEvent, tag="parcel.scanned", frozen=True, gc=False, kw_only=True):
    place: Text | None = None


class ParcelDelivered(ParcelEvent, tag="parcel.delivered", frozen=True, gc=False, kw_only=True):
    pass


class ServiceOpened(ParcelEvent, tag="service.opened", frozen=True, gc=False, kw_only=True):
    text: Text | None = None


class ServiceReplied(ParcelEvent, tag="service.replied", frozen=True, gc=False, kw_only=True):
    text: Text | None = None


Parcel = ParcelCreated | ParcelPickedUp | ParcelScanned | ParcelDelivered | ServiceOpened | ServiceReplied

_decoder: msgspec.json.Decoder[Parcel] = msgspec.json.Decoder(Parcel)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes | None) -> Parcel:
    """One record of `live.parcels` as a typed event. Raises RejectedEvent."""
    try:
        return _decoder.decode(raw or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise rejection(raw, error) from None


def encode(parcel: Parcel) -> bytes:
    """The event as one JSON object, defaults left out; `decode(encode(p)) == p`."""
    return _encoder.encode(parcel)
