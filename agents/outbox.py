"""What rooms say, on its way to Redis and to Kafka: two bounded lanes, each in order, tried until it is there.

A lane that is full stops the reading of records; one that waits for its server does not hold up the other.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
from redis.exceptions import RedisError

from agents.partition import Partition
from agents.settings import Settings
from agents.store import Entry, Refused, Store
from agents.telemetry import Telemetry
from stream.errors import RejectedEvent
from stream.prompts import OfferProgress, Prompt, PromptState
from stream.recap import Recap
from stream.room import Said

logger = logging.getLogger(__name__)

LANE_MAX = 20_000  # what was said and nobody has taken yet; beyond it the worker stops reading
AT_ONCE = 500  # delivered together, and again together when one of them fails
RETRY_S = (0.1, 0.3, 1.0, 2.0)  # then every 2 s


class Record(NamedTuple):
    """A record to write; `partition` None: by key. `at_ms` None: the writer's own time."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    at_ms: int | None = None


Send = Callable[[Record], Awaitable[None]]
"""Write one record and return when all replicas have it."""


class Letter(NamedTuple):
    """Something said for a partition; nobody delivers it once the partition is lost: its next owner says it again."""

    partition: Partition
    room: str
    what: Entry | Recap | Record


class Lane:
    """Letters for one server, carried away in order."""

    def __init__(self, name: str, deliver: Callable[[Sequence[Letter]], Awaitable[None]]) -> None:
        self.name = name
        self._deliver = deliver
        self._letters: deque[Letter] = deque()
        self._put_in = 0
        self._carried = 0
        self._filled = asyncio.Event()
        self._moved = asyncio.Condition()
        self.space = asyncio.Event()
        self.space.set()

    def put(self, letter: Letter) -> None:
        """Add; never waits."""
        self._letters.append(letter)
        self._put_in += 1
        self._filled.set()
        if len(self._letters) >= LANE_MAX:
            self.space.clear()

    async def carry(self) -> None:
        """Forever: deliver, again and again until it is there."""
        attempt = 0
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._letters:
                some = list(islice(self._letters, AT_ONCE))
                try:
                    await self._deliver([letter for letter in some if not letter.partition.lost])
                except Exception as error:  # whatever it is, what was said must not be lost
                    if attempt in (0, 5) or attempt % 30 == 0:
                        logger.warning("%s takes nothing now, %d wait: %r", self.name, len(self._letters), error)
                    await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                    attempt += 1
                    continue
                attempt = 0
                for _ in some:
                    self._letters.popleft()
                if len(self._letters) < LANE_MAX // 2:
                    self.space.set()
                async with self._moved:
                    self._carried += len(some)
                    self._moved.notify_all()

    async def settled(self) -> None:
        """Returns when everything put in until now has been carried away."""
        goal = self._put_in
        async with self._moved:
            await self._moved.wait_for(lambda: self._carried >= goal)


class Outbox:
    """Both lanes, and what goes where."""

    def __init__(self, settings: Settings, store: Store, send: Send, telemetry: Telemetry) -> None:
        self._settings = settings
        self._store = store
        self._send = send
        self._telemetry = telemetry
        self.screens = Lane("Redis", self._show)
        self.log = Lane("Kafka", self._write)

    def say(self, partition: Partition, room: str, said: Said, past: bool) -> None:
        """To the screens, and a prompt to the log as well; `past`: it is too late to show it, so it is recorded."""
        data = msgspec.json.encode(said.what)
        kind, what = _named(said.what)
        entry = Entry(said.id, "past" if past and kind == "prompt" else kind, what, data)
        self.screens.put(Letter(partition, room, entry))
        if kind == "prompt":
            self.log.put(Letter(partition, room, Record(self._settings.prompts_topic, room.encode(), data)))

    def keep(self, partition: Partition, recap: Recap) -> None:
        """The recap of a show that is over."""
        self.screens.put(Letter(partition, recap.room, recap))

    def bury(
        self, partition: Partition, offset: int, key: bytes | None, value: bytes | None, why: RejectedEvent
    ) -> None:
        """A record nobody can take, and why, to the dead letters."""
        headers = (
            ("reason", why.reason.encode()),
            ("detail", why.detail.encode()),
            ("topic", self._settings.events_topic.encode()),
            ("partition", str(partition.number).encode()),
            ("offset", str(offset).encode()),
        )
        self.log.put(Letter(partition, "", Record(self._settings.rejected_topic, key, value or b"", headers)))

    async def wait_for_space(self) -> None:
        """Returns at once unless what rooms said has piled up; then when it was carried away."""
        await self.screens.space.wait()
        await self.log.space.wait()

    async def settled(self) -> None:
        """Returns when everything said until now is in Redis and in Kafka."""
        await self.screens.settled()
        await self.log.settled()

    async def _show(self, letters: Sequence[Letter]) -> None:
        try:
            by_room: dict[tuple[Partition, str], list[Letter]] = {}
            for letter in letters:
                by_room.setdefault((letter.partition, letter.room), []).append(letter)
            for (partition, room), held in by_room.items():
                try:
                    entries = [letter.what for letter in held if isinstance(letter.what, Entry)]
                    if entries:
                        await self._store.say(partition.number, partition.fence, room, entries)
                    for letter in held:
                        if isinstance(letter.what, Recap):
                            await self._store.keep_show(partition.number, partition.fence, letter.what)
                except Refused:
                    partition.lost = True
        except (RedisError, OSError):
            self._telemetry.redis_up.set(0)
            raise
        self._telemetry.redis_up.set(1)

    async def _write(self, letters: Sequence[Letter]) -> None:
        sends = [self._send(letter.what) for letter in letters if isinstance(letter.what, Record)]
        for outcome in await asyncio.gather(*sends, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome


def _named(what: Prompt | PromptState | OfferProgress) -> tuple[str, str]:
    """The kind of an entry, and a name that is its own whenever it is computed again."""
    match what:
        case Prompt():
            return "prompt", f"prompt {what.state} {what.id}"
        case PromptState():
            return "state", f"state {what.state} {what.id}"
        case OfferProgress():
            return "offer", f"offer {what.at_ms} {what.state} {what.offer}"
