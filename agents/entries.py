"""The entries of a room's stream: who may see one, which are still in force, and how one goes out as an event.

A viewer sees the named fields of public offers and nothing else; a prompt never.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, assert_never

import msgspec

from stream.prompts import OPEN, OfferProgress, Prompt, PromptState

logger = logging.getLogger(__name__)

Audience = Literal["host", "producer", "public"]
EntryId = tuple[int, int]


class _Room(msgspec.Struct, frozen=True, gc=False):
    ended: bool = False


class Entry(NamedTuple):
    """One entry of a room's stream, decoded as far as it has to be."""

    id: EntryId
    body: Prompt | PromptState | OfferProgress
    data: bytes

    def shown_to(self, audience: Audience) -> bool:
        """May this audience see it? A prompt that waits for approval is the producer's alone."""
        match self.body:
            case OfferProgress():
                return audience == "public"
            case Prompt(audience=meant_for, state=state, approve=approve):
                if audience == "producer":
                    return meant_for == "producer" or approve
                return audience == meant_for == "host" and state != "waiting"
            case PromptState(audience=meant_for, state=state):
                if audience == "producer":
                    return True
                return audience == meant_for == "host" and state != "waiting"

    def frame(self, now_ms: int | None) -> bytes:
        """The entry as a server-sent event."""
        name = {Prompt: "prompt", PromptState: "state", OfferProgress: "offer"}[type(self.body)]
        if isinstance(self.body, OfferProgress):
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
    b"prompt": msgspec.json.Decoder(Prompt),
    b"state": msgspec.json.Decoder(PromptState),
    b"offer": msgspec.json.Decoder(OfferProgress),
}
_room_decoder = msgspec.json.Decoder(_Room)


def open_entries(entries: Iterable[Entry], now_ms: int | None) -> list[Entry]:
    """Of the entries of one audience, those still in force: prompts neither closed nor expired, offers not ended."""
    standing: dict[str, Entry] = {}
    for entry in entries:
        match entry.body:
            case Prompt(id=name, expires_ms=end_ms):
                still = True
            case PromptState(id=name, state=state):
                if state not in OPEN:
                    standing.pop(name, None)
                continue
            case OfferProgress(offer=offer, state=progress, until=end_ms):
                name, still = f"offer {offer}", progress != "ended"
            case other:
                assert_never(other)
        standing.pop(name, None)  # what is said again, a prompt issued after it waited, takes its new place
        if still and (end_ms is None or now_ms is None or end_ms > now_ms):
            standing[name] = entry
    return list(standing.values())


def read_entry(raw: tuple[bytes, Mapping[bytes, bytes]]) -> Entry | None:
    """An entry as Redis answers it; None, with a warning, for one that is not understood."""
    id_, fields = raw
    kind, data = fields.get(b"kind", b""), fields.get(b"data", b"")
    decoder = _decoders.get(kind)
    try:
        if decoder is not None:
            return Entry(read_id(id_), decoder.decode(data), data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        logger.warning("entry %s of kind %r not understood: %s", id_, kind, error)
    return None


def read_id(raw: bytes) -> EntryId:
    """The id of an entry as Redis answers it."""
    milliseconds, _, sequence = raw.partition(b"-")
    return int(milliseconds), int(sequence)


def has_ended(described: bytes | None) -> bool:
    """Is the show over, as far as this description of a room says?"""
    try:
        return described is not None and _room_decoder.decode(described).ended
    except msgspec.DecodeError:
        return False


def clock(now_ms: int | None, ended: bool, id_: EntryId | None = None) -> bytes:
    """The room's clock as a server-sent event; `id_`: a client that heard this needs nothing up to there."""
    return event_stream_frame("clock", {"now_ms": now_ms, "ended": ended}, id_)


def event_stream_frame(event: str, data: Mapping[str, Any], id_: EntryId | None) -> bytes:
    """One server-sent event."""
    head = b"" if id_ is None else b"id: %d-%d\n" % id_
    return b"event: %s\n%sdata: %s\n\n" % (event.encode(), head, msgspec.json.encode(data))
