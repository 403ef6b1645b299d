"""Which prompt a room gets now: plays are decided once a second, answers and offers are followed.

Everything a decision rests on is in Memory and in the arguments, so a restored desk goes on as the first would have.
Answers, offers and modes come in here; the plays are in decision.py, the words in voice.py.
"""

from typing import Any, ClassVar

import msgspec

from stream import events as ev
from stream.decision import Decision
from stream.errors import PlaybookError
from stream.events import RoomEvent
from stream.offers import Sale
from stream.playbook import Playbook
from stream.prompts import OfferProgress, Prompt, PromptState, Record, State
from stream.signals import Signals
from stream.voice import COMPLIANCE, Memory, Sighting, Voice

IDLE_MAX_MS = 7_200_000  # an offer set to end next week must not keep a silent room awake
MAX_STOCKED = 20_000  # products with stock readings that are remembered; stock plays leave the rest alone
MAX_ARRIVED = 256  # events given at arrival whose second has not closed; a second holds a handful
_BACK_ON_AIR = (ev.HostSpeech, ev.SceneStart, ev.ProductPin)  # no event says that a pause is over
_KINDS: dict[str, type[Record]] = {"prompt": Prompt, "state": PromptState, "offer": OfferProgress}


class Desk:
    """The plays and prompts of one room."""

    LISTENS: ClassVar[frozenset[type]] = frozenset(
        {ev.RoomStart, ev.RoomPause, ev.RoomEnd, *_BACK_ON_AIR}
        | {ev.OfferReady, ev.OfferStart, ev.OfferStop, ev.StockLevel}
        | {ev.PromptShown, ev.PromptDone, ev.PromptSkipped, ev.PromptApprove, ev.PromptWithdraw, ev.PromptSend}
        | {ev.ModeSet, ev.PlaybookSet, ev.Violation}
    )

    ARRIVES: ClassVar[frozenset[type]] = frozenset({ev.PromptSend, ev.Violation})

    def __init__(self, room: str, playbook: Playbook, language: str) -> None:
        self._default = playbook
        self._voice = Voice(room, playbook, Memory(language))

    @property
    def unknown_prompts(self) -> int:
        """Answers to prompts this room never had, or no longer remembers."""
        return self._voice.memory.unknown

    # --- the show

    def start_show(self, show_ms: int) -> None:
        """Begin afresh at `show_ms`: earlier prompts are superseded; the room's playbook and offers just set stay."""
        old = self._voice.memory
        for held in list(old.board.held.values()):
            if held.prompt.issued_ms < show_ms:
                self._voice.out += old.board.close(held.prompt.id, "superseded", show_ms)
        old.offers.new_show(show_ms)
        self._voice.memory = Memory(
            old.language,
            show_ms,
            old.now_ms,
            override=old.override,
            unknown=old.unknown,
            board=old.board,
            offers=old.offers,
            arrived=old.arrived,
            ids=old.ids,
            stocked=old.stocked,
        )

    def take(self, event: RoomEvent, at_ms: int) -> None:
        """An event of the second that ends at `at_ms`, in the order of event time; a straggler counts as of now."""
        memory = self._voice.memory
        at_ms = max(at_ms, memory.now_ms)
        match event:
            case ev.StockLevel():
                if len(memory.stocked) < MAX_STOCKED:
                    memory.stocked[event.product] = None
            case ev.OfferReady() | ev.OfferStart() | ev.OfferStop():
                self._offer(event, at_ms)
            case ev.PromptShown() | ev.PromptDone() | ev.PromptSkipped() | ev.PromptApprove() | ev.PromptWithdraw():
                self._answer(event, at_ms)
            case ev.RoomPause():
                memory.paused, memory.due = True, {}
                self._clear_host("withdrawn", at_ms)
            case ev.RoomEnd():
                memory.ended, memory.due, memory.openings = True, {}, {}
                self._clear_host("withdrawn", at_ms)
                for offering in list(memory.offers.all.values()):
                    memory.offers.stop(offering.offer, event.ts, at_ms)
            case ev.RoomStart():
                memory.paused = False
                self._speak((event.locale or "").replace("_", "-").partition("-")[0].lower())
            case ev.ModeSet():
                memory.quiet = event.mode == "quiet"
                if memory.quiet:
                    memory.due = {}
                    self._clear_host("withdrawn", at_ms, above=COMPLIANCE)
            case ev.PlaybookSet():
                self._set_playbook(event.playbook, at_ms)
            case ev.HostSpeech() | ev.SceneStart() | ev.ProductPin():
                memory.paused = False
            case ev.PromptSend() | ev.Violation():
                if _mark(event) in memory.arrived:
                    memory.arrived.remove(_mark(event))
                else:
                    self._hear(event, at_ms)
            case _:
                pass

    def arrive(self, event: RoomEvent, at_ms: int) -> None:
        """An event just in, before its second closes; what is asked for on arrival is given at once, and only once."""
        if self._hear(event, at_ms):
            arrived = self._voice.memory.arrived
            arrived.append(_mark(event))
            del arrived[:-MAX_ARRIVED]

    def _hear(self, event: RoomEvent, at_ms: int) -> bool:
        match event:
            case ev.PromptSend():
                self._at_once("prompt.send", {"title": event.title, "text": event.say}, at_ms, event.ttl_s)
            case ev.Violation():
                self._at_once("violation", {"text": event.text}, at_ms)
            case _:
                return False
        return True

    def _at_once(self, kind: str, facts: dict[str, str], at_ms: int, ttl_s: int | None = None) -> None:
        play = self._voice.book.arrivals.get(kind)
        if play is not None:
            self._voice.speak(play, Sighting(facts), at_ms, play.spec.audience, ttl_s)

    def _speak(self, language: str) -> None:
        if language in self._voice.book.languages:
            self._voice.memory.language = language

    def _set_playbook(self, text: str, at_ms: int) -> None:
        try:
            self._voice.book = self._default.override(text)
        except PlaybookError as error:
            self._at_once("playbook.set", {"text": str(error)}, at_ms)
        else:
            self._voice.memory.override = text

    def _clear_host(self, state: State, at_ms: int, above: int = -1) -> None:
        board = self._voice.memory.board
        for held in list(board.held.values()):
            if held.prompt.audience == "host" and held.rank > above:
                self._voice.out += board.close(held.prompt.id, state, at_ms)

    # --- answers and offers

    def _answer(
        self,
        event: ev.PromptShown | ev.PromptDone | ev.PromptSkipped | ev.PromptApprove | ev.PromptWithdraw,
        at_ms: int,
    ) -> None:
        board = self._voice.memory.board
        prompt = board.known(event.prompt)
        if prompt is None:
            self._voice.memory.unknown += 1
            return
        match event:
            case ev.PromptShown():
                self._voice.out += board.shown(prompt.id, at_ms)
            case ev.PromptDone():
                records = board.done(prompt.id, at_ms)
                self._voice.out += records
                if records and prompt.audience == "host" and prompt.offer is not None:
                    self._voice.memory.offers.start(prompt.offer, at_ms)
                    self._settle(prompt.offer, "superseded", at_ms)
            case ev.PromptSkipped():
                self._voice.out += board.close(prompt.id, "skipped", at_ms)
                self._give_up(prompt.id)
            case ev.PromptApprove():
                if prompt.approve:
                    board.approve(prompt.id, at_ms)
            case ev.PromptWithdraw():
                self._voice.out += board.close(prompt.id, "withdrawn", at_ms)
                self._give_up(prompt.id)

    def _give_up(self, asked: str) -> None:
        """The producer will not set this offer."""
        openings = self._voice.memory.openings
        for play, opening in list(openings.items()):
            if opening.asked == asked and not opening.prompt:
                del openings[play]

    def _offer(self, event: ev.OfferReady | ev.OfferStart | ev.OfferStop, at_ms: int) -> None:
        memory = self._voice.memory
        match event:
            case ev.OfferReady():
                memory.offers.ready(event, at_ms)
            case ev.OfferStart():
                memory.paused = False
                if memory.offers.start(event.offer, at_ms):
                    self._settle(event.offer, "done", at_ms)
            case ev.OfferStop():
                if memory.offers.stop(event.offer, event.ts, at_ms):
                    self._settle(event.offer, "withdrawn", at_ms)

    def _settle(self, offer: str, state: State, at_ms: int) -> None:
        """Close the host prompts of an offer that was opened without an answer, or is over."""
        board = self._voice.memory.board
        for held in list(board.held.values()):
            if held.prompt.offer == offer and held.prompt.audience == "host":
                seen = held.prompt.state != "waiting"
                self._voice.out += board.close(held.prompt.id, state if seen else "superseded", at_ms)

    @property
    def counts_sales(self) -> bool:
        """Whether a sale is of any interest here."""
        return bool(self._voice.memory.offers.all or self._voice.memory.stocked)

    def sold(self, sale: Sale, at_ms: int) -> None:
        """A sale of the second that ends at `at_ms`, after all that was taken of it."""
        memory = self._voice.memory
        at_ms = max(at_ms, memory.now_ms)
        memory.offers.sell(sale, at_ms)
        if sale.product in memory.stocked:
            memory.selling.pop(sale.product, None)
            memory.selling[sale.product] = at_ms

    # --- deciding

    def decide(self, signals: Signals) -> None:
        """Decide the second that ends at `signals.at_ms`; its events were taken before."""
        memory, at_ms = self._voice.memory, signals.at_ms
        memory.now_ms = max(memory.now_ms, at_ms)
        if memory.board.held:
            self._voice.out += memory.board.expire(at_ms)
        for offer in memory.offers.over(at_ms):
            self._settle(offer, "withdrawn", at_ms)
        if self._voice.book.decided or memory.board.held:
            Decision(self._voice, signals).run()
        if memory.offers.changed:
            self._voice.out += memory.offers.progress(signals.catalogue)

    # --- what goes out, and what is kept

    def drain(self) -> list[Record]:
        """What has come out since the last call, in order."""
        out, self._voice.out = self._voice.out, []
        return out

    def idle_after_ms(self) -> int:
        """Nothing here changes by time alone after this moment; 0 where nothing is alive."""
        memory = self._voice.memory
        ends = [*memory.due.values(), *memory.cooled.values()]
        ends += [held.prompt.expires_ms for held in memory.board.held.values()]
        ends += [opening.until_ms for opening in memory.openings.values()]
        ends += [
            offering.until for offering in memory.offers.all.values() if offering.until and offering.state != "ended"
        ]
        if memory.board.left_ms is not None:
            ends.append(memory.board.left_ms + self._voice.book.screen.gap_s * 1000)
        if memory.offers.changed:
            ends.append(memory.now_ms + 1_000)
        return min(max(ends, default=0), memory.now_ms + IDLE_MAX_MS)

    def snapshot(self) -> dict[str, Any]:
        """The whole state as plain data."""
        out = [(kind, record) for record in self._voice.out for kind, cls in _KINDS.items() if isinstance(record, cls)]
        return {"memory": msgspec.to_builtins(self._voice.memory), "out": msgspec.to_builtins(out)}

    def restore(self, state: dict[str, Any]) -> None:
        """As it stood when `state` was taken; changes to the playbook that are no longer valid are reported again."""
        self._voice.memory = msgspec.convert(state["memory"], Memory)
        self._voice.out = [msgspec.convert(record, _KINDS[kind]) for kind, record in state["out"]]
        self._voice.book = self._default
        if self._voice.memory.override:
            self._set_playbook(self._voice.memory.override, self._voice.memory.now_ms)


def _mark(event: RoomEvent) -> str:
    return msgspec.json.encode(event).decode()
