"""The same numbers for parts of the room: by where viewers came from, who they are, the scene, and the ads.

A part is a key such as `from=ads`, `ref=video7`, `region=tier1`, `scene=try-on`, `plan=p3`. A user belongs, for each
kind, to the value their newest join carried; people counts of a part are the room's people who belong to it now.
Joins and money belong where they happened: to the join's own value, to the parts the payer belongs to and the scene
that is on at the end of that second.
"""

from typing import Any

from stream import series as s
from stream.events import AdSpend, ViewerJoin
from stream.names import NOBODY
from stream.panes import Panes
from stream.windows import NEVER, Distinct

(JOINS, GMV_PAID, AD_SPEND, VIEWERS, CLICKERS, BUYERS) = range(6)
N_SPLIT_SERIES = 6
PARTS_MAX = 2_000  # a room has some dozen; links with an id of their own each must not fill the memory
PEOPLE = {s.VIEWERS: VIEWERS, s.CLICKERS: CLICKERS, s.BUYERS: BUYERS}
SCENE_USERS_MAX = 200_000  # users a scene before its people counts say `estimated`
OTHER = "…"  # the value that takes what comes beyond PARTS_MAX


class Splits:
    """Sums of each part of one room's show."""

    __slots__ = ("_kept", "_plans", "belongs", "full", "panes", "scene", "scenes")

    def __init__(self) -> None:
        self.panes = Panes(N_SPLIT_SERIES)
        self.belongs: dict[int, tuple[str, ...]] = {}  # user -> parts
        self.scene: str | None = None
        self.scenes: dict[str, dict[str, set[int]]] = {}  # scene -> set name -> users seen in it
        self.full = False
        self._kept: dict[tuple[str, ...], tuple[str, ...]] = {}  # one tuple for all users of the same parts
        self._plans: dict[str, tuple[str, ...]] = {}  # ad plan -> parts its newest spend names

    def start(self, second: int) -> None:
        """A new show begins at `second`."""
        self.panes.start(second)
        self.belongs = {}
        self.scenes = {}
        self.scene = None
        self.full = False
        self._kept = {}
        self._plans = {}

    def join(self, event: ViewerJoin, user: int, second: int, people: Distinct) -> None:
        """A join; its user, by number, now belongs to the parts it names."""
        parts = self._parts(event)
        for part in parts:
            self.panes.add(part, JOINS, second, 1)
        if event.from_ == "ads" and event.ref is not None:
            plan = self._part("plan", event.ref)
            for part in dict.fromkeys([plan, *self._plans.get(event.ref, ())]):
                self.panes.add(part, JOINS, second, 1)
        if parts and user != NOBODY:
            self._move(user, parts, people)

    def _parts(self, event: ViewerJoin) -> list[str]:
        parts = []
        if event.from_ is not None:
            parts.append(self._part("from", event.from_))
        if event.ref is not None:
            parts.append(self._part("ref", event.ref))
        segment = event.segment
        if segment is not None:
            for kind, value in (("region", segment.region), ("age", segment.age), ("spend", segment.spend)):
                if value:
                    parts.append(self._part(kind, value))
            parts += [self._part("interest", interest) for interest in dict.fromkeys(segment.interests)]
        return parts

    def _part(self, kind: str, value: str) -> str:
        part = f"{kind}={value}"
        if part in self.panes.place_of or len(self.panes.place_of) < PARTS_MAX:
            return part
        self.full = True
        return f"{kind}={OTHER}"

    def _move(self, user: int, parts: list[str], people: Distinct) -> None:
        """`user` belongs to `parts`, and of other kinds to what they belonged to before."""
        before = self.belongs.get(user, ())
        kinds = {part.partition("=")[0] for part in parts}
        now = tuple(dict.fromkeys([*parts, *(part for part in before if part.partition("=")[0] not in kinds)]))
        if now == before:
            return
        self.belongs[user] = self._kept.setdefault(now, now)
        for series, split in PEOPLE.items():
            last = people.seen_in(series, user)
            if last != NEVER:
                for part in before:
                    if part not in now:
                        self.panes.add(part, split, last, -1)
                for part in now:
                    if part not in before:
                        self.panes.add(part, split, last, 1)

    def seen(self, series: int, user: int, before: int, second: int) -> None:
        """A user was seen at `second` by one of the distinct counts of PEOPLE, last at `before` (or NEVER)."""
        split = PEOPLE[series]
        if self.scene is not None:
            self.in_scene(split, user)
        for part in self.belongs.get(user, ()):
            if before == NEVER:
                self.panes.add(part, split, second, 1)
            else:
                self.panes.add(part, split, before, -1, shown=False)
                self.panes.add(part, split, second, 1, shown=False)

    def in_scene(self, split: int, user: int) -> None:
        """A user was seen while the present scene is on."""
        if self.scene is not None:
            users = self.scenes.setdefault(self.scene, {}).setdefault(str(split), set())
            if user not in users:
                if len(users) >= SCENE_USERS_MAX:
                    self.full = True
                    return
                users.add(user)
                self.panes.add(self.scene, split, NEVER, 1)

    def begin_scene(self, scene: str) -> None:
        """Another scene is on."""
        self.scene = self._part("scene", scene)

    def joined_scene(self, second: int, joins: int) -> None:
        """Joins while the present scene is on."""
        if self.scene is not None:
            self.panes.add(self.scene, JOINS, second, joins)

    def paid(self, amount: int, user: int, second: int) -> None:
        """A payment counts for the payer's parts and the scene."""
        for part in self.belongs.get(user, ()):
            self.panes.add(part, GMV_PAID, second, amount)
        if self.scene is not None:
            self.panes.add(self.scene, GMV_PAID, second, amount)

    def paid_by(self, channel: str, amount: int, second: int) -> None:
        """And for the ad channel the order names."""
        self.panes.add(self._part("channel", channel), GMV_PAID, second, amount)

    def spent(self, event: AdSpend, second: int) -> None:
        """Money spent on ads, by channel, plan, audience and creative."""
        named = (
            ("channel", event.channel),
            ("plan", event.plan),
            ("audience", event.audience),
            ("creative", event.creative),
        )
        parts = tuple(self._part(kind, value) for kind, value in named if value)
        for part in parts:
            self.panes.add(part, AD_SPEND, second, event.amount)
        if event.plan is not None:
            self._plans[event.plan] = parts

    @property
    def alive(self) -> bool:
        """Whether any user or moment belongs to a part."""
        return bool(self.belongs) or self.scene is not None

    def snapshot(self) -> dict[str, Any]:
        """The parts as plain data."""
        return {
            "panes": self.panes.snapshot(),
            "belongs": self.belongs,
            "scene": self.scene,
            "scenes": {
                scene: {split: sorted(users) for split, users in sets.items()} for scene, sets in self.scenes.items()
            },
            "full": self.full,
            "plans": self._plans,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The parts as they stood when `state` was taken."""
        self.panes.restore(state["panes"])
        self._kept = {}
        self.belongs = {}
        for user, parts in state["belongs"].items():
            kept = tuple(parts)
            self.belongs[user] = self._kept.setdefault(kept, kept)
        self.scene = state["scene"]
        self.scenes = {
            scene: {split: set(users) for split, users in sets.items()} for scene, sets in state["scenes"].items()
        }
        self.full = state["full"]
        self._plans = {plan: tuple(parts) for plan, parts in state["plans"].items()}
