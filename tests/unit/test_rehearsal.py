"""What a worker compiles before it joins its group: all that closing a second calls."""

import re
from pathlib import Path

from agents import fetched, layout
from stream import admitting, loops, packing, scanning, sifting, stepping, surveying
from stream.rehearsal import rehearse

PRODUCT = [path for layer in ("stream", "agents") for path in (Path(__file__).parents[2] / layer).glob("*.py")]


def test_every_loop_that_is_called_is_compiled_beforehand() -> None:
    """No event waits for a compiler, not even the first of its kind."""
    rehearse()
    fetched.rehearse()
    for module in (loops, admitting, scanning, stepping, surveying, sifting, packing, layout):
        call = re.compile(rf"\b{module.__name__.split('.')[1]}\.([a-z]\w*)\(")
        called = {name for path in PRODUCT for name in call.findall(path.read_text())}

        assert called
        assert [name for name in sorted(called) if not getattr(module, name).signatures] == []
