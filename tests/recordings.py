"""Where recorded shows are: a folder beside the checkout, or named by RECORDINGS; they are not part of the project."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(os.environ.get("RECORDINGS", Path(__file__).parents[1].parent / "shared" / "data"))


def recorded(name: str) -> Path:
    """The path of a recording; skips the test where there is none."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"no recording {name} in {ROOT}; set RECORDINGS to where they are")
    return path


def events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a recording as plain objects."""
    with gzip.open(path) as lines:
        for line in lines:
            yield msgspec.json.decode(line)
