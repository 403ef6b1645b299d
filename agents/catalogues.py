"""Catalogues and rundowns as files: what a producer uploads becomes one event, or a list of what is wrong with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from agents.access import Problem
from stream import catalogue_files
from stream.catalogue_sheets import Format
from stream.catalogue_sheets import Problem as Mistake
from stream.errors import OperatorError
from stream.events import MAX_EVENT_BYTES, CatalogueSet, RundownSet, encode

Kind = Literal["catalogue", "rundown"]

FORMS: Mapping[str, Format] = {"text/csv": "csv", "application/toml": "toml", "text/toml": "toml"}
MAX_FILE_BYTES = 2 * MAX_EVENT_BYTES  # a sheet is at most twice as wordy as the event it becomes
MAX_BY = 128


def form_of(content_type: str) -> Format:
    """Which kind of file this content type means. Raises Problem."""
    form = FORMS.get(content_type)
    if form is None:
        raise Problem(415, "unsupported_type", "send the file with Content-Type text/csv or application/toml")
    return form


def event_of(kind: Kind, body: bytes, form: Format, room: str, ts: int, query: Mapping[str, str]) -> bytes:
    """The event a file becomes, at `ts`, encoded; `query` may state `currency` and `by`. Raises Problem with a list."""
    by = query.get("by")
    if by is not None and len(by) > MAX_BY:
        raise Problem(400, "bad_by", f"by has at most {MAX_BY} characters")
    if len(body) > MAX_FILE_BYTES:
        raise _too_large()
    currency = query.get("currency", "CNY")
    event: CatalogueSet | RundownSet
    mistakes: list[Mistake]
    if kind == "catalogue":
        products, mistakes = catalogue_files.products(body, form, currency)
        event = CatalogueSet(room=room, ts=ts, stamped=True, products=tuple(products), by=by)
    else:
        items, mistakes = catalogue_files.rundown(body, form, currency)
        event = RundownSet(room=room, ts=ts, stamped=True, items=tuple(items), by=by)
    if mistakes:
        raise Problem(
            400,
            f"bad_{kind}",
            "mend the cells named and send the whole file again",
            problems=msgspec.to_builtins(mistakes),
        )
    encoded = encode(event)
    if len(encoded) > MAX_EVENT_BYTES:
        raise _too_large()
    return encoded


def check(path: Path, kind: Kind, currency: str) -> tuple[int, list[str]]:
    """How many rows of a file can be used, and a line for each mistake. Raises OperatorError."""
    form: Format = "toml" if path.suffix.lower() == ".toml" else "csv"
    try:
        body = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}; give a CSV or TOML file") from None
    read = catalogue_files.products if kind == "catalogue" else catalogue_files.rundown
    rows, mistakes = read(body, form, currency)
    return len(rows), [_line(path, form, mistake) for mistake in mistakes]


def _line(path: Path, form: Format, mistake: Mistake) -> str:
    where = f"{path}:{mistake.row}" if form == "csv" and mistake.row else str(path)
    table = f"table {mistake.row}, " if form == "toml" and mistake.row else ""
    column = f"{mistake.column}: " if mistake.column else ""
    return f"{where}: {table}{column}{mistake.problem}"


def _too_large() -> Problem:
    return Problem(413, "too_large", f"the whole is one event of at most {MAX_EVENT_BYTES} bytes; leave something out")
