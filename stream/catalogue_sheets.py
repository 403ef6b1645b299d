"""The rows of a TOML or CSV file as people and spreadsheets write them, each with its number; nothing is interpreted.

A row is the line of a CSV file on which it begins, or the place of a TOML table, from 1; row 0 is the file as a whole.
"""

import csv
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

Format = Literal["csv", "toml"]

ROWS_MAX = 10_000  # more than any shelf; an event of so many would not fit the log
DELIMITERS = ",;\t，"  # what spreadsheets of several countries write, and what a Chinese keyboard types
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_TOML_PLACE = re.compile(r"\s*\(at line (\d+), column \d+\)")


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, and where."""

    row: int
    column: str
    problem: str


class Row(NamedTuple):
    """One row: what stands in it by the column as its author named it, without what is empty."""

    number: int
    cells: dict[str, Any]


class Sheet(NamedTuple):
    """The rows of a file; `header` is the CSV line with the names of the columns, empty for TOML."""

    rows: list[Row]
    header: list[str]
    header_row: int
    currency: Any  # as a TOML file states it, else None


class Unreadable(Exception):
    """The file as a whole cannot be read."""

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(problem)
        self.problem = Problem(row, "", problem)


def read(data: bytes, form: Format, names: tuple[str, ...], others: frozenset[str], problems: list[Problem]) -> Sheet:
    """The rows of `data`; in TOML the tables called one of `names`, while those called one of `others` are passed over.

    What can be told without reading on is added to `problems`. Raises Unreadable.
    """
    text = _decoded(data)
    sheet = _csv(text, problems) if form == "csv" else _toml(text, names, others, problems)
    if len(sheet.rows) > ROWS_MAX:
        raise Unreadable(0, f"{len(sheet.rows)} rows; a file has at most {ROWS_MAX}")
    if not sheet.rows and not problems:
        raise Unreadable(0, f"there are no {names[0]} in it")
    return sheet


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable(0, "the file is UTF-16; save it as CSV UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        try:
            data.decode("gb18030")
        except UnicodeDecodeError:
            raise Unreadable(line, "the file is not UTF-8; save it as UTF-8") from None
        raise Unreadable(line, "the file is not UTF-8, it looks like GBK; save it as CSV UTF-8") from None


def _filled(cells: Mapping[str, Any]) -> dict[str, Any]:
    return {name: cell for name, cell in cells.items() if not (isinstance(cell, str) and not cell.strip())}


# --- TOML


def _toml(text: str, names: tuple[str, ...], others: frozenset[str], problems: list[Problem]) -> Sheet:
    try:
        document = tomllib.loads(text, parse_float=str)  # a price without quotes keeps its digits
    except RecursionError:
        raise Unreadable(0, "the file is nested too deeply") from None
    except ValueError as error:
        place = _TOML_PLACE.search(str(error))
        line = f" (line {place[1]})" if place else ""
        hint = "; a key with other than a-z, 0-9, _ and - stands in quotes" if "key" in str(error) else ""
        raise Unreadable(0, f"not valid TOML{line}: {_TOML_PLACE.sub('', str(error))}{hint}") from None
    rows: list[Row] = []
    for name, value in document.items():
        if name == "currency" or name in others:
            continue
        if name not in names:
            problems.append(Problem(0, name, f"is not known here; write [[{names[0]}]] and its fields below"))
        elif not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            problems.append(Problem(0, name, f"is no list of tables; write [[{name}]]"))
        else:
            rows.extend(Row(n, _filled(one)) for n, one in enumerate(value, len(rows) + 1))
    return Sheet(rows, [], 0, document.get("currency"))


# --- CSV


def _csv(text: str, problems: list[Problem]) -> Sheet:
    header: list[str] = []
    header_row = 0
    rows: list[Row] = []
    for number, record in _records(text):
        fields = [field.strip() for field in record]
        if not any(fields):  # spreadsheets leave empty lines at the end
            continue
        if not header:
            header, header_row = fields, number
            continue
        if any(fields[len(header) :]):
            problem = f"{len(fields)} cells under {len(header)} columns; put quotes around a cell with a comma"
            problems.append(Problem(number, "", problem))
        named = list(zip(header, fields, strict=False))
        if any(field and not name for name, field in named):
            problems.append(Problem(number, "", "a cell stands under a column without a name"))
        rows.append(Row(number, _filled({name: field for name, field in named if name})))
    return Sheet(rows, header, header_row, None)


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line on which it begins. Raises Unreadable where quotes do not match."""
    lines = _LINES.findall(text)
    skipped, first = _first(lines, 0)
    if re.fullmatch(r"sep=[,;\t]", first.strip("\r\n ")):  # a spreadsheet's own mark
        skipped, first = _first(lines, skipped + 1)
    delimiter = max(DELIMITERS, key=lambda sign: (first.count(sign), sign == ","))
    reader = csv.reader(lines[skipped:], delimiter=delimiter, strict=True)
    begins = skipped + 1
    try:
        for fields in reader:
            yield begins, fields
            begins = skipped + reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(begins, f"not valid CSV from here on: {error}; is a quote left open?") from None


def _first(lines: list[str], start: int) -> tuple[int, str]:
    """The first line from `start` on with anything in it, and its index."""
    return next(((n, line) for n, line in enumerate(lines[start:], start) if line.strip()), (len(lines), ""))
