"""A number and its status; every number by name, with what it needs and how it is made."""

from typing import Literal, NamedTuple

Status = Literal["ok", "estimated", "missing", "stale"]


class Number(NamedTuple):
    """`value` is None unless something is known; `num` and `den` are set for ratios."""

    value: int | float | None
    status: Status
    num: int | None = None
    den: int | None = None


MISSING = Number(None, "missing")
