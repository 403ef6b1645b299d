"""The same message twice: remembered by source, type and id, for two minutes of room time, money for the whole show.

Without an id nothing is a duplicate, and content is never compared: real order data has identical lines.
"""

from collections.abc import Sequence
from typing import Any

from stream.events import KIND_OF, MONEY, TAG_OF, RoomEvent

DEDUPE_S = 120  # at the least; up to twice as long, since what is remembered goes by spans of this length
KEYS_MAX = 1_000_000  # of each kind, about 100 bytes each. Beyond it the oldest half is forgotten early
PREFIXES_MAX = 1_000  # pairs of source and type that get a short prefix; beyond it they are spelled out


class Seen:
    """Which ids of a room were seen. A key is an id behind a prefix that stands for its source and type."""

    __slots__ = ("_before", "_money", "_money_before", "_prefixes", "_recent", "_span", "forgotten_early")

    def __init__(self) -> None:
        self._span = 0  # which whole DEDUPE_S of room time it is
        self._recent: set[str] = set()  # of this span
        self._before: set[str] = set()  # of the one before, or the older half
        self._money: set[str] = set()
        self._money_before: set[str] = set()  # the previous show's, or the older half
        self._prefixes: dict[tuple[str | None, type], str] = {}
        self.forgotten_early = 0

    def again(self, event: RoomEvent, now_s: int) -> bool:
        """Whether the same message was seen before; `now_s` is room time. An event without id is always new."""
        if event.id is None:
            return False
        kind = type(event)
        key = self._prefix(event.source, kind) + event.id
        if kind in MONEY:
            return self._money_again(key)
        self._move_to(now_s)
        if key in self._recent or key in self._before:
            return True
        self._make_room()
        self._recent.add(key)
        return False

    def keys(self, kinds: Sequence[type], events: Sequence[RoomEvent]) -> list[str] | None:
        """The keys of events, whose types are `kinds`, if each has an id and none was ever seen.

        None otherwise: then they must be asked about one by one. Nothing is remembered, see `remember`.
        """
        sources = {event.source for event in events}
        if len(sources) > 1:
            return None
        (source,) = sources
        ids: list[Any] = [event.id for event in events]
        try:
            prefixes = {kind: self._prefixes[source, kind] for kind in set(kinds)}
            keys = [*map(str.__add__, map(prefixes.__getitem__, kinds), ids)]
        except (KeyError, TypeError):  # the first of its kind; or an id is None, which it would cost more to look for
            return None
        fresh = set(keys)
        if len(fresh) < len(keys) or not (self._recent.isdisjoint(fresh) and self._before.isdisjoint(fresh)):
            return None
        if not MONEY.isdisjoint(prefixes) and not (
            self._money.isdisjoint(fresh) and self._money_before.isdisjoint(fresh)
        ):
            return None
        return keys

    def remember(self, keys: Sequence[str], kinds: Sequence[type], now_s: int) -> None:
        """Keys that `keys` gave out, of messages of these types, were seen at `now_s`, all in one span."""
        if not MONEY.isdisjoint(kinds):
            told = [*zip(keys, kinds, strict=True)]
            for key in [key for key, kind in told if kind in MONEY]:
                self._money_again(key)
            keys = [key for key, kind in told if kind not in MONEY]
        if keys:
            self._move_to(now_s)
        while keys:
            room = self._make_room()
            self._recent.update(keys[:room])
            keys = keys[room:]

    def _move_to(self, now_s: int) -> None:
        """It is second `now_s` of room time: what is older than the span before this one is forgotten."""
        span = now_s // DEDUPE_S
        if span != self._span:
            self._before = self._recent if span == self._span + 1 else set()
            self._recent = set()
            self._span = span

    @property
    def end_ms(self) -> int:
        """Room time at which the present span is over."""
        return (self._span + 1) * DEDUPE_S * 1000

    def _make_room(self) -> int:
        """How many more keys may be remembered; at least one."""
        if len(self._recent) >= KEYS_MAX // 2:
            self.forgotten_early += len(self._before)
            self._before, self._recent = self._recent, set()
        return KEYS_MAX // 2 - len(self._recent)

    def _prefix(self, source: str | None, kind: type) -> str:
        try:
            return self._prefixes[source, kind]
        except KeyError:
            pass
        if len(self._prefixes) >= PREFIXES_MAX:
            return f"{chr(PREFIXES_MAX)}{TAG_OF[kind]}\n{'' if source is None else len(source)}\n{source}"
        prefix = self._prefixes[source, kind] = chr(len(self._prefixes))
        return prefix

    def _money_again(self, key: str) -> bool:
        if key in self._money or key in self._money_before:
            return True
        if len(self._money) >= KEYS_MAX // 2:
            self.forgotten_early += len(self._money_before)
            self.start_show()
        self._money.add(key)
        return False

    def start_show(self) -> None:
        """A new show begins; money of the last one is still recognised until the next."""
        self._money_before = self._money
        self._money = set()

    def snapshot(self) -> dict[str, Any]:
        """All keys as plain data."""
        return {
            "span": self._span,
            "recent": list(self._recent),
            "before": list(self._before),
            "money": list(self._money),
            "money_before": list(self._money_before),
            "prefixes": [(source, TAG_OF[kind]) for source, kind in self._prefixes],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The keys as they stood when `state` was taken."""
        self._span = state["span"]
        self._recent, self._before = set(state["recent"]), set(state["before"])
        self._money, self._money_before = set(state["money"]), set(state["money_before"])
        self._prefixes = {(source, KIND_OF[tag]): chr(number) for number, (source, tag) in enumerate(state["prefixes"])}
