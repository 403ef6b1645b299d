"""The playbook: plays as data, checked whole at load, so that a typing error is found before a show and not in it.

`[screen]` holds what concerns the host's screen, `[plays.<id>]` one play each; see playbook.toml.
The text of a room's changes merges over it; a Playbook never changes, unchanged plays are shared between rooms.
"""

import math
import re
import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct, field

from stream.errors import PlaybookError
from stream.expressions import Condition, ExpressionError, Expressions, Figure
from stream.sieve import Sieve
from stream.signals import PRODUCT_SIGNALS, ROOM_SIGNALS
from stream.wording import Wording

T = TypeVar("T")
Audience = Literal["host", "producer"]
Class = Literal["compliance", "crisis", "stock", "offer", "talk"]
Subject = Literal["room", "pinned", "selling", "offer", "source"]
Arrival = Literal["prompt.send", "violation", "playbook.set"]
Seconds = Annotated[int, Meta(ge=0, le=86_400)]

RANK: Mapping[str, int] = {name: rank for rank, name in enumerate(get_args(Class))}
URGENT_RANK = RANK["crisis"]  # up to here nothing waits for the gap between host prompts
MAX_PLAYS = 200  # ours are about 30; every one is looked at once a second
# What texts may name besides a play's own facts and words; each is known only where it makes sense.
FACTS: Mapping[str, str] = {
    "product": "the product's name",
    "price": "its price, of the offer where the play has one",
    "next": "the next product of the rundown that is not sold out",
    "n": "pieces of the offer",
    "k": "pieces a person of the offer",
    "time": "when the offer ends",
    "source": "the silent source",
    "s": "seconds of silence",
    "title": "headline of a prompt sent by hand",
    "text": "text of a prompt sent by hand, a platform's reason, or an error",
}
_WHAT_TO_DO = "correct this line and load the playbook again"


