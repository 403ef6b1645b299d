"""No event that the contract lets through can break a room: extreme and odd values in every field, in every order."""

import json
import random
from typing import Any, get_args

import msgspec
import pytest

from agents.settings import Settings, load_playbook
from stream import events as e
from stream.errors import RejectedEvent
from stream.room import RoomConfig, RoomState, ShowEnded

START_MS = 1_760_000_000_000
PLAYBOOK = load_playbook(Settings())
TYPES = sorted(get_args(e.RoomEvent), key=lambda one: str(one.__struct_config__.tag))
WHOLE = (0, 1, 5, 100, 10**6, 10**7, 10**12, -1, 2**62)
WORDS = (
    "",
    "p",
    "q",
    "o1",
    "6.8万",
    ",",
    "999亿",
    "x" * 128,
    "\n",
    "\0",
    "💥",
    "全网最低价",
    "ads",
    "flash",
    "quiet",
    "CNY",
    "USD",
)
NEEDED: dict[str, Any] = {
    "text": "a", "product": "p", "amount": 10**12, "available": 10**7, "channel": "feed", "scene": "s", "offer": "o",
    "price": 10**12, "prompt": "x", "products": [], "items": [], "playbook": "", "mode": "quiet", "title": "t",
    "question": "q",
}  # fmt: skip


def odd(chance: random.Random) -> Any:
    """A value as a broken or hostile sender might put it."""
    match chance.randrange(8):
        case 0 | 1 | 2:
            return chance.choice(WHOLE)
        case 3 | 4 | 5:
            return chance.choice(WORDS)
        case 6:
            return [odd(chance) for _ in range(2)]
        case _:
            return {chance.choice(("product", "price", "offer", "order", "region")): odd(chance) for _ in range(2)}


def any_event(chance: random.Random, now_ms: int) -> e.RoomEvent | None:
    """An event with what its type needs and odd values elsewhere; None where the contract refuses it."""
    kind = chance.choice(TYPES)
    fields = {
        "type": kind.__struct_config__.tag,
        "room": "r",
        "ts": now_ms + chance.choice((0, 0, 0, -500, -3_000, -70_000, 4_000, -1_300_000)),
        "user": chance.choice(("u1", "u2", "u3")),
        "source": chance.choice(("a", "b")),
    }
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        if field.required and name in NEEDED:
            fields[name] = NEEDED[name]
        elif name not in fields and chance.random() < 0.5:
            fields[name] = odd(chance)
    try:
        return e.decode(json.dumps(fields).encode())
    except RejectedEvent:
        return None


@pytest.mark.parametrize("seed", range(3))
def test_nothing_the_contract_allows_breaks_a_room(seed: int) -> None:
    """3,000 odd events with pauses: each is taken or refused, and what is said and saved can be written down."""
    chance, now_ms, taken = random.Random(seed), START_MS, 0
    room = RoomState("r", PLAYBOOK, RoomConfig(line_every_s=30))
    for n in range(3_000):
        now_ms += chance.choice((0, 1, 10, 300, 1_000, 5_000))
        event = any_event(chance, now_ms)
        if event is not None:
            try:
                taken += room.apply(event, now_ms)
            except RejectedEvent:
                continue
        if n % 100 == 0:
            for output in room.drain():
                assert msgspec.json.encode(output.recap if isinstance(output, ShowEnded) else output)
            state = room.snapshot()
            room = RoomState("r", PLAYBOOK, RoomConfig(line_every_s=30))
            room.restore(state)
        if n % 1_000 == 999:
            now_ms += 3_600_000
            room.advance(now_ms)

    assert taken > 300
    assert all(type(number.value) in (int, float, type(None)) for number in room.line().numbers.values())
