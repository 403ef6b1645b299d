"""The lanes to Redis and Kafka: in order, tried again, bounded; and the clock of a partition."""

import asyncio
from collections.abc import Sequence

import pytest

from agents import outbox
from agents.outbox import Lane, Letter, Record
from agents.partition import Partition
from agents.store import Fence

TIMEOUT_S = 5.0


def partition() -> Partition:
    """One that is held."""
    return Partition(0, 0, Fence(1, "me"))


def letter(number: int, of: Partition) -> Letter:
    """The letter of a number."""
    return Letter(of, "room", Record("topic", None, str(number).encode()))


def values(letters: Sequence[Letter]) -> list[int]:
    """The numbers of letters."""
    return [int(one.what.value or b"") for one in letters if isinstance(one.what, Record)]


class Server:
    """Takes letters, or refuses to for the next `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.taken: list[int] = []

    async def deliver(self, letters: Sequence[Letter]) -> None:
        """Take all of them."""
        if self.failures:
            self.failures -= 1
            raise OSError("away")
        self.taken += values(letters)


def test_letters_come_in_order_after_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away for a while gets everything, once and in order, and `settled` waits for it."""
    monkeypatch.setattr(outbox, "RETRY_S", (0.0,))
    server = Server(failures=7)

    async def run() -> None:
        lane, held = Lane("server", server.deliver), partition()
        carrying = asyncio.create_task(lane.carry())
        for number in range(1_200):
            lane.put(letter(number, held))
        await asyncio.wait_for(lane.settled(), TIMEOUT_S)
        carrying.cancel()

    asyncio.run(run())

    assert server.taken == list(range(1_200))


def test_letters_of_a_lost_partition_are_dropped() -> None:
    """What was said for a partition that another worker has now is that worker's to say."""
    server = Server()

    async def run() -> None:
        lane, lost, held = Lane("server", server.deliver), partition(), partition()
        for number in range(4):
            lane.put(letter(number, lost if number % 2 else held))
        lost.lost = True
        carrying = asyncio.create_task(lane.carry())
        await asyncio.wait_for(lane.settled(), TIMEOUT_S)
        carrying.cancel()

    asyncio.run(run())

    assert server.taken == [0, 2]


def test_a_full_lane_says_so_until_half_of_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is space up to the limit, none at it, and again once it is half empty."""
    monkeypatch.setattr(outbox, "LANE_MAX", 1_000)
    server = Server()

    async def run() -> list[bool]:
        lane, held = Lane("server", server.deliver), partition()
        for number in range(999):
            lane.put(letter(number, held))
        spaces = [lane.space.is_set()]
        lane.put(letter(999, held))
        spaces.append(lane.space.is_set())
        carrying = asyncio.create_task(lane.carry())
        await asyncio.wait_for(lane.space.wait(), TIMEOUT_S)
        await asyncio.wait_for(lane.settled(), TIMEOUT_S)
        spaces.append(lane.space.is_set())
        carrying.cancel()
        return spaces

    assert asyncio.run(run()) == [True, False, True]


def test_the_clock_of_a_partition_is_the_logs() -> None:
    """It goes on from the newest arrival by the time passed since, whatever the worker's own clock says, never back."""
    now = [50.0]
    held = Partition(0, 0, Fence(1, "me"), clock=lambda: now[0])
    assert held.now_ms() is None

    held.hear(1_000_000)
    now[0] = 52.5
    assert held.now_ms() == 1_002_500

    held.hear(1_001_000)  # the log's clock stepped back, or this is read late
    assert held.now_ms() == 1_002_500

    held.hear(1_010_000)
    now[0] = 53.0
    assert held.now_ms() == 1_010_500
