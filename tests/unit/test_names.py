"""Names as whole numbers: in the order of appearance, none twice, no more than the limit, the same when restored."""

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.admitting import number_of
from stream.names import NOBODY, HashedNames, Hashes, Names, hashed

names = st.none() | st.sampled_from("abcdefgh") | st.text(max_size=3)
batches = st.lists(st.lists(names, max_size=12), max_size=6)


def told(held: Names, batch: list[str | None], together: bool) -> list[int]:
    """The numbers of a batch, asked for singly or together."""
    if not together:
        return [held.number(name) for name in batch]
    numbers: list[int] = held.numbers(batch).tolist()
    return numbers


def brute(batches: list[list[str | None]], limit: int) -> tuple[list[list[int]], list[str | None], bool]:
    """The numbers of each batch, the names by number, and whether any had to be left out."""
    known: list[str | None] = [None]
    full = False
    found = []
    for batch in batches:
        numbers = []
        for name in batch:
            if name not in known and len(known) <= limit:
                known.append(name)
            full |= name not in known
            numbers.append(known.index(name) if name in known else NOBODY)
        found.append(numbers)
    return found, known, full


def test_names_are_numbered_in_the_order_of_appearance() -> None:
    """From 1 on; a name that comes again keeps its number, and None is nobody."""
    held = Names(10)

    assert held.numbers(["b", None, "a", "b", ""]).tolist() == [1, NOBODY, 2, 1, 3]
    assert [held.number(name) for name in ("c", "a", None)] == [4, 2, NOBODY]
    assert (len(held), held.full) == (4, False)
    assert [held.name(number) for number in range(5)] == [None, "b", "a", "", "c"]


@pytest.mark.parametrize("together", [False, True])
def test_beyond_the_limit_a_name_is_nobody(together: bool) -> None:
    """The limit is reached without a word; the first one too many says `full`, and known names keep their numbers."""
    held = Names(2)
    assert told(held, ["a", "b", "a", None], together) == [1, 2, 1, NOBODY]
    assert not held.full

    assert told(held, ["c", "b", "d"], together) == [NOBODY, 2, NOBODY]
    assert (held.full, len(held)) == (True, 2)


def test_where_some_of_many_fit_they_are_numbered() -> None:
    """A batch that might not fit is numbered as far as it goes."""
    held = Names(3)

    assert held.numbers(["a", "a", "a", "a", "b", "c", "d", "a"]).tolist() == [1, 1, 1, 1, 2, 3, NOBODY, 1]
    assert (held.full, len(held)) == (True, 3)


def test_no_names_have_no_numbers() -> None:
    """An empty batch is an empty array of whole numbers, also where the limit is none."""
    for limit in (0, 5):
        numbers = Names(limit).numbers([])

        assert (numbers.tolist(), numbers.dtype.kind) == ([], "i")


@given(batches, st.integers(0, 12), st.booleans())
@example([["a"] * 6, ["b", "c"]], 2, True)
def test_numbers_equal_brute_force(batches: list[list[str | None]], limit: int, together: bool) -> None:
    """One at a time or together, within the limit and beyond."""
    held = Names(limit)
    found, known, full = brute(batches, limit)

    assert [told(held, batch, together) for batch in batches] == found
    assert [held.name(number) for number in range(len(held) + 1)] == known
    assert (len(held), held.full) == (len(known) - 1, full)


@given(batches, batches, st.integers(0, 12))
def test_restored_names_go_on_the_same(
    before: list[list[str | None]], after: list[list[str | None]], limit: int
) -> None:
    """Snapshot in between, as msgpack; what the other one held before is gone."""
    first, second = Names(limit), Names(limit)
    for batch in before:
        first.numbers(batch)
    second.numbers(["z", "y"])
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))
    assert (second.full, len(second)) == (first.full, len(first))

    for batch in after:
        assert second.numbers(batch).tolist() == first.numbers(batch).tolist()
    assert second.snapshot() == first.snapshot()


def test_cleared_names_begin_anew() -> None:
    """Nothing is known, and nothing was left out."""
    held = Names(1)
    held.numbers(["a", "b"])
    held.clear()

    assert (held.full, len(held)) == (False, 0)
    assert (held.number("b"), held.number("a")) == (1, NOBODY)


# --- by their hashes


@given(st.lists(names, max_size=60), st.integers(0, 12))
def test_hashes_have_the_numbers_of_their_names(asked: list[str | None], limit: int) -> None:
    """However many there are, and through a restored one; beyond the limit they are nobody, as names are."""
    wanted, held, loops = Names(limit), Hashes(limit), HashedNames(limit)
    for name in asked:
        number = wanted.number(name)

        assert held.number(name) == loops.number(name) == number
        assert int(number_of(loops.table, hashed(name), NOBODY)) == number
    again, other = Hashes(limit), HashedNames(limit)
    again.learn(held.by_number()[1:])
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(loops.snapshot())))
    assert (held.count, held.full) == (again.count, held.full) == (len(wanted), wanted.full)
    assert again.by_number().tolist() == [hashed(name) for name in wanted.of]
    assert np.array_equal(np.sort(other.table, axis=0), np.sort(loops.table, axis=0))


def test_thousands_of_hashes_find_their_numbers() -> None:
    """The table grows as they come; what loops put into it, within the room that was made, is there as well."""
    held = Hashes(10_000)
    for n in range(3_000):
        assert held.number(f"u{n}") == n + 1
    held.make_room(1_000)
    for n in range(1_000):
        assert number_of(held.table, hashed(f"v{n}"), 3_001 + n) == 3_001 + n
    held.count = 4_000

    assert [held.number(name) for name in ("u0", "u2999", "v0", "v999", "w")] == [1, 3_000, 3_001, 4_000, 4_001]
    assert (held.count, len(held.table) >= 2 * 4_001) == (4_001, True)
