"""Our core and our worker beside other engines, on the same events, in the same run, each checked against DuckDB.

    python tests/benchmarks/peers/side_by_side.py [--scale 1] [--repeat 1] [--only NAME ...] [--venv DIR]

Each run of an engine is a process of its own; rounds go through all engines before the next begins, and medians of the
rounds are shown. Slow engines get fewer events, and run in the first round alone: the ratio is always to the plain loop
on the same events and the same input, in the same run. `--scale` multiplies the events of all. An engine that is not
installed is left out and named: `pip install '.[peers,test]'` brings them, or `--venv DIR` makes a virtual environment
with them. Flink reads a topic with a connector that Maven fetches (see FLINK_JAR); without it that line is left out.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TIMEOUT_S = 400.0
LITERAL_EVENTS = 200_000  # up to here the oracle is checked against the definition's own words
FLINK_CONNECTOR = "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"
FLINK_JAR = Path.home() / ".m2/repository" / "org/apache/flink/flink-sql-connector-kafka/5.0.0-2.2"
"""`mvn dependency:get -Dtransitive=false -Dartifact=` with FLINK_CONNECTOR puts it there."""


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A script of this folder, how many events it gets (at scale 1) by input, and the module it needs."""

    name: str
    script: str
    events: dict[str, int]
    needs: str
    variant: str | None = None
    batch: bool = False


FILE, TOPIC = "file", "topic"
MANY = 4_000_000  # of the quick ones, so that a worker saves its rooms meanwhile as it does in a show
ENGINES = (
    Engine("plain loop", "plain_loop", {FILE: MANY, TOPIC: MANY}, "orjson"),
    Engine("liveroom stream/", "liveroom_core", {FILE: MANY, TOPIC: MANY}, "msgspec"),
    Engine("liveroom stream/, every number and play", "liveroom_core", {FILE: MANY, TOPIC: MANY}, "msgspec", "every"),
    Engine("liveroom worker", "liveroom_worker", {TOPIC: MANY}, "aiokafka"),
    Engine("csp, csp.stats", "csp_stats", {FILE: MANY, TOPIC: MANY}, "csp"),
    Engine("Bytewax, tuned", "bytewax_flow", {FILE: 300_000, TOPIC: 100_000}, "bytewax", "tuned"),
    Engine("Bytewax, SlidingWindower", "bytewax_flow", {FILE: 5_000}, "bytewax", "documented"),
    Engine("Quix Streams, tuned", "quix_streams", {TOPIC: 30_000}, "quixstreams", "tuned"),
    Engine(
        "Quix Streams, hopping", "quix_streams", {TOPIC: 13_000}, "quixstreams", "documented"
    ),  # windows close 5 s of event time late
    Engine("faust-streaming, agent", "faust_agents", {TOPIC: 30_000}, "faust", "agent"),
    Engine("faust-streaming, hopping tables", "faust_agents", {TOPIC: 100}, "faust", "tables"),
    Engine("Flink SQL, HOP", "flink_sql", {FILE: 100_000, TOPIC: 100_000}, "pyflink"),
    Engine("DuckDB, intervals", "duckdb_batch", {FILE: 300_000}, "duckdb", "intervals", batch=True),
    Engine("DuckDB, window functions", "duckdb_batch", {FILE: 300_000}, "duckdb", "over", batch=True),
    Engine("Polars, intervals", "polars_batch", {FILE: 300_000}, "polars", batch=True),
)
LOOP = ENGINES[0]


@dataclass(frozen=True, slots=True)
class Task:
    """One engine on one input with so many events."""

    engine: Engine
    input: str
    events: int


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scale", type=float, default=1.0)
    options.add_argument("--repeat", type=int, default=1)
    options.add_argument("--only", nargs="+", default=[], metavar="NAME", help="engines whose name holds one of these")
    options.add_argument("--venv", type=Path)
    chosen = options.parse_args()
    if chosen.venv is not None and Path(sys.prefix).resolve() != chosen.venv.resolve():
        again = [str(_environment(chosen.venv)), str(Path(__file__).resolve()), *sys.argv[1:]]
        sys.exit(subprocess.run(again, check=False).returncode)
    compare(chosen.scale, chosen.repeat, chosen.only)