class Screen(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds for all host prompts; the gap runs from one prompt leaving the screen to the next."""

    gap_s: Seconds = 20
    utc_offset_min: Annotated[int, Meta(ge=-720, le=840)] = 480
    withhold_pct: Annotated[int, Meta(ge=0, le=50)] = 0  # the hold-out, of offers and talk; over half would be no help
    nameless: dict[str, str] = {}  # what the host calls a product without a name, by language


class Texts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one audience reads; of several titles the first whose figures are all known is taken."""

    title: str | list[str]
    say: str = ""
    why: str = ""


class OfferRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which offer a play may open; `max_loss` in minor units against the list price."""

    kind: str = "flash"
    role: str = "traffic"
    max_pieces: Annotated[int, Meta(ge=1, le=10**6)] = 100
    max_loss: Annotated[int, Meta(ge=0, le=10**9)] = 500_000
    ready_within_s: Seconds = 120


class Spec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A play as it is written."""

    audience: Annotated[list[Audience], Meta(min_length=1, max_length=2)]
    class_: Class = field(name="class")
    say: dict[str, dict[Audience, Texts]]
    when: list[str] = []
    unless: list[str] = []
    on: Literal["second", "arrival"] = "second"
    event: Arrival | None = None
    subject: Subject = "room"
    hold_s: Seconds = 0
    arm_s: Seconds = 0
    cooldown_s: Seconds = 0
    ttl_s: Annotated[int, Meta(ge=1, le=3_600)] = 60
    max_per_show: Annotated[int, Meta(ge=0)] = 0
    approve: bool = False
    enabled: bool = True
    once_per: str = ""
    blocked_by: list[Literal["ready", "running"]] = []
    offer: OfferRule | None = None
    params: dict[str, int | float] = {}
    facts: dict[str, str | list[str]] = {}
    words: dict[str, dict[str, str | list[str]]] = {}
    evidence: list[str] = []
    limits: dict[str, str] = {}
    effect: str = ""


class AudienceText(Struct, frozen=True):
    """Texts, cut into clauses."""

    titles: tuple[Wording, ...]
    say: Wording
    why: Wording


class Play(Struct, frozen=True, kw_only=True):
    """A play ready to be decided; figures and words per alternative are indexed like `when`.

    `rank` 0 pre-empts all others; what comes on arrival (a person or the platform asks) yields to compliance only.
    """

    id: str
    spec: Spec
    rank: int
    product_names: frozenset[str]
    when: tuple[Condition, ...]
    unless: tuple[Condition, ...]
    facts: Mapping[str, tuple[Figure, ...]]
    limits: Mapping[str, Figure]
    texts: Mapping[tuple[str, str], AudienceText]

    def text(self, language: str, audience: str) -> AudienceText:
        """In the language asked for, else in the first the play is written in."""
        found = self.texts.get((language, audience))
        return found or next(text for (_, whom), text in self.texts.items() if whom == audience)

    def words(self, language: str, alternative: int) -> dict[str, str]:
        """The play's own words, for the alternative that held."""
        own = self.spec.words.get(language) or next(iter(self.spec.words.values()), {})
        return {name: word if isinstance(word, str) else word[alternative] for name, word in own.items()}


class Playbook:
    """All plays of a room, in the order they are decided: by class, then as written.

    `ranked` has them by class, each with its place among all, and that is its place in `sieve`.
    """

    def __init__(self, raw: dict[str, Any], names: "_Names", screen: Screen, plays: Mapping[str, Play]) -> None:
        self._raw = raw
        self._names = names
        self.screen = screen
        self.plays = plays
        live = [play for play in plays.values() if play.spec.enabled]
        self.decided = tuple(sorted((p for p in live if p.spec.on == "second"), key=lambda play: play.rank))
        placed = tuple(enumerate(self.decided))
        self.ranked = tuple((rank, tuple(one for one in placed if one[1].rank == rank)) for rank in RANK.values())
        self.sieve = Sieve(
            [[condition.words for condition in play.when] for play in self.decided],
            [names.room - play.product_names for play in self.decided],
        )
        self.arrivals: Mapping[str, Play] = {p.spec.event: p for p in live if p.spec.on == "arrival" and p.spec.event}

    @classmethod
    def load(cls, text: str, *, room: Collection[str], product: Collection[str]) -> "Playbook":
        """A playbook from its text. `room` and `product`: number keys besides the signals. Raises PlaybookError."""
        names = _Names(frozenset(room) | ROOM_SIGNALS.keys(), frozenset(product) | PRODUCT_SIGNALS.keys())
        return _build(_parse(text), names, None)

    def override(self, text: str) -> "Playbook":
        """This playbook with a room's changes: tables merge, other values replace. Raises PlaybookError."""
        return _build(_merge(self._raw, _parse(text)), self._names, self)

    @property
    def languages(self) -> frozenset[str]:
        """Languages at least one play is written in."""
        return frozenset(language for play in self.plays.values() for language, _ in play.texts)


class _Names(Struct, frozen=True):
    room: frozenset[str]
    product: frozenset[str]


def _parse(text: str) -> dict[str, Any]:
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlaybookError(f"the playbook is not TOML: {error}; {_WHAT_TO_DO}") from None
    for key in raw.keys() - {"screen", "plays"}:
        raise _wrong("", key, f"unknown table{_nearest(key, ('screen', 'plays'))}")
    plays = raw.get("plays", {})
    if not isinstance(plays, dict) or not all(isinstance(play, dict) for play in plays.values()):
        raise _wrong("", "plays", "every play is a table `[plays.<id>]`")
    if not isinstance(raw.get("screen", {}), dict):
        raise _wrong("", "screen", "is a table")
    return raw


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return merged


def _build(raw: dict[str, Any], names: _Names, before: Playbook | None) -> Playbook:
    table: dict[str, dict[str, Any]] = raw.get("plays", {})
    if len(table) > MAX_PLAYS:
        raise PlaybookError(f"the playbook has {len(table)} plays, at most {MAX_PLAYS} are allowed; remove some")
    screen = _convert("", raw.get("screen", {}), Screen)
    plays = {}
    for play_id, source in table.items():
        same = before is not None and before._raw.get("plays", {}).get(play_id) == source
        plays[play_id] = before.plays[play_id] if before and same else _play(play_id, source, names)
    answered: dict[str, str] = {}
    for play in plays.values():
        if play.spec.event and play.spec.enabled and answered.setdefault(play.spec.event, play.id) != play.id:
            raise _wrong(play.id, "event", f"`{play.spec.event}` is answered by `{answered[play.spec.event]}` already")
    return Playbook(raw, names, screen, plays)


def _play(play_id: str, source: dict[str, Any], names: _Names) -> Play:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", play_id):
        raise _wrong(play_id, "id", "an id is lower-case letters, digits and _")
    spec = _convert(play_id, source, Spec)
    _check_shape(play_id, spec)
    of_product = names.product if spec.subject in ("pinned", "selling") else frozenset()
    known = names.room | of_product
    known = known | {"silent_s", "since_ms"} if spec.subject == "source" else known
    for name in spec.params.keys() & known:
        raise _wrong(play_id, f"params.{name}", "is the name of a number; choose another")
    for name, value in spec.params.items():
        if not name.isidentifier() or not math.isfinite(value):
            raise _wrong(play_id, f"params.{name}", "is a plain name with a finite number")
    for where, name in [*(("evidence", n) for n in spec.evidence), ("once_per", spec.once_per)]:
        if name and name not in known:
            raise _wrong(play_id, where, f"unknown number `{name}`{_nearest(name, known)}")
    if spec.effect and spec.effect not in names.room | names.product:
        near = _nearest(spec.effect, names.room | names.product)
        raise _wrong(play_id, "effect", f"unknown number `{spec.effect}`{near}")
    for name in spec.limits.keys() - set(spec.evidence):
        raise _wrong(play_id, f"limits.{name}", f"is not among the evidence{_nearest(name, spec.evidence)}")
    maker = Expressions(known, spec.params)
    return Play(
        id=play_id,
        spec=spec,
        rank=RANK[spec.class_] if spec.on == "second" else min(RANK[spec.class_], RANK["crisis"]),
        product_names=of_product,
        when=tuple(_condition(maker, play_id, f"when[{i}]", text) for i, text in enumerate(spec.when)),
        unless=tuple(_condition(maker, play_id, f"unless[{i}]", text) for i, text in enumerate(spec.unless)),
        facts={name: _figures(maker, play_id, name, text) for name, text in spec.facts.items()},
        limits={name: _figure(maker, play_id, f"limits.{name}", text) for name, text in spec.limits.items()},
        texts=_texts(play_id, spec),
    )


def _check_shape(play_id: str, spec: Spec) -> None:
    """What the types of single fields cannot say."""
    if spec.on == "arrival" and (spec.event is None or spec.when):
        raise _wrong(play_id, "on", 'a play on = "arrival" has an `event` and no `when`')
    if spec.on == "second" and not spec.when:
        raise _wrong(play_id, "when", "a play needs at least one alternative")
    if (spec.subject == "offer") != (spec.offer is not None):
        raise _wrong(play_id, "offer", 'a play with subject = "offer", and no other, has a table `offer`')
    if spec.subject == "offer" and set(spec.audience) != {"host", "producer"}:
        raise _wrong(play_id, "audience", "an offer goes to the producer first, then to the host: name both")
    if len(set(spec.audience)) < len(spec.audience):
        raise _wrong(play_id, "audience", "names somebody twice")
    if not spec.say:
        raise _wrong(play_id, "say", "has no language")
    for language, by_audience in spec.say.items():
        for audience in set(spec.audience) - by_audience.keys():
            raise _wrong(play_id, f"say.{language}", f"has no text for the {audience}")
    values = [("facts", spec.facts), *((f"words.{language}", words) for language, words in spec.words.items())]
    for where, table in values:
        for name, value in table.items():
            if isinstance(value, list) and len(value) != max(len(spec.when), 1):
                raise _wrong(play_id, f"{where}.{name}", f"has {len(value)} entries for {len(spec.when)} alternatives")


def _texts(play_id: str, spec: Spec) -> dict[tuple[str, str], AudienceText]:
    texts: dict[tuple[str, str], AudienceText] = {}
    for language, by_audience in spec.say.items():
        allowed = FACTS.keys() | spec.facts.keys() | spec.words.get(language, {}).keys()
        for audience, written in by_audience.items():
            where = f"say.{language}.{audience}"
            titles = [written.title] if isinstance(written.title, str) else written.title
            if not titles or not all(titles):
                raise _wrong(play_id, f"{where}.title", "is empty")
            texts[language, audience] = AudienceText(
                tuple(_wording(play_id, f"{where}.title", title, allowed) for title in titles),
                _wording(play_id, f"{where}.say", written.say, allowed),
                _wording(play_id, f"{where}.why", written.why, allowed),
            )
    return texts


def _wording(play_id: str, where: str, text: str, allowed: Collection[str]) -> Wording:
    try:
        wording = Wording(text)
    except ValueError as error:
        raise _wrong(play_id, where, f"cannot be read: {error}") from None
    for name in sorted(wording.names - set(allowed)):
        raise _wrong(play_id, where, f"unknown figure `{{{name}}}`{_nearest(name, allowed)}")
    return wording


def _condition(maker: Expressions, play_id: str, where: str, text: str) -> Condition:
    try:
        return maker.condition(text)
    except ExpressionError as error:
        raise _wrong(play_id, where, f"`{text[:120]}` {error}") from None


def _figure(maker: Expressions, play_id: str, where: str, text: str) -> Figure:
    try:
        return maker.figure(text)
    except ExpressionError as error:
        raise _wrong(play_id, where, f"`{text[:120]}` {error}") from None


def _figures(maker: Expressions, play_id: str, name: str, text: str | list[str]) -> tuple[Figure, ...]:
    texts = [text] if isinstance(text, str) else text
    return tuple(_figure(maker, play_id, f"facts.{name}", one) for one in texts)


def _convert(play_id: str, source: object, wanted: type[T]) -> T:
    try:
        return msgspec.convert(source, wanted)
    except msgspec.ValidationError as error:
        raise _explained(play_id, str(error)) from None


def _explained(play_id: str, problem: str) -> PlaybookError:
    """A decoder's words with our field names, and the nearest valid one."""
    text, _, path = problem.partition(" - at `$")
    place = path.strip("`.").replace("[...]", "") or "table"
    fields = [name for kind in (Spec, Screen, Texts, OfferRule) for name in msgspec.structs.fields(kind)]
    unknown = re.match(r"Object contains unknown field `(.+)`", text)
    if unknown:
        near = _nearest(unknown[1], [name.encode_name for name in fields])
        return _wrong(play_id, unknown[1], f"unknown field{near}")
    missing = re.match(r"Object missing required field `(.+)`", text)
    if missing:
        return _wrong(play_id, missing[1], "is missing")
    choice = re.match(r"Invalid enum value '(.*)'", text)
    if choice:
        return _wrong(play_id, place, f"`{choice[1]}` is not allowed{_nearest(choice[1], _CHOICES)}")
    return _wrong(play_id, place, text[:1].lower() + text[1:])


_CHOICES = [
    *(word for kind in (Audience, Class, Subject, Arrival) for word in get_args(kind)),
    *("second", "arrival", "ready", "running"),
]


def _nearest(name: str, valid: Collection[str]) -> str:
    close = get_close_matches(name, sorted(valid), n=1, cutoff=0.4)
    return f"; the nearest is `{close[0]}`" if close else ""


def _wrong(play_id: str, where: str, problem: str) -> PlaybookError:
    play = f"play `{play_id}`, " if play_id else "playbook, "
    return PlaybookError(f"{play}field `{where}`: {problem}; {_WHAT_TO_DO}")
