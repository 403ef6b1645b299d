"""Who is in the room: sessions, the online count, and which sources mask their users.

A session begins at a join and ends at a leave; a return within RETURN_MS continues it, and the time away counts.
"""

from typing import Any

import numpy as np

from stream import series
from stream.events import Shown, ViewerCount
from stream.kinds import JOIN, LEAVE
from stream.loops import RETURN_MS, SHORT_S, Ints, Visits
from stream.shown import shown_count
from stream.windows import Buckets, from_plain, longer, plain, trimmed

MASKED_FROM_EVENTS = 50
MASKED_SHARE = 5  # one id with more than 1/5 of a source's events masks the source
_SERIES = np.array([series.BEGAN, series.WATCH_MS, *(series.SHORT[limit_s] for limit_s in SHORT_S), JOIN, LEAVE])
_FIRST_USERS = 16  # room made at first


class Sessions:
    """Who is here since when, and who left but may still come back and continue their session; users are numbers."""

    __slots__ = ("_counts", "_stays", "buckets")

    def __init__(self, buckets: Buckets) -> None:
        self.buckets = buckets
        self.clear()

    def clear(self) -> None:
        """A new show: nobody is here."""
        # By user: the ms their newest session began, and the ms they left, 0 while they are here.
        self._stays: Ints = np.zeros((_FIRST_USERS, 2), np.int64)
        self._counts: Ints = np.zeros(3, np.int64)

    @property
    def open(self) -> int:
        """Sessions of people who are here."""
        return self._counts.item(0)

    @property
    def began(self) -> int:
        """Sessions of the show."""
        return self._counts.item(1)

    def make_room(self, users: int) -> None:
        """Users up to this number may come from now on."""
        self._stays = longer(self._stays, users)

    @property
    def state(self) -> Visits:
        """All of it, for loops."""
        buckets = self.buckets
        sums = buckets.ring, buckets.totals, buckets.show, buckets.column, buckets.end_s
        return self._stays, self._counts, sums, buckets.edge_s, _SERIES

    def second_begins(self) -> None:
        """The next second is being closed: everyone here stays for it unless they leave."""
        self.buckets.column[series.WATCH_MS] += self.open * 1000

    def online(self) -> int:
        """People with an open session; visitors without a name are counted as joins less leaves."""
        return self.open + max(0, self._counts.item(2))

    def snapshot(self) -> dict[str, Any]:
        """The sessions as plain data: those that are open, and those that may still be continued."""
        here, left = self._stays.T
        alive_ms = (self.buckets.end_s - 1) * 1000 - 2 * RETURN_MS
        users = np.flatnonzero((here > 0) & ((left == 0) | (left >= alive_ms)))
        times = [plain(self._ago(row[users])) for row in (here, left)]
        return {
            "users": [plain(np.diff(users, prepend=0)), *times],
            "counts": self._counts.tolist(),
        }

    def _ago(self, times: Ints) -> Ints:
        """How long before the end of the newest second, in ms, and back; 0 stays 0. The end of a second is no time."""
        return np.where(times == 0, 0, (self.buckets.end_s + 1) * 1000 - times)

    def restore(self, state: dict[str, Any]) -> None:
        """The sessions as they stood when `state` was taken."""
        self.clear()
        steps, here, left = map(from_plain, state["users"])
        here, left = self._ago(here), self._ago(left)
        users = steps.cumsum()
        if len(users):
            self.make_room(users[-1])
        self._stays[users] = np.stack([here, left], axis=1)
        self._counts[:] = state["counts"]


class Online:
    """The newest count a source states, by event time; of two sources the preferred one, if it ever spoke."""

    __slots__ = ("exact", "preferred", "source", "total", "total_source", "ts", "value")

    def __init__(self, preferred: str | None) -> None:
        self.preferred = preferred
        self.clear()

    def clear(self) -> None:
        """A new show: nothing was stated."""
        self.value: int | None = None
        self.ts = 0
        self.source: str | None = None
        self.exact = True
        self.total: int | None = None  # the platform's count of visits, highest seen
        self.total_source: str | None = None

    def take(self, event: ViewerCount) -> int:
        """A reading; returns by how much the count of visits rose since the last one (0 for the first)."""
        if event.online is not None and (event.ts >= self.ts or self._outranks(event.source, self.source)):
            read = shown_count(event.online)
            if read is not None and not self._outranks(self.source, event.source):
                self.value, self.exact = read
                self.ts = event.ts
                self.source = event.source
        return 0 if event.total is None else self._rise(event.total, event.source)

    def _rise(self, shown: Shown, source: str | None) -> int:
        read = shown_count(shown)
        if read is None or self._outranks(self.total_source, source):
            return 0
        before, total = self.total, read[0]
        if before is None or self._outranks(source, self.total_source):
            self.total, self.total_source = total, source
            return 0
        self.total, self.total_source = max(before, total), source
        return self.total - before

    def _outranks(self, source: str | None, other: str | None) -> bool:
        return self.preferred is not None and source == self.preferred and other != self.preferred

    def snapshot(self) -> list[Any]:
        """The readings as plain data."""
        return [self.value, self.ts, self.source, self.exact, self.total, self.total_source]

    def restore(self, state: list[Any]) -> None:
        """The readings as they stood when `state` was taken."""
        self.value, self.ts, self.source, self.exact, self.total, self.total_source = state


class Masking:
    """Whether a source hides its users behind one id: more than a fifth of at least 50 events carry the same one."""

    __slots__ = ("by_user", "events", "most")

    def __init__(self) -> None:
        self.by_user: Ints = np.zeros(_FIRST_USERS, np.int64)
        self.events = 0
        self.most = 0

    def make_room(self, users: int) -> None:
        """Users up to this number may be seen from now on."""
        self.by_user = longer(self.by_user, users)

    def saw(self, events: int, most: int) -> None:
        """So many more events with a user; none of these users is in more than `most`, `by_user`."""
        self.events += events
        self.most = max(self.most, most)

    @property
    def masked(self) -> bool:
        """Whether people cannot be told apart in this source."""
        return self.events >= MASKED_FROM_EVENTS and self.most * MASKED_SHARE > self.events

    def snapshot(self) -> list[Any]:
        """The counts as plain data."""
        return [plain(trimmed(self.by_user)), self.events, self.most]

    def restore(self, state: list[Any]) -> None:
        """The counts as they stood when `state` was taken."""
        self.by_user = from_plain(state[0])
        self.events, self.most = state[1:]
