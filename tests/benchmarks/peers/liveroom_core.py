"""Our `stream/` alone: the rooms' state as any caller drives it, read at the end of each second; not durable.

It keeps all its own numbers beside the seven that are asked for: products, sessions, retention, duplicates. `every`:
each second all numbers of the room are worked out, and all plays decided.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import core  # it lies one folder up
from contract import Meter, Row, arguments, chunks, report

from agents.settings import Settings, load_playbook
from stream.columns import joined
from stream.rehearsal import rehearse

BATCH_RECORDS = 40_000  # as many as a block of the file holds

if __name__ == "__main__":
    given = arguments("seven", "every")
    rehearse()
    core.settle()
    meter, rows = Meter(), list[Row]()

    def batches():
        """Of a file the bytes as they are, of a topic what the client gives."""
        if given.input == "file":
            meter.start()
            yield from core.blocks(given.file, given.events)
        else:
            held: list[bytes] = []
            for chunk in chunks(given):
                meter.start()
                held += chunk
                if len(held) >= BATCH_RECORDS:
                    yield joined(held)
                    held = []
            if held:
                yield joined(held)

    if given.variant == "every":
        core.run(batches(), load_playbook(Settings()), core.seven_of_all(rows))
    else:
        core.run(batches(), core.no_plays(), core.seven(rows))
    report(given, "liveroom, this checkout", meter.spent(), rows)
