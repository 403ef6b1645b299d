"""One closed second decided: which plays hold, on what evidence, and what they say.

What costs nothing is looked at first: whether a play may hold at all, caps, cooldowns and the screen before numbers,
numbers before texts.
"""

from collections.abc import Iterable

from stream.evidence import Subject, alternative, evidence, figures, following, lookup, named, terms
from stream.expressions import Reading
from stream.offers import Offering
from stream.openings import Opening, loss_minor, plan, standing
from stream.playbook import OfferRule, Play
from stream.prompts import Evidence
from stream.signals import Signals
from stream.voice import COMPLIANCE, Sighting, Voice
from stream.wording import money

SELLING_MS = 600_000  # a product is looked at for stock plays this long after an order; their numbers look back 5 min
MAX_KEYS = 4_096  # cooldowns and once-only marks; the oldest are forgotten
_THE_ROOM = Subject()


class Decision:
    """The plays of one room looked at once, at `signals.at_ms`."""

    __slots__ = ("at_ms", "may", "memory", "signals", "voice")

    def __init__(self, voice: Voice, signals: Signals) -> None:
        self.voice = voice
        self.memory = voice.memory
        self.signals = signals
        self.at_ms = signals.at_ms
        self.may: list[int] = []

    def run(self) -> None:
        """By class: first what waits for the screen, then the plays, unless the room is off air."""
        memory = self.memory
        live = memory.show_ms is not None and not (memory.paused or memory.ended)
        if live:
            self.may = self.voice.book.sieve.may_hold(self.signals)
        for rank, plays in self.voice.book.ranked:
            if memory.board.held:
                self._release(rank)
            for place, play in plays if live else ():
                if self.may[place] or memory.due or memory.openings:
                    self._consider(play, place)

    def _release(self, rank: int) -> None:
        held = self.memory.board.next_waiting(rank)
        if held is not None and self.voice.may_show(held.prompt.class_, rank, self.at_ms):
            self.voice.out += self.memory.board.release(held, self.at_ms)

    def _consider(self, play: Play, place: int) -> None:
        memory, spec = self.memory, play.spec
        if spec.max_per_show and memory.fired.get(play.id, 0) >= spec.max_per_show and play.id not in memory.openings:
            return
        if self.at_ms - self.signals.show_ms < spec.arm_s * 1000:
            return
        if memory.quiet and play.rank > COMPLIANCE and (spec.subject == "offer" or spec.audience == ["host"]):
            return
        if spec.subject == "offer" and self._follow(play):
            return
        seen = set()
        for subject in self._subjects(play):
            key = f"{play.id} {subject.id}"
            seen.add(key)
            if memory.cooled.get(key, 0) <= self.at_ms:
                self._judge(play, place, subject, key)
        if memory.due and spec.hold_s:  # a subject that is gone for a while starts its hold again
            for key in [key for key in memory.due if key.partition(" ")[0] == play.id and key not in seen]:
                del memory.due[key]

    def _subjects(self, play: Play) -> Iterable[Subject]:
        match play.spec.subject:
            case "selling":
                return [Subject(product, own=True) for product in self._selling()]
            case "source":
                return [Subject(source=source, own=True) for source in self.signals.silent()]
            case "pinned":
                return (Subject(self.signals.pinned),)
            case _:
                return (_THE_ROOM,)

    def _selling(self) -> list[str]:
        selling = self.memory.selling
        while selling:
            oldest = next(iter(selling))
            if self.at_ms - selling[oldest] < SELLING_MS:
                break
            del selling[oldest]
        return list(selling)

    def _judge(self, play: Play, place: int, subject: Subject, key: str) -> None:
        """Let the play speak about the subject if everything is met, the cheapest first."""
        memory, spec, at_ms = self.memory, play.spec, self.at_ms
        shows = spec.approve or "producer" in spec.audience or self.voice.may_show(spec.class_, play.rank, at_ms)
        if not shows and not spec.hold_s:
            return
        if any(self._blocked(state, subject) for state in spec.blocked_by):
            memory.due.pop(key, None)
            return
        numbers = lookup(play, subject, self.signals)
        reading = Reading(numbers)
        index = alternative(play, reading) if self.may[place] else None
        if index is None:
            memory.due.pop(key, None)
            return
        mark = numbers(spec.once_per).value or 0 if spec.once_per else None
        if mark is not None and memory.marks.get(key) == mark:
            return
        if at_ms < memory.due.setdefault(key, at_ms + spec.hold_s * 1000) or not shows:
            return
        sighting = self._sighting(play, index, subject, reading)
        if self._say(play, sighting):
            self._fired(play, key, mark)

    def _blocked(self, state: str, subject: Subject) -> bool:
        offers = self.memory.offers
        if subject.product is None:
            return any(offering.state == state for offering in offers.all.values())
        return offers.of(subject.product, state) is not None

    def _fired(self, play: Play, key: str, mark: int | float | None) -> None:
        memory = self.memory
        memory.fired[play.id] = memory.fired.get(play.id, 0) + 1
        memory.due.pop(key, None)
        if play.spec.cooldown_s:
            memory.cooled.pop(key, None)
            memory.cooled[key] = self.at_ms + play.spec.cooldown_s * 1000
        if mark is not None:
            memory.marks[key] = mark
        for table in (memory.cooled, memory.marks):
            while len(table) > MAX_KEYS:
                del table[next(iter(table))]

    # --- speaking

    def _sighting(self, play: Play, index: int, subject: Subject, reading: Reading) -> Sighting:
        facts = following(subject.product, self.signals)
        if subject.product is not None:
            facts |= self._price(subject.product)
        if subject.source is not None:
            facts |= {"source": subject.source.source, "s": str(subject.source.silent_s)}
        facts |= named(subject.product, self.signals.catalogue, None)
        facts |= figures(play, index, reading, self.memory.language)
        proof = evidence(play, lookup(play, subject, self.signals), reading)
        return Sighting(facts, proof, subject.product)

    def _price(self, product: str) -> dict[str, str]:
        """What the product costs now; nothing while an offer's price is set but not yet announced."""
        offers, entry = self.memory.offers, self.signals.catalogue.get(product)
        running = offers.of(product, "running")
        if running is not None:
            return {"price": money(running.price)}
        if entry is None or entry.price is None or offers.of(product, "ready") is not None:
            return {}
        return {"price": money(entry.price)}

    def _say(self, play: Play, sighting: Sighting) -> bool:
        """Give the prompts out; False where there is nothing to say them about."""
        withhold, rule = self.voice.held_out(play, self.at_ms), play.spec.offer
        if rule is None:
            self.voice.speak(play, sighting, self.at_ms, play.spec.audience, withhold=withhold)
            return True
        opening = Opening(0, sighting.facts, sighting.evidence)
        offering = standing(rule, self.memory.offers, self.signals.catalogue)
        if offering is not None:
            self._open(play, rule, opening, offering, withhold=withhold)
            return True
        planned = plan(rule, self.signals)
        if planned is None:
            return False
        facts = sighting.facts | terms(planned.price, planned.pieces, planned.per_person, None, self.voice.book.screen)
        facts |= named(planned.product, self.signals.catalogue, planned.product)
        step = Sighting(facts, sighting.evidence, planned.product, planned.offer)
        opening.asked = self.voice.speak(play, step, self.at_ms, ["producer"], withhold=withhold)
        opening.until_ms = self.at_ms + rule.ready_within_s * 1000
        if not withhold:
            self.memory.openings[play.id] = opening
        return True

    def _follow(self, play: Play) -> bool:
        """Go on with an offer that is on its way; whether one is."""
        openings = self.memory.openings
        opening = openings.get(play.id)
        rule = play.spec.offer
        if opening is None or rule is None:
            return False
        if not opening.prompt:
            offering = standing(rule, self.memory.offers, self.signals.catalogue)
            if offering is not None and self.at_ms <= opening.until_ms:
                self.voice.out += self.memory.board.close(opening.asked, "done", self.at_ms)
                self._open(play, rule, opening, offering)
            elif self.at_ms >= opening.until_ms:
                del openings[play.id]
            return play.id in openings
        offering = self.memory.offers.all.get(opening.offer)
        if offering is None or offering.state != "ready" or opening.prompt not in self.memory.board.held:
            del openings[play.id]
        elif offering.set_ms != opening.set_ms:
            self.voice.out += self.memory.board.close(opening.prompt, "superseded", self.at_ms)
            self._open(play, rule, opening, offering)
        return play.id in openings

    def _open(
        self, play: Play, rule: OfferRule, opening: Opening, offering: Offering, *, withhold: bool = False
    ) -> None:
        """The host's step: price and stock are set. An offer over the loss limit is recorded and not shown."""
        screen, catalogue = self.voice.book.screen, self.signals.catalogue
        facts = {name: value for name, value in opening.facts.items() if name != "product"}
        facts |= terms(offering.price, offering.quantity, offering.per_person, offering.until, screen)
        facts |= named(offering.product, catalogue, None)
        proof, loss = opening.evidence, loss_minor(rule, offering, catalogue)
        if loss is not None and loss > rule.max_loss:
            proof += (Evidence("loss_minor", loss, "ok", rule.max_loss),)
            withhold = True
        step = Sighting(facts, proof, offering.product, offering.offer)
        opening.prompt = self.voice.speak(play, step, self.at_ms, ["host"], withhold=withhold)
        opening.offer, opening.set_ms = offering.offer, offering.set_ms
        self.memory.openings[play.id] = opening
