"""What a sender posts, taken apart and judged: each event alone, strictly, before anything is written.

An event that needs no change leaves byte for byte as it came; a change touches its own field and no other.
One bad event spoils no other.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from stream.errors import Reason, RejectedEvent
from stream.events import MAX_EVENT_BYTES, decode, settle_time
from stream.parcels import Parcel

MAX_BODY_BYTES = 8 * 1024 * 1024  # 500 events are 0.1 MB; a producer that posts more than this at once can split it
MAX_EVENTS = 20_000  # a body's, so that one of two bytes each cannot be four million dead letters
MAX_IDEMPOTENCY_KEY = 120  # key#n is an event's id, of at most 128 characters

_array = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder()
_PARCEL_TYPES = frozenset(cls.__struct_config__.tag for cls in Parcel.__args__)


class _Typed(msgspec.Struct):
    type: str = ""


_typed = msgspec.json.Decoder(_Typed)


class TooMany(Exception):
    """A body of more than MAX_EVENTS events."""


class Refusal(NamedTuple):
    """An event that was not taken: where it stood in the body, why, and its bytes."""

    place: int
    reason: Reason
    detail: str
    raw: bytes


class Judged(NamedTuple):
    """`indexes[k]` is where `values[k]` stood in the body."""

    indexes: list[int]
    values: list[bytes]
    refusals: list[Refusal]


def split(body: bytes, *, lines: bool = False) -> list[bytes]:
    """The events of a body, undecoded: an array's elements, one object, or the lines of NDJSON.

    The bytes decide; `lines` (the sender says it is NDJSON) matters only for a body that does not begin like JSON.
    A broken array is one element, since nobody can say where the next would begin. Raises TooMany.

    >>> split(b'[{"a": 1}, 2]'), split(b'{"a": 1}'), split(b'{"a": 1}\\n{"b": 2}\\n')
    ([b'{"a": 1}', b'2'], [b'{"a": 1}'], [b'{"a": 1}', b'{"b": 2}'])
    """
    body = body.removeprefix(b"\xef\xbb\xbf").strip()  # a byte order mark is no part of the JSON
    if not body:
        return []
    if body[:1] == b"[" and not lines:
        try:
            elements = [bytes(raw) for raw in _array.decode(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [body]
        if len(elements) > MAX_EVENTS:
            raise TooMany
        return elements
    if not lines and (body[:1] != b"{" or _is_one(body)):
        return [body]
    if body.count(b"\n") >= 2 * MAX_EVENTS:  # counted before it is split; blank lines are no events
        raise TooMany
    elements = [line for line in map(bytes.strip, body.split(b"\n")) if line]
    if len(elements) > MAX_EVENTS:
        raise TooMany
    return elements


def _is_one(body: bytes) -> bool:
    try:
        _any.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b"\n" not in body
    return True


def judge(elements: Iterator[tuple[int, bytes]], room: str, arrived_ms: int, key: str | None, into: Judged) -> None:
    """Take or refuse each (index, bytes) of `elements` for `room`; what comes out is added to `into`.

    With an idempotency `key`, an event without an id gets `key#index`.
    """
    indexes, values, refusals = into
    for index, raw in elements:
        try:
            value = admit(raw, room, arrived_ms, None if key is None else f"{key}#{index}")
        except RejectedEvent as rejected:
            refusals.append(Refusal(index, rejected.reason, rejected.detail, raw))
        else:
            indexes.append(index)
            values.append(value)


def admit(raw: bytes, room: str, arrived_ms: int, new_id: str | None = None) -> bytes:
    """The bytes to write for one event of `room`, `raw` itself where nothing has to change. Raises RejectedEvent."""
    if len(raw) > MAX_EVENT_BYTES:
        raise RejectedEvent("too_large", f"{len(raw)} bytes; an event has at most {MAX_EVENT_BYTES}")
    try:
        event = decode(raw)
    except RejectedEvent as rejected:
        raw = _mend(raw, room, rejected)
        event = decode(raw)
    if event.room != room:
        raise RejectedEvent("wrong_room", f"the event says room {event.room!r}, the address {room!r}")
    settled = settle_time(event, arrived_ms)
    changes: dict[str, Any] = {}
    if settled is not event:
        changes = {"ts": settled.ts, "stamped": True}
    if new_id is not None and event.id is None:
        changes["id"] = new_id
    return patched(raw, changes) if changes else raw


def patched(raw: bytes, changes: Mapping[str, Any]) -> bytes:
    """The JSON object with `changes`; every other field keeps its bytes (a 19-digit id stays one)."""
    fields: dict[str, Any] = dict(_object.decode(raw))
    fields.update(changes)
    return _encoder.encode(fields)


def _mend(raw: bytes, room: str, rejected: RejectedEvent) -> bytes:
    """The same event with the room of the address, if a missing room was the trouble; else raises RejectedEvent."""
    match rejected.reason:
        case "unknown_type":
            kind = _typed.decode(raw).type
            if kind in _PARCEL_TYPES:
                raise RejectedEvent(
                    "unknown_type", f"{kind} is about an order, not about a room; it belongs in the topic of parcels"
                ) from None
        case "invalid":
            try:
                fields: dict[str, Any] = dict(_object.decode(raw))
            except (msgspec.DecodeError, RecursionError):
                raise rejected from None
            if "room" not in fields:
                return _encoder.encode({"room": room} | fields)
    raise rejected
