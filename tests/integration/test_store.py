"""What Redis lets a worker write: one writer a partition, each thing said once, nothing over a gap."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis

from agents.settings import Settings
from agents.store import Entry, Fence, Refused, Store, prompts_key, said_key

ROOM = "room"
MINE, OTHER = Fence(3, "me"), Fence(4, "another")


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """A store needs no broker."""
    return Settings(redis=redis_url, events_topic="events")


def do(settings: Settings, work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Something with a store of its own."""

    async def run() -> Any:
        store = Store(settings)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def entry(id_: str, what: str = "") -> Entry:
    """A prompt."""
    return Entry(id_, "prompt", what or f"prompt issued {id_}", id_.encode())


def test_a_later_generation_takes_over_and_an_earlier_one_does_not(settings: Settings) -> None:
    """Claims: nobody's, one's own, and a later generation's are granted; the same or an earlier one's are not."""

    async def work(store: Store) -> list[tuple[bool, Fence | None]]:
        return [
            await store.claim(0, MINE),
            await store.claim(0, Fence(2, "me")),
            await store.claim(0, MINE),
            await store.claim(0, Fence(3, "another")),
            await store.claim(0, OTHER),
            await store.claim(0, MINE),
            await store.claim(0, MINE, instead_of=Fence(9, "a third")),
            await store.claim(0, MINE, instead_of=OTHER),
        ]

    found = do(settings, work)

    assert [done for done, _ in found] == [True, True, True, False, True, False, False, True]
    assert [held for _, held in found] == [None, MINE, Fence(2, "me"), MINE, MINE, OTHER, OTHER, OTHER]


@pytest.mark.parametrize("way", ["save", "say", "publish"])
def test_who_was_followed_by_another_writes_nothing(settings: Settings, way: str) -> None:
    """After a later claim every write of the one before is refused, and nothing of it is in Redis."""
    writes: dict[str, Callable[[Store], Awaitable[None]]] = {
        "save": lambda store: store.save(0, MINE, {-1}, 7, {ROOM: b"x"}),
        "say": lambda store: store.say(0, MINE, ROOM, [entry("1-0")]),
        "publish": lambda store: store.publish(0, MINE, ROOM, {"at_ms": b"1"}, [], b"{}"),
    }

    async def work(store: Store) -> None:
        await store.claim(0, MINE)
        await store.claim(0, OTHER)
        with pytest.raises(Refused):
            await writes[way](store)

    do(settings, work)
    with redis.Redis.from_url(settings.redis) as client:
        assert client.keys() == [b"liveroom:fences:events"]


def test_a_save_follows_the_one_before(settings: Settings) -> None:
    """A save that builds on another position than the one that stands there is refused: that Redis is an older one."""

    async def work(store: Store) -> tuple[dict[int, int], list[tuple[str, bytes]]]:
        await store.claim(0, MINE)
        await store.save(0, MINE, {-1}, 10, {"a": b"a10"})
        await store.save(0, MINE, {10}, None, {"b": b"b12"})
        await store.save(0, MINE, {7, 10}, 20, {})
        with pytest.raises(Refused):
            await store.save(0, MINE, {10}, 30, {"a": b"a30"})
        return await store.positions(), await store.snapshots(0)

    positions, snapshots = do(settings, work)

    assert positions == {0: 20}
    assert snapshots == [("a", b"a10"), ("b", b"b12")]


def test_what_was_said_is_not_said_again(settings: Settings) -> None:
    """The same thing is in the stream once, under the entry id it was said with first, in whatever order it comes."""

    async def work(store: Store) -> None:
        await store.claim(0, MINE)
        await store.say(0, MINE, ROOM, [entry("100-0"), entry("100-1"), entry("200-0")])
        await store.say(0, MINE, ROOM, [entry("100-0"), entry("100-1"), entry("200-0"), entry("300-0")])
        await store.say(0, MINE, ROOM, [entry("300-0")])

    do(settings, work)
    with redis.Redis.from_url(settings.redis) as client:
        assert [id_ for id_, _ in client.xrange(prompts_key(ROOM))] == [b"100-0", b"100-1", b"200-0", b"300-0"]


def test_something_new_with_an_old_id_is_still_said(settings: Settings) -> None:
    """After a rebuild with another playbook a prompt may come with an id below the newest: it goes to the end."""

    async def work(store: Store) -> None:
        await store.claim(0, MINE)
        await store.say(0, MINE, ROOM, [entry("200-0"), entry("200-1")])
        await store.say(0, MINE, ROOM, [entry("200-0", "another prompt"), entry("200-0", "another prompt")])

    do(settings, work)
    with redis.Redis.from_url(settings.redis) as client:
        assert [id_ for id_, _ in client.xrange(prompts_key(ROOM))] == [b"200-0", b"200-1", b"200-2"]


def test_what_was_said_is_remembered_longer_than_it_is_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is older than everything remembered, nothing is said again; the memory has its limit."""
    monkeypatch.setattr("agents.store.SAID_KEPT", 20)

    async def work(store: Store) -> None:
        await store.claim(0, MINE)
        everything = [entry(f"{ms}-0") for ms in range(100, 150)]
        for _ in range(3):
            for one in everything:
                await store.say(0, MINE, ROOM, [one])

    do(settings, work)
    with redis.Redis.from_url(settings.redis) as client:
        assert client.zcard(said_key(ROOM)) == 20
        assert client.xlen(prompts_key(ROOM)) == 50
