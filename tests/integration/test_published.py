"""The latest numbers of a room as they stand in Redis."""

import asyncio
import random
from collections.abc import Collection, Mapping

from agents.settings import Settings
from agents.store import Fence, Store, line_fields
from tests.unit.test_rooms import batch, log_of, rooms


class Counting(Store):
    """A store that counts the fields it is given to write."""

    written = 0

    async def publish(
        self,
        partition: int,
        fence: Fence,
        room: str,
        changed: Mapping[str, bytes],
        gone: Collection[str] | None,
        about: bytes,
    ) -> None:
        """Count, then write."""
        self.written += len(changed)
        await super().publish(partition, fence, room, changed, gone, about)


def test_what_stands_in_redis_is_the_whole_line_though_only_changes_are_written(settings: Settings) -> None:
    """Through a show, published at odd moments, products with and without stock: what stands is the line as it is."""
    held = rooms()
    log, at = [record for record in log_of(minutes=20) if b"stock.level" not in record[3] or record[2] == b"a"], 0
    chance = random.Random(2)

    async def play() -> tuple[int, int]:
        nonlocal at
        held.store = store = Counting(settings)
        whole_lines = 0
        try:
            await store.claim(0, held.partitions[0].fence)
            while at < len(log):
                some = log[at : at + chance.choice([5, 40, 300])]
                at += len(some)
                held.take(0, batch(some, start=held.partitions[0].next_offset))
                await held.publish()
                for room, kept in held.partitions[0].rooms.items():
                    if kept.state.show is not None:
                        whole = line_fields(kept.state.line())
                        assert await store.numbers(room) == whole
                        whole_lines += len(whole)
        finally:
            await store.close()
        return store.written, whole_lines

    written, whole_lines = asyncio.run(play())
    assert written < 0.5 * whole_lines


class Deaf(Store):
    """A store that writes, and now and then does not hear that it was done."""

    chance = random.Random(3)

    async def publish(
        self,
        partition: int,
        fence: Fence,
        room: str,
        changed: Mapping[str, bytes],
        gone: Collection[str] | None,
        about: bytes,
    ) -> None:
        """Write, then fail."""
        await super().publish(partition, fence, room, changed, gone, about)
        if self.chance.random() < 0.3:
            raise TimeoutError


def test_what_stands_in_redis_is_the_whole_line_whoever_wrote_before_and_whatever_was_heard(settings: Settings) -> None:
    """Each worker reads the log from its beginning over what the one before left, which has other products alive."""
    log = log_of(minutes=20)
    chance = random.Random(4)

    async def play(upto: int) -> None:
        held = rooms()
        held.store = store = Deaf(settings)
        at = 0
        try:
            await store.claim(0, held.partitions[0].fence, instead_of=held.partitions[0].fence)
            while at < upto:
                some = log[at : min(upto, at + chance.choice([5, 40, 300]))]
                at += len(some)
                held.take(0, batch(some, start=held.partitions[0].next_offset))
                try:
                    await held.publish()
                except TimeoutError:
                    continue
                for room, kept in held.partitions[0].rooms.items():
                    if kept.state.show is not None:
                        assert await store.numbers(room) == line_fields(kept.state.line())
        finally:
            await store.close()

    for part in (1.0, 0.4, 0.9):
        asyncio.run(play(int(part * len(log))))