def _environment(folder: Path) -> Path:
    """The interpreter of a virtual environment with what the product, its tests and the peers need."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        wanted = [*project["dependencies"], *extras["peers"], *extras["test"]]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    return python


def tasks(scale: float, only: list[str], left_out: list[str]) -> list[Task]:
    """What is to be run in one round; why an engine is not goes to `left_out`."""
    found: dict[Task, None] = {}
    for engine in ENGINES:
        if only and not any(word.lower() in engine.name.lower() for word in only):
            continue
        if importlib.util.find_spec(engine.needs) is None:
            left_out.append(f"{engine.name}: {engine.needs} is not installed")
            continue
        for source, events in engine.events.items():
            if engine.script == "flink_sql" and source == TOPIC and _flink_jar() is None:
                left_out.append(f"{engine.name} from a topic: {FLINK_CONNECTOR} is not in Maven's local repository")
                continue
            wanted = int(events * scale)
            found[Task(LOOP, source, wanted)] = None
            found[Task(engine, source, wanted)] = None
    return list(found)


def _flink_jar() -> Path | None:
    return next(FLINK_JAR.glob("flink-sql-connector-kafka*.jar"), None)


def compare(scale: float, repeat: int, only: list[str]) -> None:
    """Run all rounds and print the tables."""
    if importlib.util.find_spec(LOOP.needs) is None:
        sys.exit(f"{LOOP.needs} is not installed, and every ratio is to the {LOOP.name}: pip install '.[peers,test]'")
    sys.path.insert(0, str(HERE.parent))
    import harness
    import workload

    left_out: list[str] = []
    todo = tasks(scale, only, left_out)
    subprocess.run([sys.executable, "-m", "stream.rehearsal"], cwd=ROOT, check=True)  # compiled once on a machine
    told: dict[Task, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="liveroom-peers-") as folder, harness.embedded.broker() as broker:
        scratch = Path(folder)
        # A file and a topic for each number of events: some engines read to the end.
        sizes = {task.events for task in todo}
        files = {events: workload.write(scratch / f"workload-{events}.ndjson", events) for events in sizes}
        oracles = {events: oracle(files[events], events, scratch) for events in sizes}
        for events in {task.events for task in todo if task.input == TOPIC}:
            asyncio.run(_fill(broker.address, files[events], events))
        quick = [task for task in todo if task.events == max(sizes)]
        for number in range(repeat):
            for task in quick if number else todo:
                result = run(task, files[task.events], broker.address, scratch)
                if "problem" not in result:
                    result["right"] = verdict(scratch / "rows.csv", oracles[task.events], result.get("partial", False))
                told[task].append(result)
                print(f"  round {number + 1}: {task.engine.name} from a {task.input}", file=sys.stderr, flush=True)
    _print(todo, told)
    for reason in left_out:
        print(f"left out: {reason}")


async def _fill(kafka: str, file: Path, events: int) -> None:
    """A topic with the `events` events of `file`, a record each, in one partition."""
    import harness

    await harness.create_topics(kafka, {_topic(events): 1}, config={"cleanup.policy": "delete"})
    with file.open("rb") as lines:
        some = (line.rstrip(b"\n") for line in lines)
        records = (harness.Record(harness.room_of(line), line, harness.ts_of(line)) for line in some)
        await harness.fill(kafka, _topic(events), records)


def _topic(events: int) -> str:
    return f"workload-{events}"


def run(task: Task, file: Path, kafka: str, scratch: Path) -> dict[str, Any]:
    """One process of an engine: the line of JSON it prints, or a `problem`."""
    argv = [sys.executable, str(HERE / f"{task.engine.script}.py"), "--input", task.input, "--file", str(file)]
    argv += [
        "--bootstrap",
        kafka,
        "--topic",
        _topic(task.events),
        "--events",
        str(task.events),
        "--out",
        str(scratch / "rows.csv"),
    ]
    if task.engine.variant is not None:
        argv += ["--variant", task.engine.variant]
    jar = _flink_jar()
    variables = os.environ | ({"FLINK_KAFKA_JAR": str(jar)} if jar else {})
    (scratch / "rows.csv").unlink(missing_ok=True)
    try:
        done = subprocess.run(argv, capture_output=True, timeout=TIMEOUT_S, cwd=scratch, env=variables, check=False)
    except subprocess.TimeoutExpired:
        return {"problem": f"not done in {TIMEOUT_S:.0f} s"}
    for line in reversed(done.stdout.decode(errors="replace").splitlines()):
        if line.startswith("{"):
            result: dict[str, Any] = json.loads(line)
            return result
    words = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing was printed"]
    return {"problem": f"ended with {done.returncode}: {words[-1][:200]}"}


def oracle(file: Path, events: int, scratch: Path) -> Path:
    """The right rows, as a file; up to LITERAL_EVENTS both of DuckDB's ways must agree."""
    import duckdb
    from duckdb_batch import compute

    target = scratch / f"oracle-{events}.parquet"
    with duckdb.connect() as connection:
        name = compute(connection, file, events, "over")
        connection.execute(f"COPY {name} TO '{target}' (FORMAT parquet)")
    if events <= LITERAL_EVENTS:
        with duckdb.connect() as connection:
            name = compute(connection, file, events, "literal")
            one, other = f"(FROM {name} EXCEPT FROM '{target}')", f"(FROM '{target}' EXCEPT FROM {name})"
            odd = connection.execute(f"SELECT count(*) FROM ({one} UNION ALL {other})").fetchone()
        assert odd == (0,), f"DuckDB disagrees with itself on {odd} rows"
    return target


