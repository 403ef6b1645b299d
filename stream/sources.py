"""Where the events come from: which sources send what, and which of the declared ones have fallen silent.

A source is declared by the settings or by a beat of its own; only such a source is missed.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

BEAT_LIMIT_S = 30  # beats come every 10 s
QUIET_MIN_S, QUIET_MAX_S = 60, 600
SOURCES_MAX = 200  # a room has a handful; one that names each message a source must not fill the memory
QUIET_FACTOR = 5  # times the 99th percentile of the source's own gaps


class Source(msgspec.Struct, gc=False):
    """What is known of one source; `gaps` counts the whole seconds between its events, the last for all longer."""

    last_ms: int = 0
    beats: bool = False
    types: list[str] = []
    gaps: list[int] = msgspec.field(default_factory=lambda: [0] * (QUIET_MAX_S + 1))

    def limit_s(self) -> int:
        """How long it may be silent, in seconds."""
        if self.beats:
            return BEAT_LIMIT_S
        total = sum(self.gaps)
        rank, held, p99 = -(-total * 99 // 100), 0, 0
        for gap_s, count in enumerate(self.gaps):
            held += count
            if held >= rank:
                p99 = gap_s
                break
        return min(QUIET_MAX_S, max(QUIET_MIN_S, QUIET_FACTOR * p99))


class Silence(msgspec.Struct, frozen=True, gc=False):
    """A declared source from which nothing has come for longer than it may."""

    source: str
    silent_s: int
    since_ms: int


class Sources:
    """The sources of one room, by name."""

    __slots__ = ("_declared", "_named", "by_name")

    def __init__(self, declared: frozenset[str]) -> None:
        self._named = declared
        self._declared: dict[str, Source] = {}
        self.by_name: dict[str, Source] = {}

    def take(self, name: str, kind: str, ts: int) -> bool:
        """An event of type `kind`; returns whether something about the sources is new."""
        source = self.by_name.get(name)
        if source is None:
            if len(self.by_name) >= SOURCES_MAX and name not in self._named:
                return False
            source = self.by_name[name] = Source(last_ms=ts)
            if name in self._named:
                self._declared[name] = source
        if ts > source.last_ms:
            gap_s = (ts - source.last_ms) // 1000
            source.gaps[gap_s if gap_s < QUIET_MAX_S else QUIET_MAX_S] += 1
            source.last_ms = ts
        if kind in source.types:
            return False
        source.types.append(kind)
        if kind == "source.beat":
            source.beats = True
            self._declared[name] = source
        return True

    def listens(self, name: str) -> bool:
        """Whether each single event of this source matters: a declared one is missed when it is silent."""
        return name in self._declared or name in self._named

    def hear(self, name: str, kinds: Iterable[type], ts: int) -> None:
        """Events of another source, the newest at `ts`; a beat among them declares it."""
        source = self.by_name.get(name)
        tags = [str(kind.__struct_config__.tag) for kind in kinds]  # type: ignore[attr-defined]  # event types
        if source is not None and all(tag in source.types for tag in tags):
            source.last_ms = max(source.last_ms, ts)
            return
        for tag in sorted(tags):
            self.take(name, tag, ts)

    def silent(self, now_ms: int) -> tuple[Silence, ...]:
        """Declared sources silent at `now_ms` for longer than they may, in order of appearance."""
        if not self._declared:
            return ()
        return tuple(
            Silence(name, (now_ms - source.last_ms) // 1000, source.last_ms)
            for name, source in self.by_name.items()  # an order that a restored room shares
            if name in self._declared
            and now_ms - source.last_ms > BEAT_LIMIT_S * 1000
            and now_ms - source.last_ms > source.limit_s() * 1000
        )

    def blind(self, silent: tuple[Silence, ...]) -> frozenset[str]:
        """Event types that only silent sources sent."""
        if not silent:
            return frozenset()
        names = {silence.source for silence in silent}
        lost = {kind for name in names for kind in self.by_name[name].types}
        heard = {kind for name, source in self.by_name.items() if name not in names for kind in source.types}
        return frozenset(lost - heard - {"source.beat"})

    def snapshot(self) -> dict[str, Any]:
        """The sources as plain data."""
        plain: dict[str, Any] = msgspec.to_builtins(self.by_name)
        return plain

    def restore(self, state: dict[str, Any]) -> None:
        """The sources as they stood when `state` was taken."""
        self.by_name = msgspec.convert(state, dict[str, Source])
        self._declared = {name: source for name, source in self.by_name.items() if source.beats or name in self._named}
