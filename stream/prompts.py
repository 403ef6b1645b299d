"""What a room says to its people: prompts, what became of them, and the progress of an offer for the picture.

A prompt's id is its room, show, play and second, so that a replay after a crash issues the same prompts again.
A prompt that waited is given out a second time, under its id, once it is issued.
"""

from typing import Literal

from msgspec import Struct, field

from stream.numbers import Status
from stream.playbook import Audience, Class

State = Literal["issued", "shown", "done", "skipped", "expired", "superseded", "withheld", "withdrawn", "waiting"]
OfferState = Literal["ready", "running", "ended"]
OPEN: frozenset[str] = frozenset({"issued", "shown", "waiting"})


class Evidence(Struct, frozen=True, gc=False, omit_defaults=True):
    """A number a prompt rests on, and the limit it crossed where it has one."""

    number: str
    value: int | float | None
    status: Status
    limit: int | float | None = None


class Prompt(Struct, frozen=True, kw_only=True):
    """One prompt; valid in [issued_ms, expires_ms) of room time. `approve`: it waits for the producer."""

    id: str
    room: str
    play: str
    audience: Audience
    class_: Class = field(name="class")
    issued_ms: int
    expires_ms: int
    title: str
    say: str
    why: str
    evidence: tuple[Evidence, ...] = ()
    product: str | None = None
    offer: str | None = None
    approve: bool = False
    state: State = "issued"


class PromptState(Struct, frozen=True, gc=False, kw_only=True):
    """A prompt has come into another state."""

    id: str
    audience: Audience
    state: State
    at_ms: int


class OfferProgress(Struct, frozen=True, gc=False, kw_only=True):
    """How an offer stands, for viewers too; price in minor units, price and quantity as the back office set them."""

    offer: str
    product: str
    name: str
    price: int
    quantity: int | None
    sold: int
    until: int | None
    state: OfferState
    at_ms: int


Record = Prompt | PromptState | OfferProgress
