"""What is left out of collections, and when it is looked at again."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from agents import heap


class Thing:
    """May refer to anything, itself too."""

    def __init__(self, itself: bool) -> None:
        self.other = self if itself else None


@pytest.fixture
def frost() -> Iterator[heap.Frost]:
    """One that has begun, and left behind what a collection found in use; it ends with the test."""
    made = heap.Frost()
    made.begin()
    yield made
    made.end()


@pytest.mark.usefixtures("frost")
def test_what_is_frozen_is_freed_as_ever_and_cycles_at_the_thaw() -> None:
    """Reference counts go on; what refers to itself stays until the thaw, and goes with the collection after it."""
    plain, cycle = Thing(itself=False), Thing(itself=True)
    gc.collect()
    assert gc.get_freeze_count() > 1_000
    there = weakref.ref(plain), weakref.ref(cycle)
    del plain, cycle
    gc.collect()
    assert [one() is None for one in there] == [True, False]

    heap.thaw()
    gc.collect()
    assert there[1]() is None


def test_cycles_are_found_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an hour a collection looks at everything, whatever happened."""
    monkeypatch.setattr(heap, "THAW_EVERY_S", 0.0)
    frost = heap.Frost()
    frost.begin()
    try:
        cycle = Thing(itself=True)
        gc.collect()
        there = weakref.ref(cycle)
        del cycle
        gc.collect()
        assert there() is None
    finally:
        frost.end()


@pytest.mark.usefixtures("frost")
def test_young_cycles_are_found_as_ever() -> None:
    """Only a full collection freezes: what came after it is looked at."""
    gc.collect()
    cycle = Thing(itself=True)
    gc.collect(1)
    there = weakref.ref(cycle)
    del cycle
    gc.collect()

    assert there() is None
