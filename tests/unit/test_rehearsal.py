"""What a worker compiles before it joins its group: all that closing a second calls."""

import re
from pathlib import Path

from stream import loops
from stream.rehearsal import rehearse

CORE = Path(__file__).parents[2] / "stream"


def test_every_loop_that_is_called_is_compiled_beforehand() -> None:
    """No event waits for a compiler, not even the first of its kind."""
    rehearse()
    called = {name for path in CORE.glob("*.py") for name in re.findall(r"\bloops\.([a-z]\w*)\(", path.read_text())}

    assert len(called) > 10
    assert [name for name in sorted(called) if not getattr(loops, name).signatures] == []
