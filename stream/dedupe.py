"""The same message twice: remembered as 64-bit hashes, for two minutes of room time, money for the whole show.

Without an id nothing is a duplicate, and content is never hashed: real order data has identical lines.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from stream.events import MONEY, RoomEvent

DEDUPE_S = 120
HASHES_MAX = 1_000_000  # of each kind; about 100 MB at the very most. Beyond it the oldest half is forgotten early
SEEDS_MAX = 1_000  # sources of one type whose seed is kept ready; beyond it they are computed anew
MONEY_TYPES = frozenset(MONEY)


class Seen:
    """Which ids of a room were seen, by source and type."""

    __slots__ = ("_money", "_money_before", "_recent", "_recent_before", "_rotated_s", "_seeds", "forgotten_early")

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}  # hash -> room second
        self._recent_before: dict[int, int] = {}
        self._rotated_s = 0
        self._money: set[int] = set()
        self._money_before: set[int] = set()  # the previous show's, or the older half
        self._seeds: dict[type, dict[str | None, int]] = {}
        self.forgotten_early = 0

    def again(self, event: RoomEvent, now_s: int) -> bool:
        """Whether the same message was seen before; `now_s` is room time. An event without id is always new."""
        if event.id is None:
            return False
        kind = type(event)
        try:
            seed = self._seeds[kind][event.source]
        except KeyError:
            seed = self._new_seed(kind, event.source)
        digest = xxh3_64_intdigest(event.id.encode(), seed)
        if kind in MONEY_TYPES:
            return self._money_again(digest)
        recent = self._recent
        if now_s - self._rotated_s >= DEDUPE_S or len(recent) >= HASHES_MAX // 2:
            self._rotate(now_s)
            recent = self._recent
        seen_s = recent.get(digest) or self._recent_before.get(digest)
        if seen_s is not None and now_s - seen_s <= DEDUPE_S:
            return True
        recent[digest] = now_s
        return False

    def _new_seed(self, kind: type[RoomEvent], source: str | None) -> int:
        seeds = self._seeds.setdefault(kind, {})
        if len(seeds) >= SEEDS_MAX:
            seeds.clear()
        tag = kind.__struct_config__.tag
        seed = seeds[source] = xxh3_64_intdigest(f"{source}\n{tag}".encode())
        return seed

    def _money_again(self, digest: int) -> bool:
        if digest in self._money or digest in self._money_before:
            return True
        if len(self._money) >= HASHES_MAX // 2:
            self.forgotten_early += len(self._money_before)
            self.start_show()
        self._money.add(digest)
        return False

    def _rotate(self, now_s: int) -> None:
        if now_s - self._rotated_s < DEDUPE_S:
            self.forgotten_early += len(self._recent_before)
        self._recent_before = self._recent
        self._recent = {}
        self._rotated_s = now_s

    def start_show(self) -> None:
        """A new show begins; money of the last one is still recognised until the next."""
        self._money_before = self._money
        self._money = set()

    def snapshot(self) -> dict[str, Any]:
        """All hashes as plain data; in arrays, since there may be very many."""
        return {
            "recent": [_packed(self._recent), _packed(self._recent.values())],
            "before": [_packed(self._recent_before), _packed(self._recent_before.values())],
            "rotated_s": self._rotated_s,
            "money": _packed(sorted(self._money)),
            "money_before": _packed(sorted(self._money_before)),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The hashes as they stood when `state` was taken."""
        self._recent = dict(zip(*map(_unpacked, state["recent"]), strict=True))
        self._recent_before = dict(zip(*map(_unpacked, state["before"]), strict=True))
        self._rotated_s = state["rotated_s"]
        self._money = set(_unpacked(state["money"]))
        self._money_before = set(_unpacked(state["money_before"]))


def _packed(numbers: Collection[int]) -> bytes:
    """Whole numbers of 64 bits without sign, little-endian."""
    return np.fromiter(numbers, "<u8", len(numbers)).tobytes()


def _unpacked(packed: bytes) -> list[int]:
    found: list[int] = np.frombuffer(packed, "<u8").tolist()
    return found
