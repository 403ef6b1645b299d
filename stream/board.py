"""The prompts of a room that are open: one host prompt on the screen at a time, several to the producer.

A host prompt that may not be shown yet waits here, until it is approved and the screen is free or its time is over.
"""

from msgspec import Struct
from msgspec.structs import replace

from stream.playbook import URGENT_RANK, Audience
from stream.prompts import OPEN, Prompt, PromptState, Record, State

MAX_PRODUCER_PROMPTS = 20  # nobody reads more; the oldest gives way
MAX_WAITING = 20  # host prompts that wait for the screen or for approval; likewise
MAX_CLOSED = 32  # prompts that can still be answered after they closed: a host is slower than a countdown


class Held(Struct):
    """An open prompt, how urgent it is, and whether it only waits for the screen."""

    prompt: Prompt
    rank: int
    approved: bool = False


class Closed(Struct, frozen=True):
    """What is kept of a closed prompt: a snapshot is written every few seconds, and texts are long."""

    id: str
    audience: Audience
    state: State
    offer: str | None = None
    approve: bool = False


class Board(Struct):
    """Open prompts and the last closed ones by id; `left_ms`: when a host prompt last left the screen."""

    held: dict[str, Held] = {}
    closed: dict[str, Closed] = {}
    left_ms: int | None = None

    def on_screen(self) -> Held | None:
        """The host prompt that is on the screen."""
        for held in self.held.values():
            if held.prompt.audience == "host" and held.prompt.state != "waiting":
                return held
        return None

    def free(self, rank: int, at_ms: int, gap_ms: int, newest_wins: bool = False) -> bool:
        """Whether a host prompt of this rank may take the screen now."""
        current = self.on_screen()
        if current is not None:
            return rank < current.rank or (newest_wins and rank == current.rank)
        return rank <= URGENT_RANK or self.left_ms is None or at_ms - self.left_ms >= gap_ms

    def put(self, prompt: Prompt, rank: int, *, approved: bool = False) -> list[Record]:
        """Take a prompt in the state it carries; what it displaces is superseded."""
        out: list[Record] = []
        if prompt.state in OPEN:
            out += self._make_room(prompt)
            self.held[prompt.id] = Held(prompt, rank, approved)
        out.append(prompt)
        return out

    def _make_room(self, prompt: Prompt) -> list[Record]:
        at_ms = prompt.issued_ms
        alike = [
            held.prompt.id
            for held in self.held.values()
            if held.prompt.audience == prompt.audience
            and (held.prompt.state == "waiting") == (prompt.state == "waiting")
        ]
        if prompt.audience == "host" and prompt.state != "waiting":
            keep = 0
        else:
            keep = (MAX_WAITING if prompt.state == "waiting" else MAX_PRODUCER_PROMPTS) - 1
        return [record for id_ in alike[: max(len(alike) - keep, 0)] for record in self.close(id_, "superseded", at_ms)]

    def close(self, id_: str, state: State, at_ms: int) -> list[Record]:
        """Take a prompt off; nothing if it is not open."""
        held = self.held.pop(id_, None)
        if held is None:
            return []
        if held.prompt.audience == "host" and held.prompt.state != "waiting":
            self.left_ms = max(at_ms, self.left_ms or at_ms)
        prompt = held.prompt
        return [self._remember(Closed(prompt.id, prompt.audience, state, prompt.offer), at_ms)]

    def _remember(self, prompt: Closed, at_ms: int) -> PromptState:
        self.closed.pop(prompt.id, None)
        self.closed[prompt.id] = prompt
        while len(self.closed) > MAX_CLOSED:
            del self.closed[next(iter(self.closed))]
        return PromptState(id=prompt.id, audience=prompt.audience, state=prompt.state, at_ms=at_ms)

    def expire(self, at_ms: int) -> list[Record]:
        """Close what is no longer valid at `at_ms`, each at the moment its time was over."""
        over = [held.prompt for held in self.held.values() if held.prompt.expires_ms <= at_ms]
        return [record for prompt in over for record in self.close(prompt.id, "expired", prompt.expires_ms)]

    def shown(self, id_: str, at_ms: int) -> list[Record]:
        """It was put up before somebody's eyes."""
        held = self.held.get(id_)
        if held is None or held.prompt.state != "issued":
            return []
        held.prompt = replace(held.prompt, state="shown")
        return [PromptState(id=id_, audience=held.prompt.audience, state="shown", at_ms=at_ms)]

    def done(self, id_: str, at_ms: int) -> list[Record]:
        """It was acted on; a prompt that expired or was replaced a moment before counts too."""
        late = self.closed.get(id_)
        if late is not None and late.state in ("expired", "superseded"):
            return [self._remember(replace(late, state="done"), at_ms)]
        return self.close(id_, "done", at_ms)

    def approve(self, id_: str, at_ms: int) -> None:
        """A prompt that waits for the producer now waits for the screen alone, for its whole time again."""
        held = self.held.get(id_)
        if held is not None and held.prompt.state == "waiting" and not held.approved:
            ttl_ms = held.prompt.expires_ms - held.prompt.issued_ms
            held.approved = True
            held.prompt = replace(held.prompt, issued_ms=at_ms, expires_ms=at_ms + ttl_ms)

    def next_waiting(self, rank: int) -> Held | None:
        """The first approved prompt of this rank that waits for the screen."""
        for held in self.held.values():
            if held.approved and held.rank == rank and held.prompt.state == "waiting":
                return held
        return None

    def release(self, held: Held, at_ms: int) -> list[Record]:
        """Put a waiting prompt on the screen, valid for its whole time from now."""
        del self.held[held.prompt.id]
        ttl_ms = held.prompt.expires_ms - held.prompt.issued_ms
        prompt = replace(held.prompt, state="issued", issued_ms=at_ms, expires_ms=at_ms + ttl_ms)
        return self.put(prompt, held.rank, approved=True)

    def known(self, id_: str) -> Prompt | Closed | None:
        """An open prompt, or one of the last closed."""
        held = self.held.get(id_)
        return held.prompt if held is not None else self.closed.get(id_)
