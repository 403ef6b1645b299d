"""What snapshots hold is in an order that says nothing of how it came about."""

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream import packing
from stream.loops import NONE

END_S = 1_760_000_600
cells = st.tuples(st.integers(0, 300), st.integers(1, 600), st.integers(-(10**12), 10**12))
pairs = st.dictionaries(
    st.tuples(st.integers(0, 300), st.integers(1, 1_000_000)), st.one_of(st.just(0), st.integers(END_S - 900, END_S))
)


@given(st.lists(st.one_of(st.none(), cells)))
def test_entries_are_merged_in_the_order_of_time(held: list[tuple[int, int, int] | None]) -> None:
    """By second, then place, with one sum for all of the same; what was let go is left out."""
    rows = [(NONE, 7, 7, 7) if cell is None else (cell[0], END_S - cell[1], cell[2], 9) for cell in held]
    sums: dict[tuple[int, int], int] = {}
    for place, ago, amount in filter(None, held):
        sums[-ago, place] = sums.get((-ago, place), 0) + amount
    places, times, amounts = packing.entries_of(np.array(rows, np.int64).reshape(-1, 4), END_S)

    wanted = [(place, -before, amount) for (before, place), amount in sorted(sums.items())]
    assert [*zip(places.tolist(), times.tolist(), amounts.tolist(), strict=True)] == wanted


@given(pairs, st.integers(0, 40), st.randoms())
def test_pairs_rise(held: dict[tuple[int, int], int], empty: int, chance: Random) -> None:
    """By place, then key, wherever they lie in their table; one never seen stays so."""
    rows = [(place << 32 | key, second) for (place, key), second in held.items()] + [(0, 0)] * empty
    chance.shuffle(rows)
    steps, ago = packing.pairs_of(np.array(rows, np.int64).reshape(-1, 2), END_S)

    assert steps.cumsum().tolist() == [place << 32 | key for place, key in sorted(held)]
    assert ago.tolist() == [END_S - held[pair] if held[pair] else 0 for pair in sorted(held)]


@given(st.lists(st.integers(-3, 3)))
def test_a_row_is_filled_up_to_its_last_value(row: list[int]) -> None:
    """Of both sizes of numbers; nothing is filled of zeros."""
    wanted = max((place + 1 for place, value in enumerate(row) if value), default=0)
    assert packing.filled(np.array(row, np.int64)) == wanted
    assert packing.filled(np.abs(np.array(row, np.int64)).astype(np.uint32)) == wanted
