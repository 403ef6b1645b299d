"""Recorded events through the core alone, without a server: `numbers.ndjson` and `prompts.ndjson`.

The same core gives the same numbers as the worker; a room's arrival times are the running maximum of its event times.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import msgspec

from stream.errors import OperatorError, RejectedEvent
from stream.events import decode, milliseconds
from stream.playbook import Playbook
from stream.prompts import Prompt
from stream.room import RoomConfig, RoomState, Said
from stream.view import Line


class Report(msgspec.Struct):
    """What a dry run read and wrote."""

    events: int = 0
    rooms: int = 0
    lines: int = 0
    prompts: int = 0
    duplicates: int = 0
    late: int = 0
    rejected: dict[str, int] = {}


def dry_run(records: Iterable[bytes], out: Path, playbook: Playbook, config: RoomConfig) -> Report:
    """Apply `records` in their order and write what the rooms say below `out`, which is made if absent.

    A record that cannot be taken is counted by reason. Raises OperatorError where `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with open(out / "numbers.ndjson", "wb") as numbers, open(out / "prompts.ndjson", "wb") as prompts:
            return _Run(playbook, config, numbers, prompts).all(records)
    except OSError as error:
        raise OperatorError(
            f"cannot write to {out}: {error.strerror or error}; name a directory you may write"
        ) from None


class _Run:
    def __init__(self, playbook: Playbook, config: RoomConfig, numbers: IO[bytes], prompts: IO[bytes]) -> None:
        self._playbook = playbook
        self._config = config
        self._numbers = numbers
        self._prompts = prompts
        self._rooms: dict[str, RoomState] = {}
        self._newest_ms: dict[str, int] = {}
        self._report = Report()

    def all(self, records: Iterable[bytes]) -> Report:
        rejected: Counter[str] = Counter()
        for record in records:
            try:
                self._apply(record)
            except RejectedEvent as problem:
                rejected[problem.reason] += 1
        for state in self._rooms.values():
            state.finish()
            self._write(state)
        report = self._report
        report.rooms = len(self._rooms)
        report.duplicates = sum(state.duplicates for state in self._rooms.values())
        report.late = sum(state.late for state in self._rooms.values())
        report.rejected = dict(rejected)
        return report

    def _apply(self, record: bytes) -> None:
        event = decode(record)
        state = self._rooms.get(event.room)
        if state is None:
            state = self._rooms[event.room] = RoomState(event.room, self._playbook, self._config)
        arrived_ms = max(self._newest_ms.get(event.room, 0), milliseconds(event.ts))
        state.apply(event, arrived_ms)
        self._newest_ms[event.room] = max(arrived_ms, state.clock.newest_ms)
        self._report.events += 1
        self._write(state)

    def _write(self, state: RoomState) -> None:
        for output in state.drain():
            if isinstance(output, Line):
                self._numbers.write(msgspec.json.encode(output) + b"\n")
                self._report.lines += 1
            elif isinstance(output, Said) and isinstance(output.what, Prompt):
                self._prompts.write(msgspec.json.encode(output.what) + b"\n")
                self._report.prompts += 1
