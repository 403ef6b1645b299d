"""What of a room's numbers stands in Redis, so that only what has changed is made, encoded and written again."""

from collections.abc import Mapping
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from agents.store import number_fields, other_fields
from stream.numbers import Known
from stream.soundings import Soundings
from stream.tables import Table
from stream.view import RoomView


class Standing(NamedTuple):
    """As written: the room's numbers, a digest of each other field, and of what each product's line was made of."""

    table: Table | None
    soundings: Soundings | None
    digests: Mapping[str, int]
    marks: Mapping[str, int]
    known: Known | None


NOTHING = Standing(None, None, {}, {}, None)


class Change(NamedTuple):
    """What to write to get from one standing to `after`; `gone` is None where what stands there is not known."""

    fields: dict[str, bytes]
    gone: list[str] | None
    after: Standing


def change(before: Standing, view: RoomView) -> Change:
    """What the numbers of `view` differ in from those that stand in Redis."""
    alive, known = view.products_alive(False), view.known
    marks = {product: mark for product in alive if (mark := view.product_mark(product)) is not None}
    same = {
        product: before.digests[f"p:{product}"]
        for product, mark in marks.items()
        if known is before.known and before.marks.get(product) == mark
    }
    table, soundings = view.table(), view.soundings()
    changed = [*table.changed(before.table), *soundings.changed(before.soundings)]
    # whether a number is an int or a float depends on its key alone: equal is the same text
    fields = number_fields({key: view.number(key) for key in changed})
    others = other_fields(view.beside(without=same))
    digests = {f"p:{product}": digest for product, digest in same.items()}
    for name, value in others.items():
        digests[name] = digest = xxh3_64_intdigest(value)
        if before.digests.get(name) != digest:
            fields[name] = value
    gone = None if before is NOTHING else [name for name in before.digests if name not in digests]
    return Change(fields, gone, Standing(table, soundings, digests, marks, known))
