"""Every number of every window a second way: DuckDB over the same records, from the definitions, one table at a time.

`sql/` holds the parts in their order. Where they and the lines of a dry run differ, one of both is wrong.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from stream.room import RoomConfig

PARTS = sorted(Path(__file__).with_name("sql").glob("*.sql"))
NUMBER = "STRUCT(value VARCHAR, status VARCHAR, num BIGINT, den BIGINT)"
RECORD = {
    "n": "BIGINT",
    "room": "VARCHAR",
    "type": "VARCHAR",
    "ts": "BIGINT",
    "id": "VARCHAR",
    "user": "VARCHAR",
    "source": "VARCHAR",
    "from": "VARCHAR",
    "ref": "VARCHAR",
    "segment": "STRUCT(region VARCHAR, age VARCHAR, spend VARCHAR, interests VARCHAR[])",
    "online": "VARCHAR",
    "total": "VARCHAR",
    "count": "BIGINT",
    "value": "BIGINT",
    "combo": "VARCHAR",
    "product": "VARCHAR",
    "sku": "VARCHAR",
    "qty": "BIGINT",
    "amount": "BIGINT",
    "order": "VARCHAR",
    "channel": "VARCHAR",
    "returning": "BOOLEAN",
    "available": "BIGINT",
    "scene": "VARCHAR",
    "plan": "VARCHAR",
    "audience": "VARCHAR",
    "creative": "VARCHAR",
    "products": "STRUCT(product VARCHAR, daily_sales BIGINT)[]",
}
LINE = {
    "room": "VARCHAR",
    "at_ms": "BIGINT",
    "numbers": f"MAP(VARCHAR, {NUMBER})",
    "products": f"MAP(VARCHAR, MAP(VARCHAR, {NUMBER}))",
    "splits": f"MAP(VARCHAR, MAP(VARCHAR, {NUMBER}))",
}


class Compared(msgspec.Struct, frozen=True):
    """How much was compared, and each cell that differs."""

    events: int
    lines: int
    cells: int
    differences: list[dict[str, Any]]


def compare(records: Iterable[bytes], out: Path, config: RoomConfig) -> Compared:
    """The numbers of `records` by SQL against those that a dry run with `config` wrote below `out`."""
    with duckdb.connect() as db:
        _load(db, records, out, config)
        for part in PARTS:
            db.execute(part.read_text(encoding="utf-8"))
        found = db.execute("FROM differences ORDER BY at_ms, kind, part, key")
        names = [column[0] for column in found.description or ()]
        differences = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return Compared(_rows(db, "happened"), _rows(db, "said"), _rows(db, "ours"), differences)


def _load(db: duckdb.DuckDBPyConnection, records: Iterable[bytes], out: Path, config: RoomConfig) -> None:
    numbered = out / "records.ndjson"
    with open(numbered, "wb") as file:
        file.writelines(b'{"n":%d,%s\n' % (n, record.lstrip()[1:]) for n, record in enumerate(records))
    db.execute("SET VARIABLE every_s = $1", [config.line_every_s])
    db.execute("SET VARIABLE lateness_ms = $1", [config.lateness_ms])
    db.execute("SET VARIABLE online_source = $1", [config.online_source])
    db.execute("SET VARIABLE sources = $1::VARCHAR[]", [sorted(config.sources)])
    for table, path, columns in (("records", numbered, RECORD), ("said", out / "numbers.ndjson", LINE)):
        db.execute(
            f"CREATE TEMP TABLE {table} AS FROM read_json($1, format = 'newline_delimited', columns = {columns})",
            [str(path)],
        )


def _rows(db: duckdb.DuckDBPyConnection, table: str) -> int:
    ((rows,),) = db.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(rows)
