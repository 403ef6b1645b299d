"""Ticks of the log: each room hears of them in its own time, and nothing that it says or saves depends on when."""

import asyncio
import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache

import pytest

from agents.partition import TICK, TICK_KEY, Partition
from agents.rooms import Rooms
from agents.settings import Settings
from agents.store import Entry, Fence, Store, revive
from agents.ticks import LAG_MAX_MS, SLICE_S
from agents.verify import Record, Replay
from stream.recap import Recap
from stream.room import RoomState
from tests.unit.test_rooms import END_MS, PLAYBOOK, Log, batch, log_of, pieces, rooms, words

TIMEOUT_S = 20.0
ROOMS = ("a", "b")


def unsteady(seed: int) -> Log:
    """A log whose ticks are up to 3 s off its other records' times, as those of another machine's clock are."""
    chance = random.Random(seed)
    return [
        (offset, arrived_ms + (chance.randint(-3_000, 3_000) if key == TICK_KEY else 0), key, value)
        for offset, arrived_ms, key, value in log_of()
    ]


def replayed(log: Log, room: str) -> Iterator[tuple[int, Replay]]:
    """A room by its records and each tick among them, one at a time, with the offset of each."""
    replay = Replay(Settings(), room)
    for offset, arrived_ms, key, value in log:
        replay.take(Record(offset, arrived_ms, key, value))
        yield offset, replay


@cache
def whole(seed: int, room: str) -> Replay:
    """A room after all of an unsteady log."""
    *_, (_, replay) = replayed(unsteady(seed), room)
    return replay


def screens(of: Rooms, room: str) -> list[str]:
    """The ids of what a room has said to screens."""
    return [what.id for name, what in words(of) if name == room and isinstance(what, Entry)]


@pytest.mark.parametrize("idle", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(2))
def test_when_rooms_hear_of_ticks_changes_nothing(seed: int, idle: float) -> None:
    """After any part of the records, for none to all of the rooms that wait: they say the same, and stand the same."""
    log, chance, made = unsteady(seed), random.Random(seed), rooms()
    for start, piece in pieces(log, seed):
        made.take(0, batch(piece, start))
        if chance.random() < idle:
            made.ticks.tell_for(chance.choice([1e-9, 1e-3, math.inf]))
    made.ticks.tell_for(math.inf)

    for room in ROOMS:
        replay = whole(seed, room)
        assert made.partitions[0].rooms[room].state.line() == replay.state.line()
        assert screens(made, room) == [said.id for said in replay.said]
        assert len(replay.said) > 10


