"""Every error, by whose fault it is.

LiveroomError
├── RejectedEvent     the sender's: the record goes to the dead letters and is counted, nothing crashes
└── OperatorError     the operator's: the message ends with what to do
    ├── PlaybookError   a play names something that does not exist, or has the wrong type
    └── SnapshotError   a snapshot is unreadable or from a newer version
A caller of ours who breaks a function's terms gets ValueError.
"""

from typing import Literal

Reason = Literal[
    "empty",  # a null or empty value
    "malformed",  # not JSON
    "unknown_type",
    "invalid",  # a field is missing, has the wrong type or is out of range
    "absurd_time",
    "wrong_room",  # the value's room differs from the record's key
    "too_large",
    "currency",  # not the currency of this show
]


class LiveroomError(Exception):
    """The root of the tree."""


class RejectedEvent(LiveroomError):
    """An event that cannot be taken; `reason` is one of a closed set, `detail` says it for a person."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


class OperatorError(LiveroomError):
    """Something the person who runs this can mend; the message ends with what to do."""


class PlaybookError(OperatorError):
    """A play cannot be used; the message names the play, the field and the nearest valid name."""


class SnapshotError(OperatorError):
    """A snapshot cannot be read by this version."""
