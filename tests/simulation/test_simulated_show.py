"""The simulated show through the real core: its story is the one that the prompts tell."""

import pytest

from agents import simulate
from agents.settings import Settings, load_playbook
from stream.prompts import OfferProgress, Prompt
from stream.room import RoomConfig, RoomState, Said

END_MS = 1_760_000_000_000
PLAYBOOK = load_playbook(Settings())


def said(seed: int, minutes: int) -> tuple[RoomState, list[object]]:
    room = RoomState("demo", PLAYBOOK, RoomConfig())
    began = END_MS - minutes * 60_000
    words: list[object] = []
    for offset_ms, event in simulate.show(seed, minutes, END_MS, "demo"):
        room.apply(event, began + offset_ms)
        words += [output.what for output in room.drain() if isinstance(output, Said)]
    room.finish()
    return room, words + [output.what for output in room.drain() if isinstance(output, Said)]


@pytest.mark.parametrize("seed", range(12))
def test_the_prompts_tell_the_story(seed: int) -> None:
    """Silence, exodus, price set, offer opened, sold out: each is prompted once, to the right person, in this order."""
    _, words = said(seed, 10)
    prompts = [(prompt.play, prompt.audience) for prompt in words if isinstance(prompt, Prompt)]

    assert prompts == [
        ("dead_air", "host"),
        ("flash_drop", "producer"),
        ("flash_drop", "host"),
        ("sold_out", "producer"),
        ("sold_out", "host"),
    ]


@pytest.mark.parametrize("seed", range(12))
def test_the_offer_is_followed_to_its_end(seed: int) -> None:
    """The progress of the offer goes up to all of its pieces, and ends."""
    _, words = said(seed, 10)
    progress = [word for word in words if isinstance(word, OfferProgress)]
    sold = [each.sold for each in progress]

    assert sold == sorted(sold)
    assert (sold[-1], progress[-1].quantity, progress[-1].state) == (100, 100, "ended")


def test_feeds_within_the_bound_lose_nothing() -> None:
    """Disorder below the lateness makes no straggler, and what came twice counts once."""
    room, _ = said(1, 10)
    arrivals = list(simulate.show(1, 10, END_MS, "demo"))

    assert room.late == 0
    assert room.duplicates == len(arrivals) - len({arrival.event.id for arrival in arrivals})
