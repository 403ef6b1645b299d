"""A scrape of a worker: the text is the library's own, and whatever else waits gets its turns meanwhile."""

import asyncio

from prometheus_client.openmetrics.exposition import generate_latest

from agents.settings import Settings, load_playbook
from agents.telemetry import GAUGES, RoomsCollector, Telemetry, exposition
from stream.events import ViewerJoin
from stream.room import RoomConfig, RoomState

NOW_MS = 1_760_000_000_000


def test_a_scrape_gives_way_between_families() -> None:
    """As many turns as families, and not a byte differs from a scrape in one go."""
    telemetry = Telemetry()
    playbook = load_playbook(Settings())
    states = [RoomState(f"r{n}", playbook, RoomConfig()) for n in range(20)]
    for state in states:
        state.apply(ViewerJoin(room=state.room, ts=NOW_MS, id="j", user="u"), NOW_MS)
        state.advance(NOW_MS + 10_000)
    telemetry.registry.register(RoomsCollector(lambda: states, lambda: {0: 5}))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def scraped() -> bytes:
        waiting = asyncio.create_task(others())
        text = await exposition(telemetry.registry)
        waiting.cancel()
        return text

    text = asyncio.run(scraped())
    age = b"liveroom_snapshot_age_seconds "

    def told(scrape: bytes) -> list[bytes]:
        return [line for line in scrape.splitlines() if not line.startswith(age)]

    assert told(text) == told(generate_latest(telemetry.registry))  # type: ignore[no-untyped-call]
    assert b'room="r19"' in text
    assert turns > len(GAUGES)
