"""Who is in the room: sessions, the online count, and which sources mask their users.

A session begins at a join and ends at a leave; a return within RETURN_MS continues it, and the time away counts.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from stream import series
from stream.events import Shown, ViewerCount, ViewerJoin, ViewerLeave, shown_count
from stream.windows import SPAN_S, Buckets

RETURN_MS = 30_000
LONGEST_MS = 1000 * max(series.SHORT)
MASKED_FROM_EVENTS = 50
MASKED_SHARE = 5  # one id with more than 1/5 of a source's events masks the source
IDS_COUNTED_MAX = 5_000  # ids counted a source before those with under 1 % are let go


class Sessions:
    """Who is here since when, and who left but may still come back and continue their session."""

    __slots__ = ("away", "began", "buckets", "here", "nameless")

    def __init__(self, buckets: Buckets) -> None:
        self.buckets = buckets
        self.clear()

    def clear(self) -> None:
        """A new show: nobody is here."""
        self.here: dict[str, int] = {}  # user -> start_ms
        self.away: dict[str, tuple[int, int]] = {}  # user -> start_ms, left_ms; insertion order is about time order
        self.nameless = 0  # joins less leaves without a user
        self.began = 0

    @property
    def open(self) -> int:
        """Sessions of people who are here."""
        return len(self.here)

    def join(self, user: str | None, ts: int) -> None:
        """A join at `ts`, in the second being closed or a straggler from before."""
        if user is None:
            self.nameless += 1
            return
        if user in self.here:
            return
        session = self.away.get(user)
        if session is None:
            self._begin(user, ts)
            return
        start_ms, left_ms = session
        if ts < left_ms:  # a straggler from before they left
            return
        del self.away[user]
        if ts - left_ms > RETURN_MS:
            self._begin(user, ts)
            return
        self.here[user] = start_ms
        self._count_short(start_ms, left_ms - start_ms, -1)
        self._watch(left_ms, 1)

    def leave(self, user: str | None, ts: int) -> None:
        """A leave at `ts`, likewise; of someone without a session it says nothing."""
        if user is None:
            self.nameless -= 1
            return
        start_ms = self.here.get(user)
        if start_ms is None or ts < start_ms:
            return
        del self.here[user]
        self.away[user] = (start_ms, ts)
        self._count_short(start_ms, ts - start_ms, 1)
        self._watch(ts, -1)

    def take(self, events: Iterable[ViewerJoin | ViewerLeave], second: int) -> None:
        """Joins and leaves in the order of event time; the ordinary ones of a closing second without a call each."""
        buckets = self.buckets
        if second < buckets.end_s:
            for event in events:
                (self.join if type(event) is ViewerJoin else self.leave)(event.user, event.ts)
            return
        here, away = self.here, self.away
        edge_ms = buckets.edge_s * 1000
        began = watch_ms = 0
        for event in events:
            user, ts = event.user, event.ts
            if user is None:
                self.nameless += 1 if type(event) is ViewerJoin else -1
            elif type(event) is ViewerJoin:
                if user in here:
                    continue
                if user in away:
                    self.join(user, ts)
                else:
                    here[user] = ts
                    began += 1
                    watch_ms += edge_ms - ts
            elif (start_ms := here.get(user)) is not None and ts >= start_ms:
                del here[user]
                away[user] = (start_ms, ts)
                watch_ms -= edge_ms - ts
                if ts - start_ms < LONGEST_MS:
                    self._count_short(start_ms, ts - start_ms, 1)
        self.began += began
        buckets.column[series.BEGAN] += began
        buckets.column[series.WATCH_MS] += watch_ms

    def second_begins(self) -> None:
        """The next second is being closed: everyone here stays for it unless they leave."""
        buckets = self.buckets
        buckets.column[series.WATCH_MS] += len(self.here) * 1000
        if self.away:
            self._expire(buckets.end_s * 1000)

    def online(self) -> int:
        """People with an open session; visitors without a name are counted as joins less leaves."""
        return len(self.here) + max(0, self.nameless)

    def _expire(self, now_ms: int) -> None:
        """Forget those who left too long ago to come back, stragglers included."""
        gone = []
        for user, (_, left_ms) in self.away.items():
            if now_ms - left_ms <= 2 * RETURN_MS:
                break
            gone.append(user)
        for user in gone:
            del self.away[user]

    def _begin(self, user: str, ts: int) -> None:
        self.here[user] = ts
        self.began += 1
        self.buckets.add(series.BEGAN, ts // 1000, 1)
        self._watch(ts, 1)

    def _count_short(self, start_ms: int, lasted_ms: int, sign: int) -> None:
        """The session that began at `start_ms` ended after `lasted_ms` (or, with sign -1, did not)."""
        for limit_s, short in series.SHORT.items():
            if lasted_ms < limit_s * 1000:
                self.buckets.add(short, start_ms // 1000, sign)

    def _watch(self, from_ms: int, sign: int) -> None:
        """Someone was (or, with sign -1, was not) in the room from `from_ms` to the end of the newest second."""
        buckets = self.buckets
        end_ms = buckets.edge_s * 1000
        held_ms = max(from_ms, end_ms - SPAN_S * 1000)
        if held_ms > from_ms:
            buckets.show[series.WATCH_MS] += sign * (held_ms - from_ms)
        while held_ms < end_ms:
            next_ms = min(end_ms, (held_ms // 1000 + 1) * 1000)
            buckets.add(series.WATCH_MS, held_ms // 1000, sign * (next_ms - held_ms))
            held_ms = next_ms

    def snapshot(self) -> dict[str, Any]:
        """The sessions as plain data."""
        return {
            "here": self.here,
            "away": list(self.away.items()),
            "nameless": self.nameless,
            "began": self.began,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The sessions as they stood when `state` was taken."""
        self.here = state["here"]
        self.away = {user: (start_ms, left_ms) for user, (start_ms, left_ms) in state["away"]}
        self.nameless, self.began = state["nameless"], state["began"]


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

    __slots__ = ("_counts", "_many", "events", "most")

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._many = False
        self.events = 0
        self.most = 0

    def take(self, user: str) -> None:
        """One more event with a user. Ids with under 1 % are let go when there are very many."""
        self.events += 1
        counts = self._counts
        count = counts.get(user, 0) + 1
        counts[user] = count
        if count > self.most:
            self.most = count
        self._forget_rare()

    def take_all(self, users: Sequence[str], people: Collection[str]) -> None:
        """As `take` for each of `users`, of one second; `people` are the same without repeats.

        Once there were very many ids, one is counted on if it was kept, or makes up a fifth of a second.
        """
        self.events += len(users)
        counts = self._counts
        if not self._many:
            counts.update(users)
            self.most = max(self.most, *map(counts.__getitem__, people))
            self._forget_rare()
            return
        floor = len(users) // MASKED_SHARE
        most = 1 + len(users) - len(people)  # of one id, at the very most
        if most <= floor and counts.keys().isdisjoint(people):
            return
        here = Counter(users)
        known = counts.keys() & here.keys()
        known |= {user for user, count in here.items() if count > floor}
        if known:
            for user in known:
                counts[user] += here[user]
            self.most = max(self.most, *map(counts.__getitem__, known))
            self._forget_rare()

    def _forget_rare(self) -> None:
        if len(self._counts) > IDS_COUNTED_MAX:
            self._many = True
            floor = self.events // 100
            self._counts = Counter({user: count for user, count in self._counts.items() if count > floor})

    @property
    def masked(self) -> bool:
        """Whether people cannot be told apart in this source."""
        return self.events >= MASKED_FROM_EVENTS and self.most * MASKED_SHARE > self.events

    def snapshot(self) -> list[Any]:
        """The counts as plain data."""
        return [self._counts, self.events, self.most, self._many]

    def restore(self, state: list[Any]) -> None:
        """The counts as they stood when `state` was taken."""
        counts, self.events, self.most, self._many = state
        self._counts = Counter(counts)