def verdict(rows: Path, oracle: Path, partial: bool) -> str:
    """Whether every row equals the oracle's; rows of windows that end outside the events are no part of the work."""
    import duckdb

    columns = ("joins", "chats", "carts", "orders", "gmv", "users", "conversion")
    types = {"window_s": "BIGINT", "room": "VARCHAR", "end_s": "BIGINT"} | dict.fromkeys(columns, "BIGINT")
    types["conversion"] = "DOUBLE"
    differs = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in columns)
    with duckdb.connect() as connection:
        counts = connection.execute(f"""
            WITH b AS (FROM read_csv('{rows}', header = true, columns = {types})
              WHERE end_s > 0 AND end_s <= (SELECT max(end_s) FROM '{oracle}'))
            SELECT count(*) FILTER (b.room IS NOT NULL), count(*),
              count(*) FILTER (b.room IS NOT NULL AND (a.room IS NULL OR {differs}))
            FROM '{oracle}' a FULL JOIN b USING (window_s, room, end_s)
        """).fetchone()
    assert counts is not None
    compared, expected, wrong = counts
    if wrong:
        return f"NO: {wrong:,} of {compared:,} rows differ"
    if compared == expected:
        return f"yes, {compared:,} rows"
    return f"{'yes' if partial and compared else 'NO'}, {compared:,} of {expected:,} rows"


def _print(todo: list[Task], told: dict[Task, list[dict[str, Any]]]) -> None:
    from harness import figures, table

    head = (
        "engine",
        "version",
        "input",
        "events",
        "wall s",
        "CPU s",
        "events/s",
        "per CPU s",
        "to the loop",
        "peak MiB",
    )
    ratios: dict[str, float] = {}
    for batch in (False, True):
        rows: list[tuple[object, ...]] = []
        for task in sorted((task for task in todo if task.engine.batch == batch), key=_order):
            results = told[task]
            good = [result for result in results if "problem" not in result]
            if not good:
                problem = results[-1]["problem"]
                rows.append((task.engine.name, "-", task.input, task.events, *[None] * 6, problem))
                continue
            cpu_s = median(result["cpu_s"] for result in good)
            wall_s = median(result["wall_s"] for result in good)
            loop = median(result["cpu_s"] for result in told[Task(LOOP, task.input, task.events)])
            ratio = loop / cpu_s
            ratios[f"{task.engine.name.replace(' ', '_').replace(',', '')}_{task.input}_{task.events}"] = ratio
            right = min(result["right"] for result in good)  # NO before yes
            rates = (wall_s, cpu_s, task.events / wall_s, task.events / cpu_s, ratio)
            peak = max(result["peak_rss_mib"] for result in good)
            rows.append((task.engine.name, good[0]["version"], task.input, task.events, *rates, peak, right))
        if rows:
            print("batch engines: all data at once, nothing incremental" if batch else "streaming engines")
            table((*head, "right?"), rows)
    figures("side_by_side", **ratios)


def _order(task: Task) -> tuple[str, int]:
    return (task.input, ENGINES.index(task.engine))


if __name__ == "__main__":
    main()
