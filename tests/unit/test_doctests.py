"""Every example in a docstring says what the code does."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for layer in ("stream", "agents", "dashboards")
    for path in (ROOT / layer).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_hold(name: str) -> None:
    """Each example of the module gives what it shows."""
    result = doctest.testmod(importlib.import_module(name))

    assert result.attempted
    assert not result.failed


def test_there_are_examples() -> None:
    """An empty list would pass."""
    assert "stream.recap_text" in WITH_EXAMPLES
