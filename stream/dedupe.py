"""The same message twice: remembered by source, type and id, for two minutes of room time, money for the whole show.

Without an id nothing is a duplicate, and content is never compared: real order data has identical lines.
"""

from typing import Any

from stream.events import KIND_OF, MONEY, TAG_OF, RoomEvent

DEDUPE_S = 120  # at the least; up to twice as long, since what is remembered goes by spans of this length
KEYS_MAX = 1_000_000  # of each kind, about 100 bytes each. Beyond it the oldest half is forgotten early
PREFIXES_MAX = 1_000  # pairs of source and type that get a short prefix; beyond it they are spelled out

Way = tuple[str, set[str], set[str]]
"""How to know messages of one source and type again: the prefix to their ids, the keys seen, and the older ones."""


class Seen:
    """Which ids of a room were seen. A key is an id behind a prefix that stands for its source and type."""

    __slots__ = ("_before", "_money", "_money_before", "_prefixes", "_recent", "_span", "_ways", "forgotten_early")

    def __init__(self) -> None:
        self._span = 0  # which whole DEDUPE_S of room time it is
        self._recent: set[str] = set()  # of this span
        self._before: set[str] = set()  # of the one before, or the older half
        self._money: set[str] = set()
        self._money_before: set[str] = set()  # the previous show's, or the older half
        self._prefixes: dict[tuple[str | None, type], str] = {}
        self._ways: dict[str | None, dict[type, Way]] = {}
        self.forgotten_early = 0

    def again(self, event: RoomEvent, now_s: int) -> bool:
        """Whether the same message was seen before; `now_s` is room time. An event without id is always new."""
        self._move_to(now_s)
        if event.id is None:
            return False
        kind = type(event)
        prefix, newer, older = self._way(event.source, kind)
        key = prefix + event.id
        if key in newer or key in older:
            return True
        if len(newer) >= KEYS_MAX // 2:
            self.forgotten_early += len(older)
            self._start_half(kind)
        (self._money if kind in MONEY else self._recent).add(key)
        return False

    def ways(self, source: str | None) -> dict[type, Way]:
        """The ways of the types that came with an id from `source`; for who asks about many and cannot afford `again`.

        A new key is added to the keys seen. All this holds before `end_ms`, in the same show, for `room` new keys.
        """
        return self._ways.get(source, {})

    @property
    def room(self) -> int:
        """How many more keys may be remembered before older ones are forgotten early."""
        return KEYS_MAX // 2 - max(len(self._recent), len(self._money))

    def _way(self, source: str | None, kind: type) -> Way:
        try:
            return self._ways[source][kind]
        except KeyError:
            pass
        sets = (self._money, self._money_before) if kind in MONEY else (self._recent, self._before)
        way = self._prefix(source, kind), *sets
        if (source, kind) in self._prefixes:
            self._ways.setdefault(source, {})[kind] = way
        return way

    def _move_to(self, now_s: int) -> None:
        """It is second `now_s` of room time: what is older than the span before this one is forgotten."""
        span = now_s // DEDUPE_S
        if span != self._span:
            self._before = self._recent if span == self._span + 1 else set()
            self._recent = set()
            self._span = span
            self._ways.clear()

    @property
    def end_ms(self) -> int:
        """Room time at which the present span is over."""
        return (self._span + 1) * DEDUPE_S * 1000

    def _start_half(self, kind: type) -> None:
        if kind in MONEY:
            self.start_show()
        else:
            self._before, self._recent = self._recent, set()
            self._ways.clear()

    def _prefix(self, source: str | None, kind: type) -> str:
        try:
            return self._prefixes[source, kind]
        except KeyError:
            pass
        if len(self._prefixes) >= PREFIXES_MAX:
            return f"{chr(PREFIXES_MAX)}{TAG_OF[kind]}\n{'' if source is None else len(source)}\n{source}"
        prefix = self._prefixes[source, kind] = chr(len(self._prefixes))
        return prefix

    def start_show(self) -> None:
        """A new show begins; money of the last one is still recognised until the next."""
        self._money_before = self._money
        self._money = set()
        self._ways.clear()

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
        self._ways = {}
