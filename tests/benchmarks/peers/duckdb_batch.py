"""DuckDB over the whole file at once: a batch engine, here as the oracle and as the other end of the scale.

`literal`: each window's definition as it stands, COUNT(DISTINCT) over a range join; it needs much time and memory.
`over`: the same by window functions; the runner checks that both agree before it trusts this one at full length.
`intervals`: each user's stay in a window as an interval that opens and closes, the quickest way known here.
"""

from pathlib import Path

import duckdb
from contract import START_S, WINDOWS_S, Meter, arguments, report

LOAD = """
CREATE TABLE events AS
SELECT room, "user" AS u, (ts // 1000 - {start_s})::INTEGER AS s, type, amount
FROM (SELECT * FROM read_json('{file}', format = 'newline_delimited',
  columns = {{type: 'VARCHAR', room: 'VARCHAR', "user": 'VARCHAR', ts: 'BIGINT', amount: 'BIGINT'}}) LIMIT {events})
"""
SECONDS = """
CREATE TABLE seconds AS
SELECT room, s, count(*) FILTER (type = 'viewer.join') AS joins, count(*) FILTER (type = 'chat') AS chats,
  count(*) FILTER (type = 'cart.add') AS carts, count(*) FILTER (type = 'order.paid') AS orders,
  coalesce(sum(amount) FILTER (type = 'order.paid'), 0)::BIGINT AS gmv
FROM events GROUP BY ALL
"""
GRID = """
CREATE TABLE grid AS
SELECT room, s + 1 AS end_s FROM (SELECT DISTINCT room FROM events),
  (SELECT unnest(range(0, (SELECT max(s) + 1 FROM events)::BIGINT))::INTEGER AS s)
"""
INTERVALS = """
CREATE TABLE stays AS
SELECT room, u, s, lead(s) OVER (PARTITION BY room, u ORDER BY s) AS next_s
FROM (SELECT DISTINCT room, u, s FROM events)
"""
COUNTS = """
SELECT grid.room, grid.end_s, {sums} FROM grid
LEFT JOIN seconds ON seconds.room = grid.room AND seconds.s = grid.end_s - 1
WINDOW w AS (PARTITION BY grid.room ORDER BY grid.end_s ROWS BETWEEN {before} PRECEDING AND CURRENT ROW)
"""
USERS = {
    "literal": """
SELECT grid.room, grid.end_s, count(DISTINCT e.u) AS users FROM grid
JOIN (SELECT DISTINCT room, u, s FROM events) e
  ON e.room = grid.room AND e.s >= grid.end_s - {window_s} AND e.s < grid.end_s
GROUP BY ALL
""",
    "over": """
SELECT room, s + 1 AS end_s, max(d) AS users FROM (
  SELECT room, s, count(DISTINCT u) OVER (PARTITION BY room ORDER BY s RANGE BETWEEN {before} PRECEDING AND CURRENT ROW)
    AS d FROM events)
GROUP BY ALL
""",
    "intervals": """
SELECT room, end_s, sum(d) OVER (PARTITION BY room ORDER BY end_s) AS users FROM (
  SELECT room, end_s, sum(d) AS d FROM (
    SELECT room, s + 1 AS end_s, 1 AS d FROM stays
    UNION ALL SELECT room, least(s + {window_s}, coalesce(next_s, s + {window_s})) + 1, -1 FROM stays
    UNION ALL SELECT room, end_s, 0 FROM grid)
  GROUP BY room, end_s)
""",
}
ROWS = """
SELECT {window_s} AS window_s, c.room, c.end_s, c.joins, c.chats, c.carts, c.orders, c.gmv,
  coalesce(a.users, 0)::BIGINT AS users, c.carts / nullif(a.users, 0) AS conversion
FROM ({counts}) c LEFT JOIN ({users}) a USING (room, end_s)
"""


def compute(connection: duckdb.DuckDBPyConnection, file: Path, events: int, variant: str) -> str:
    """Make the table `answer` from the first `events` events of `file`; returns its name."""
    connection.execute("SET threads = 1")
    connection.execute(LOAD.format(start_s=START_S, file=file, events=events))
    connection.execute(SECONDS)
    connection.execute(GRID)
    if variant == "intervals":
        connection.execute(INTERVALS)
    parts = []
    for window_s in WINDOWS_S:
        names = ("joins", "chats", "carts", "orders", "gmv")
        sums = ", ".join(f"coalesce(sum({name}) OVER w, 0)::BIGINT AS {name}" for name in names)
        counts = COUNTS.format(sums=sums, before=window_s - 1)
        users = USERS[variant].format(window_s=window_s, before=window_s - 1)
        parts.append(ROWS.format(window_s=window_s, counts=counts, users=users))
    connection.execute(f"CREATE TABLE answer AS {' UNION ALL '.join(parts)}")
    return "answer"


if __name__ == "__main__":
    given = arguments("intervals", "over", "literal")
    meter = Meter()
    with duckdb.connect() as connection:
        meter.start()
        name = compute(connection, given.file, given.events, given.variant)
        spent = meter.spent()
        rows = connection.execute(f"SELECT * FROM {name}").fetchall()
    report(given, f"DuckDB {duckdb.__version__}", spent, rows)
