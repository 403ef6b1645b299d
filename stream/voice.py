"""Gives a play's prompt out: its id, its words, and whether it is shown now, waits, or is withheld."""

import zlib

import msgspec
from msgspec import Struct

from stream.board import Board
from stream.offers import Offers
from stream.openings import Opening
from stream.playbook import RANK, Audience, Play, Playbook
from stream.prompts import Evidence, Prompt, Record, State

WITHHELD = frozenset({"offer", "talk"})  # the hold-out never touches facts, crises and compliance
COMPLIANCE = RANK["compliance"]


class Memory(Struct):
    """All a desk remembers. Keys of `due`, `cooled` and `marks` are `<play> <subject>`.

    `due`: when a condition that holds will have held long enough; `cooled`: until when a play rests; `marks`: the
    number it speaks once for; `ids`: the last second and count of a play's prompts; `selling`: products by last order.
    """

    language: str
    show_ms: int | None = None
    now_ms: int = 0
    paused: bool = False
    ended: bool = False
    quiet: bool = False
    override: str = ""
    unknown: int = 0
    board: Board = msgspec.field(default_factory=Board)
    offers: Offers = msgspec.field(default_factory=Offers)
    openings: dict[str, Opening] = {}
    due: dict[str, int] = {}
    cooled: dict[str, int] = {}
    marks: dict[str, int | float] = {}
    fired: dict[str, int] = {}
    arrived: list[str] = []
    ids: dict[str, tuple[int, int]] = {}
    stocked: dict[str, None] = {}
    selling: dict[str, int] = {}


class Sighting(Struct, frozen=True):
    """A play that is to speak: what about, with which figures, on which evidence."""

    facts: dict[str, str] = {}
    evidence: tuple[Evidence, ...] = ()
    product: str | None = None
    offer: str | None = None


class Voice:
    """Speaks for one room; `out` holds what was said since the last drain."""

    __slots__ = ("book", "memory", "out", "room")

    def __init__(self, room: str, book: Playbook, memory: Memory) -> None:
        self.room = room
        self.book = book
        self.memory = memory
        self.out: list[Record] = []

    def may_show(self, class_: str, rank: int, at_ms: int, *, newest_wins: bool = False) -> bool:
        """Whether the screen may take a host prompt now; a running sale is never interrupted by an offer."""
        memory = self.memory
        if memory.quiet and rank > COMPLIANCE:
            return False
        if class_ == "offer" and next(memory.offers.standing("running"), None) is not None:
            return False
        return memory.board.free(rank, at_ms, self.book.screen.gap_s * 1000, newest_wins)

    def held_out(self, play: Play, at_ms: int) -> bool:
        """Whether this firing falls to the hold-out: decided by room, show, play and second alone."""
        share = self.book.screen.withhold_pct
        if not share or play.spec.class_ not in WITHHELD:
            return False
        return zlib.crc32(f"{self.room}~{self.memory.show_ms}~{play.id}~{at_ms}".encode()) % 100 < share

    def speak(
        self,
        play: Play,
        sighting: Sighting,
        at_ms: int,
        audiences: list[Audience],
        ttl_s: int | None = None,
        *,
        withhold: bool = False,
    ) -> str:
        """Issue the play's prompt to each audience; the id of the last."""
        stem, repeat = self._stem(play.id, at_ms)
        id_ = ""
        for audience in audiences:
            suffix = f"~{audience}" if len(play.spec.audience) > 1 else ""
            id_ = f"{stem}{suffix}{repeat}"
            state, approved = self._state(play, audience, at_ms, withhold)
            prompt = self._prompt(play, id_, audience, sighting, at_ms, (ttl_s or play.spec.ttl_s) * 1000, state)
            self.out += self.memory.board.put(prompt, play.rank, approved=approved)
        return id_

    def _stem(self, play: str, at_ms: int) -> tuple[str, str]:
        """The id of the next prompt of a play, without its audience; never the same twice in a room."""
        last_s, count = self.memory.ids.get(play, (0, 0))
        second = max(at_ms // 1000, last_s)
        count = count + 1 if second == last_s else 1
        self.memory.ids[play] = (second, count)
        return f"{self.room}~{self.memory.show_ms or 0}~{play}~{second}", f"~{count}" if count > 1 else ""

    def _state(self, play: Play, audience: str, at_ms: int, withhold: bool) -> tuple[State, bool]:
        """The state a new prompt begins in, and whether only the screen keeps it waiting."""
        memory, spec = self.memory, play.spec
        if audience == "producer":
            return ("withheld" if withhold else "issued"), True
        if withhold or memory.ended or (memory.quiet and play.rank > COMPLIANCE):
            return "withheld", False
        if spec.approve:
            return "waiting", False
        free = self.may_show(spec.class_, play.rank, at_ms, newest_wins=spec.on == "arrival")
        return ("issued" if free else "waiting"), True

    def _prompt(
        self, play: Play, id_: str, audience: Audience, sighting: Sighting, at_ms: int, ttl_ms: int, state: State
    ) -> Prompt:
        text = play.text(self.memory.language, audience)
        facts = sighting.facts
        if sighting.product is not None and "product" not in facts:
            nameless = self.book.screen.nameless.get(self.memory.language)
            facts = facts | {"product": sighting.product if audience == "producer" else nameless or sighting.product}
        title = next((title for title in text.titles if title.known(facts)), text.titles[-1])
        return Prompt(
            id=id_,
            room=self.room,
            play=play.id,
            audience=audience,
            class_=play.spec.class_,
            issued_ms=at_ms,
            expires_ms=at_ms + ttl_ms,
            title=title.fill(facts) or play.id,
            say=text.say.fill(facts),
            why=text.why.fill(facts),
            evidence=sighting.evidence,
            product=sighting.product,
            offer=sighting.offer,
            approve=play.spec.approve and audience == "host",
            state=state,
        )