class Memory(Store):
    """Holds what was saved, and takes whatever is said."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.position = -1
        self.saved: dict[str, bytes] = {}

    async def save(
        self,
        partition: int,
        fence: Fence,
        before: Collection[int],
        position: int | None,
        snapshots: Mapping[str, bytes],
    ) -> None:
        """Keep it."""
        self.saved |= snapshots
        self.position = self.position if position is None else position

    async def say(self, partition: int, fence: Fence, room: str, entries: Sequence[Entry]) -> None:
        """Nobody listens."""

    async def keep_show(self, partition: int, fence: Fence, recap: Recap) -> None:
        """Nobody asks for it."""


async def anywhere(_: object) -> None:
    """Takes every record."""


def test_what_is_saved_knows_every_tick_before_its_position() -> None:
    """A position beyond a tick stands with rooms that have heard of it: nobody will read that tick again."""
    log, chance, store = unsteady(2), random.Random(2), Memory()
    replays = {room: replayed(log, room) for room in ROOMS}

    async def run() -> int:
        made, compared = rooms(), 0
        made.store = made.outbox._store = store
        made.outbox._send = anywhere
        carrying = [asyncio.create_task(lane.carry()) for lane in (made.outbox.screens, made.outbox.log)]
        for start, piece in pieces(log, 2):
            made.take(0, batch(piece, start))
            if chance.random() < 0.5:
                made.ticks.tell_for(1e-9)
            if chance.random() < 0.2:
                await asyncio.wait_for(made.save(), TIMEOUT_S)
                for room, blob in store.saved.items():
                    state = RoomState(room, PLAYBOOK, made._config)
                    revive(state, blob)
                    replay = next(replay for offset, replay in replays[room] if offset == store.position - 1)
                    assert state.line() == replay.state.line()
                    compared += 1
        for task in carrying:
            task.cancel()
        return compared

    assert asyncio.run(run()) > 5


def held() -> tuple[Rooms, Partition]:
    """A worker with two rooms that each have a second to close 4 s after END_MS, and their partition."""
    made = rooms()
    chats = [b'{"type":"chat","room":"%s","text":"1","ts":%d}' % (room.encode(), END_MS) for room in ROOMS]
    made.take(0, batch([(place, END_MS, room.encode(), chats[place]) for place, room in enumerate(ROOMS)], 0))
    return made, made.partitions[0]


def closed(partition: Partition) -> list[int]:
    """How many seconds each room has closed."""
    return [kept.state.closed for kept in partition.rooms.values()]


def tick(of: Rooms, after_s: float) -> None:
    """The log goes on by a tick that long after END_MS."""
    of.take(0, batch([(of.partitions[0].next_offset, END_MS + int(after_s * 1_000), TICK_KEY, TICK)]))


def test_a_tick_lets_no_room_work_at_once() -> None:
    """Taking it only marks the rooms; their turn comes later, one after the other."""
    made, partition = held()
    tick(made, 4)
    assert closed(partition) == [0, 0]

    made.ticks.tell_for(1e-9)
    assert closed(partition) == [1, 0]
    tick(made, 6)
    made.ticks.tell_for(math.inf)
    assert closed(partition) == [3, 3]


def test_an_event_meets_a_room_that_knows_the_time() -> None:
    """A room with an event hears of the tick before it at once, and has its turn no more."""
    made, partition = held()
    tick(made, 4)
    late = b'{"type":"chat","room":"a","text":"1","ts":%d}' % END_MS
    made.take(0, batch([(partition.next_offset, END_MS + 3_000, b"a", late)]))

    assert closed(partition) == [1, 0]
    assert partition.rooms["a"].state.late == 1
    assert list(made.ticks._turns) == [partition.rooms["b"]]


def test_rooms_of_a_lost_partition_have_no_turn() -> None:
    """What is lost, its next owner does; the one held in its place has its turn."""
    made, gone = held()
    tick(made, 4)
    gone.lost = True
    made.partitions[0] = here = held()[1]
    tick(made, 4)
    made.ticks.tell_for(math.inf)

    assert (closed(gone), closed(here)) == ([0, 0], [1, 1])
    assert not made.ticks._turns


def test_a_room_without_a_second_to_close_has_no_turn() -> None:
    """Until its next event or the next time it is saved a tick costs it nothing."""
    made, partition = held()
    tick(made, 3.999)

    assert not made.ticks._turns
    assert [kept.tick_ms for kept in partition.rooms.values()] == [END_MS + 3_999] * 2


def test_records_wait_for_rooms_that_are_far_behind_the_ticks() -> None:
    """Up to LAG_MAX_MS of ticks may be owed to a room; beyond it reading goes on once the rooms had their turn."""
    made, partition = held()
    lag_s = LAG_MAX_MS / 1_000

    async def run() -> None:
        tick(made, 4)
        tick(made, 4 + lag_s)
        await asyncio.wait_for(made.ticks.kept_up(), TIMEOUT_S)

        tick(made, 4 + lag_s + 1)
        waiting = asyncio.create_task(made.ticks.kept_up())
        await asyncio.sleep(2 * SLICE_S)
        assert not waiting.done()

        telling = asyncio.create_task(made.ticks.tell_forever())
        await asyncio.wait_for(waiting, TIMEOUT_S)
        telling.cancel()

    asyncio.run(run())
    assert closed(partition) == [2 + lag_s] * 2


def test_a_fault_in_one_room_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core fails in one room at each tick: the other goes on, and so does the worker."""
    advance = RoomState.advance

    def failing(of: RoomState, now_ms: int) -> None:
        if of.room == "a":
            raise ZeroDivisionError
        advance(of, now_ms)

    monkeypatch.setattr(RoomState, "advance", failing)
    made, partition = held()
    for after_s in (4, 5, 6):
        tick(made, after_s)
        made.ticks.tell_for(math.inf)

    assert closed(partition) == [0, 3]
