"""Our `stream/` alone: the rooms' state as any caller drives it, read at the end of each second. No plays, not durable.

It keeps all its own numbers beside the seven that are asked for: products, sessions, retention, duplicates.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import core  # it lies one folder up
from contract import Meter, Row, arguments, chunks, report

from stream.columns import joined
from stream.rehearsal import rehearse

if __name__ == "__main__":
    given = arguments()
    rehearse()
    meter, rows = Meter(), list[Row]()

    def batches():
        """Of a file the bytes as they are, of a topic what the client gives."""
        if given.input == "file":
            meter.start()
            yield from core.blocks(given.file, given.events)
        else:
            for chunk in chunks(given):
                meter.start()
                yield joined(chunk)

    core.run(batches(), core.no_plays(), core.seven(rows))
    report(given, "liveroom, this checkout", meter.spent(), rows)
