"""Polars over the whole file at once, one thread: a batch engine, each user's stays in a window as intervals."""

import os

os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl  # the number of threads is fixed at import
from contract import START_S, WINDOWS_S, Meter, arguments, report

SUMS = ("joins", "chats", "carts", "orders", "gmv")
KINDS = {"joins": "viewer.join", "chats": "chat", "carts": "cart.add", "orders": "order.paid"}
FIELDS = {"type": pl.String, "room": pl.String, "user": pl.String, "ts": pl.Int64, "amount": pl.Int64}
c = pl.col


def compute(events: pl.DataFrame) -> pl.DataFrame:
    """All rows, in the order of the contract."""
    events = events.with_columns(s=(c("ts") // 1000 - START_S).cast(pl.Int32))
    counts = {name: (c("type") == kind).sum().cast(pl.Int64) for name, kind in KINDS.items()}
    gmv = c("amount").filter(c("type") == KINDS["orders"]).sum()
    seconds = events.group_by("room", "s").agg(**counts, gmv=gmv)
    last_s = events["s"].max()
    assert isinstance(last_s, int)
    every = pl.DataFrame({"s": pl.Series(range(last_s + 1), dtype=pl.Int32)})
    grid = events.select("room").unique().join(every, how="cross").sort("room", "s")
    base = grid.join(seconds, on=["room", "s"], how="left").with_columns(c(*SUMS).fill_null(0)).sort("room", "s")
    stays = (
        events.select("room", "user", "s")
        .unique()
        .sort("room", "user", "s")
        .with_columns(next_s=c("s").shift(-1).over("room", "user"))
    )
    return pl.concat([_window(window_s, grid, base, stays) for window_s in WINDOWS_S])


def _window(window_s: int, grid: pl.DataFrame, base: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    total = {name: c(name).cum_sum().over("room") for name in SUMS}
    sums = base.with_columns(
        (running - running.shift(window_s).over("room").fill_null(0)).alias(name) for name, running in total.items()
    )
    opened = stays.group_by("room", "s").agg(opened=pl.len().cast(pl.Int64))
    closing_s = pl.min_horizontal(c("s") + window_s, pl.coalesce("next_s", c("s") + window_s))
    closed = stays.group_by("room", s=closing_s).agg(closed=pl.len().cast(pl.Int64))
    users = (
        grid.join(opened, on=["room", "s"], how="left")
        .join(closed, on=["room", "s"], how="left")
        .with_columns(c("opened", "closed").fill_null(0))
        .sort("room", "s")
        .with_columns(users=(c("opened") - c("closed")).cum_sum().over("room"))
    )
    rows = sums.join(users.select("room", "s", "users"), on=["room", "s"])
    rate = pl.when(c("users") > 0).then(c("carts") / c("users"))
    return rows.select(pl.lit(window_s).alias("window_s"), "room", c("s") + 1, *SUMS, "users", rate.alias("rate"))


if __name__ == "__main__":
    given = arguments()
    meter = Meter()
    meter.start()
    answer = compute(pl.read_ndjson(given.file, schema=FIELDS).head(given.events))
    spent = meter.spent()
    report(given, f"Polars {pl.__version__}", spent, answer.rows())
