"""The entries of a room's stream: who may see one, which are still in force, and how one goes out as an event.

A viewer sees the named fields of public offers and nothing else; a prompt never.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

logger = logging.getLogger(__name__)

Audience = Literal["host", "producer", "public"]
EntryId = tuple[int, int]
_CLOSED = frozenset({"done", "skipped", "expired", "superseded", "withheld", "withdrawn"})


class _Prompt(msgspec.Struct, frozen=True, gc=False):
    """The fields of a prompt that decide who sees it."""

    id: str
    audience: str
    state: str = "issued"
    approve: bool = False
    expires_ms: int = 0


class _State(msgspec.Struct, frozen=True, gc=False):
    id: str
    state: str
    audience: str = "host"


class _Offer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Everything a viewer may know of an offer; whatever else an entry carries stays here."""

    offer: str
    state: str
    product: str | None = None
    name: str | None = None
    price: int | None = None
    quantity: int | None = None
    sold: int | None = None
    until: int | None = None
    at_ms: int | None = None


class _Room(msgspec.Struct, frozen=True, gc=False):
    ended: bool = False


class Entry(NamedTuple):
    """One entry of a room's stream, decoded as far as it has to be."""

    id: EntryId
    body: _Prompt | _State | _Offer
    data: bytes

    def shown_to(self, audience: Audience) -> bool:
        """May this audience see it? A prompt that waits for approval is the producer's alone."""
        match self.body:
            case _Offer():
                return audience == "public"
            case _Prompt(audience=meant_for, state=state, approve=approve):
                if audience == "producer":
                    return meant_for == "producer" or approve
                return audience == meant_for == "host" and state != "waiting"
            case _State(audience=meant_for, state=state):
                if audience == "producer":
                    return True
                return audience == meant_for == "host" and state != "waiting"

    def frame(self, now_ms: int | None) -> bytes:
        """The entry as a server-sent event."""
        name = {_Prompt: "prompt", _State: "state", _Offer: "offer"}[type(self.body)]
        if isinstance(self.body, _Offer):
            fields: dict[str, Any] = msgspec.to_builtins(self.body)
        else:
            fields = dict(_object.decode(self.data))
        return event_stream_frame(name, fields | {"now_ms": now_ms}, self.id)


def parse_entry_id(text: str) -> EntryId | None:
    """A stream entry's id, as `Last-Event-ID` carries it; None for anything else.

    >>> parse_entry_id("1700000000000-2"), parse_entry_id("new")
    ((1700000000000, 2), None)
    """
    milliseconds, dash, sequence = text.partition("-")
    if dash and len(text) <= 41 and all(part.isascii() and part.isdigit() for part in (milliseconds, sequence)):
        return int(milliseconds), int(sequence)
    return None


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decoders: Mapping[bytes, msgspec.json.Decoder[Any]] = {
    b"prompt": msgspec.json.Decoder(_Prompt),
    b"state": msgspec.json.Decoder(_State),
    b"offer": msgspec.json.Decoder(_Offer),
}
_room_decoder = msgspec.json.Decoder(_Room)


def open_entries(entries: Iterable[Entry], now_ms: int | None) -> list[Entry]:
    """Of the entries of one audience, those still in force: prompts neither closed nor expired, offers not ended."""
    prompts: dict[str, Entry] = {}
    offers: dict[str, Entry] = {}
    for entry in entries:
        match entry.body:
            case _Prompt(id=prompt):
                prompts.pop(prompt, None)  # a prompt issued after waiting takes its new place
                prompts[prompt] = entry
            case _State(id=prompt, state=state):
                if state in _CLOSED:
                    prompts.pop(prompt, None)
            case _Offer(offer=offer):
                offers[offer] = entry
    standing = [e for e in prompts.values() if isinstance(e.body, _Prompt) and not _past_ms(e.body.expires_ms, now_ms)]
    running = [
        e
        for e in offers.values()
        if isinstance(e.body, _Offer) and e.body.state != "ended" and not _past_ms(e.body.until, now_ms)
    ]
    return sorted(standing + running, key=lambda entry: entry.id)


def _past_ms(end_ms: int | None, now_ms: int | None) -> bool:
    return bool(end_ms) and now_ms is not None and end_ms is not None and end_ms <= now_ms


def read_entry(raw: Any) -> Entry | None:
    id_, flat = raw
    fields = dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat
    kind, data = fields.get(b"kind", b""), fields.get(b"data", b"")
    decoder = _decoders.get(kind)
    try:
        if decoder is not None:
            return Entry(read_id(id_), decoder.decode(data), data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        logger.warning("entry %s of kind %r not understood: %s", id_, kind, error)
    return None


def read_id(raw: bytes) -> EntryId:
    milliseconds, _, sequence = raw.partition(b"-")
    return int(milliseconds), int(sequence)


def has_ended(described: bytes | None) -> bool:
    try:
        return described is not None and _room_decoder.decode(described).ended
    except msgspec.DecodeError:
        return False


def clock(now_ms: int | None, ended: bool, id_: EntryId | None = None) -> bytes:
    return event_stream_frame("clock", {"now_ms": now_ms, "ended": ended}, id_)


def event_stream_frame(event: str, data: Mapping[str, Any], id_: EntryId | None) -> bytes:
    head = b"" if id_ is None else b"id: %d-%d\n" % id_
    return b"event: %s\n%sdata: %s\n\n" % (event.encode(), head, msgspec.json.encode(data))
