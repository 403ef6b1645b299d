"""A plan says what the definitions say, whatever is summed and whatever is known."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import products as p
from stream import splits as of_part
from stream.numbers import ALL, BY_KEY, CHANNEL, FROM, MISSING, RETURNING, USER, Known, Make, Number, Totals, named
from stream.plans import Planned
from stream.series import N_SERIES, ORDERS, PEOPLE
from stream.shelf_numbers import PRODUCT_BY_KEY
from stream.split_numbers import OF_ADS, OF_VIEWERS
from stream.surveying import NOT_DIVIDED, UNKNOWN
from stream.tables import table_of

Definitions = list[tuple[str, Make]]
ROOM: Definitions = [(key, one.make) for key, (one, _) in BY_KEY.items()]
PRODUCT: Definitions = [(key, one.make) for key, (one, _) in PRODUCT_BY_KEY.items()]
VIEWERS: Definitions = [(one.name, one.make) for one in OF_VIEWERS]
ADS: Definitions = [(one.name, one.make) for one in OF_ADS]
KINDS = [
    (ROOM, N_SERIES),
    (PRODUCT, p.N_PRODUCT_SERIES),
    (VIEWERS, of_part.N_SPLIT_SERIES),
    (ADS, of_part.N_SPLIT_SERIES),
]
TYPES = (
    "viewer.join", "viewer.leave", "viewer.count", "chat", "like", "share", "follow", "fanclub.join", "gift",
    "room.exposure", "product.expose", "product.click", "cart.add", "order.created", "order.paid", "order.refunded",
    "private.join", "ad.spend",
)  # fmt: skip
TAGS = (*TYPES, *map(named, TYPES), USER, FROM, CHANNEL, RETURNING)

tags = st.one_of(st.just(frozenset(TAGS)), st.frozensets(st.sampled_from(TAGS)))
knowns = st.builds(
    Known, tags, st.one_of(st.just(frozenset()), tags), st.booleans(), st.booleans(), st.booleans(),
    st.frozensets(st.sampled_from([*PEOPLE, *ORDERS])),
)  # fmt: skip
amounts = st.one_of(st.sampled_from([0, 1]), st.integers(0, 10**12), st.integers(-(10**6), 0))


def by_plan(planned: Planned, totals: Totals) -> dict[str, Number]:
    """Every number by its plan; what has none is missing."""
    plan = planned.of(totals.known)
    made = {key: flat(totals.sums, totals.seconds) for key, flat in plan.items()}
    assert list(made) == [key for key, _ in planned.makes if key in made]
    return {key: made.get(key, MISSING) for key, _ in planned.makes}


def exactly(numbers: Iterable[tuple[str, Number]]) -> dict[str, str]:
    """Numbers so that 1 and 1.0 differ, and each last bit counts."""
    return {key: repr(number) for key, number in numbers}


@pytest.mark.parametrize(("definitions", "n_series"), KINDS, ids=["room", "product", "viewers", "ads"])
@given(data=st.data(), known=knowns, seconds=st.sampled_from([0, 1, 60, 599, 7_200]), show=st.booleans())
def test_a_plan_says_what_the_definitions_say(
    definitions: Definitions, n_series: int, data: st.DataObject, known: Known, seconds: int, show: bool
) -> None:
    """For any sums, anything known, any length of window: every number is the same, to the last bit."""
    sums = data.draw(st.lists(amounts, min_size=n_series, max_size=n_series))
    totals = Totals(sums, seconds, known, show)

    made = by_plan(Planned(definitions, show), totals)
    assert exactly(made.items()) == exactly((key, make(totals)) for key, make in definitions)


@given(data=st.data(), now=knowns, then=st.one_of(st.none(), knowns))
def test_a_table_says_what_the_definitions_say(data: st.DataObject, now: Known, then: Known | None) -> None:
    """Every number of every window: its value, its parts and how certain it is; what has no place is missing."""
    few = st.integers(-(2**40), 2**40)  # so that a factor of 6,000 leaves a whole number within a float's 53 bits
    some = st.dictionaries(st.integers(0, N_SERIES - 1), few, max_size=N_SERIES)
    sums, rows = dict[str, list[int]](), list[list[int]]()
    for window in ALL:
        given_ = data.draw(some)
        sums[window] = [given_.get(series, 0) for series in range(N_SERIES)]
        rows.append([*sums[window], data.draw(st.sampled_from([1, 60, 7_200])), 0, 1])
    table = table_of(np.array(rows), now, then)

    made = dict(zip(table.layout.keys, range(len(table.values)), strict=True))
    for (key, (one, window)), row in ((entry, rows[ALL.index(entry[1][1])]) for entry in BY_KEY.items()):
        known = then if window == "prev10m" else now
        number = MISSING
        if known is not None:
            number = one.make(Totals(sums[window], row[-3], known, window == "show"))
        place = made.get(key)
        if place is None:
            assert number == MISSING
            continue
        value, (above, below) = table.values[place], table.parts[place].tolist()
        if below == NOT_DIVIDED:
            assert (value, above, None, None) == (number.value, number.value, number.num, number.den)
        elif below == UNKNOWN:
            assert (np.isnan(value), number) == (True, MISSING)
        else:
            assert (None if np.isnan(value) else value, above, below) == (number.value, number.num, number.den)
        if number.value is not None:
            assert table.layout.statuses[place] == number.status


def test_rooms_that_know_the_same_share_a_plan() -> None:
    """Two thousand rooms must not hold two thousand copies."""
    planned = Planned(ROOM, False)
    first, second = Known(frozenset({"chat"})), Known(frozenset({"chat"}))

    assert first is not second
    assert planned.of(first) is planned.of(second)
    assert planned.of(first) is not planned.of(Known(frozenset({"chat", "like"})))
