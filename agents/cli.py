"""The `liveroom` command."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from agents import app as worker_app
from agents import catalogues, export, gateway, glossary, heap, recaps, replay, verify
from agents import demo as demo_show
from agents import dry_run as dry
from agents.settings import Settings, from_env, load_playbook, room_config
from agents.topics import create_topics
from stream.errors import LiveroomError

T = TypeVar("T")

FAILED = 1  # something could not be done; the message says what to do
SAME_AGAIN_S = 10.0
MESSAGES_MAX = 1_000  # kinds of messages told apart; there are some dozen
LAST_S = 90.0  # to stop in; what takes long for a reason (the last save, leaving the group) has limits of its own
THREAD_S = 2.0  # for a thread to end after the rest; it has had its time before
VERIFY_LINES = 50  # a screen of differences tells as much as all of them
USAGE = 2  # click's own
DATA = 3  # done, but some input could not be taken

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=CONTEXT, epilog="Settings are LIVEROOM_ variables; README.md lists them.")
@click.version_option(package_name="liveroom")
@click.option("-v", "--verbose", is_flag=True, help="Say more about what happens.")
def main(verbose: bool) -> None:
    """Listens to a live-shopping room and tells the people in it what to do next.

    \b
    Examples:
      liveroom demo                                  a simulated show, nothing else needed
      liveroom worker & liveroom gateway &           beside a Kafka and a Redis
      liveroom replay show.ndjson.gz --speed 10      a recording into a running worker
      liveroom dry-run show.ndjson.gz --out out      a recording through the core alone
      liveroom recap my-room --out recap             files of the show for analysts
      liveroom verify my-room                        are its numbers those of the log?
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if not verbose:  # its own words about a broker that is away repeat ours, many times over
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_seldom())


@main.command()
def worker() -> None:
    """Feed the rooms from Kafka until stopped (SIGINT or SIGTERM).

    Start as many as there are partitions; Kafka's consumer group shares the rooms among them.
    """
    settings = _settings()
    heap.keep_small()
    heap.Frost().begin()
    _run(lambda stop: worker_app.run(settings, stop, lambda url: click.echo(f"worker ready, metrics at {url}")))


@main.command("gateway")
def gateway_command() -> None:
    """Take events over HTTP and serve the pages until stopped (SIGINT or SIGTERM)."""
    settings = _settings()
    _run(lambda stop: gateway.run(settings, stop, lambda url: click.echo(f"gateway ready at {url}")))


@main.command()
def topics() -> None:
    """Create the topics in Kafka, as far as they do not exist."""
    settings = _settings()
    wanted = {settings.events_topic: settings.partitions, settings.prompts_topic: 1, settings.rejected_topic: 1}
    for name, partitions in _finish(create_topics(settings.kafka, wanted, settings.replication)).items():
        click.echo(f"{name}: {partitions} partitions")


@main.command("replay")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--speed", default="1", show_default=True, metavar="N|max", help="Times real time, 1 or more; or max.")
@click.option("--room", default=None, help="Send every event to this room.")
def replay_command(files: tuple[Path, ...], speed: str, room: str | None) -> None:
    """Send recorded events (NDJSON, plain or .gz) into Kafka.

    Several files are overlaid: each begins when the first one does.

    \b
    Examples:
      liveroom replay show.ndjson.gz --speed max
      liveroom replay chat.ndjson orders.ndjson --room evening --speed 20
    """
    settings, pace = _settings(), _guard(lambda: replay.parse_speed(speed))
    report = _finish(replay.replay(settings, files, pace, room, replay.progress_on(sys.stderr)))
    _name(report.problems)
    click.echo(report.line())
    if report.bad:
        sys.exit(DATA)


@main.command("dry-run")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory for the two files.")
@click.option("--every", default=10, show_default=True, type=click.IntRange(1, 3600), help="Seconds between lines.")
@click.option("--room", default=None, help="Take every event as of this room.")
def dry_run(files: tuple[Path, ...], out: Path, every: int, room: str | None) -> None:
    """Recorded events through the core alone: numbers.ndjson and prompts.ndjson.

    \b
    Example:
      liveroom dry-run show.ndjson.gz --out out --every 60
    """
    settings = _settings()
    config = _guard(lambda: room_config(settings, every))
    problems = replay.Problems()
    records = _shown(replay.read(files, room, problems, [0] * len(files)), replay.progress_on(sys.stderr))
    report = _guard(lambda: dry.dry_run(records, out, load_playbook(settings), config))
    _name(problems.shown)
    click.echo(msgspec.json.encode(report))
    if report.rejected or problems.count:
        sys.exit(DATA)


@main.command()
def numbers() -> None:
    """List every number: formula, unit, windows and the events it needs."""
    click.echo(glossary.table())


@main.command()
@click.argument("room")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory for the files.")
@click.option("--show", default=None, type=int, help="Start of an earlier show in ms; without it, the newest.")
def recap(room: str, out: Path, show: int | None) -> None:
    """Write the recap of a room's show: summary.json, three CSV files and recap.html.

    \b
    Example:
      liveroom recap my-room --out recap
    """
    settings = _settings()
    record = _finish(recaps.load(settings, room, show))
    for path in _guard(lambda: export.write(record, out, settings.language)):
        click.echo(path)


@main.command("verify")
@click.argument("room")
def verify_command(room: str) -> None:
    """Recompute a room's show from the log in a fresh core and compare every number with the live one.

    Needs the settings of the workers, and the log back to the beginning of the show. Exits with 1 when something
    differs.
    """
    report = _finish(verify.verify(_settings(), room))
    for difference in report.differences[:VERIFY_LINES]:
        click.echo(difference.line(), err=True)
    click.echo(report.line())
    if report.differences:
        sys.exit(FAILED)


@main.command()
@click.option("--speed", default="20", show_default=True, metavar="N|max", help="Times real time, 1 or more; or max.")
@click.option("--minutes", default=10, show_default=True, type=click.IntRange(10, 240), help="Length of the show.")
@click.option("--seed", default=1, show_default=True, type=int, help="Another seed is another show.")
@click.option("--out", default=Path("liveroom-demo"), show_default=True, type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True, help="Stay up after the show, until Ctrl-C.")
def demo(speed: str, minutes: int, seed: int, out: Path, keep: bool) -> None:
    """A simulated show, from events to recap, with servers of its own; nothing needs to be installed.

    \b
    Examples:
      liveroom demo
      liveroom demo --speed 5 --keep        time to look at the host's page
    """
    pace = _guard(lambda: replay.parse_speed(speed))
    _run(lambda stop: demo_show.run(demo_show.Plan(pace, minutes, seed, out, keep), stop, click.echo))


@main.group()
def catalogue() -> None:
    """Files of products, and running orders."""


@catalogue.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--rundown", is_flag=True, help="The file is a running order, not a catalogue.")
@click.option("--currency", default="CNY", show_default=True, help="Of the prices, unless a TOML file states its own.")
def check(file: Path, rundown: bool, currency: str) -> None:
    """Name every problem of a CSV or TOML file before it is uploaded.

    \b
    Examples:
      liveroom catalogue check products.csv
      liveroom catalogue check --rundown tonight.toml
    """
    rows, problems = _guard(lambda: catalogues.check(file, "rundown" if rundown else "catalogue", currency))
    for problem in problems:
        click.echo(problem)
    if problems:
        sys.exit(DATA)
    click.echo(f"{file}: {rows} {'items' if rundown else 'products'}, nothing to mend")


def _settings() -> Settings:
    return _guard(from_env)


def _seldom() -> Callable[[logging.LogRecord], bool]:
    """Passes each message of the Kafka client once in SAME_AGAIN_S: it says the same 200 times a second without one."""
    last: dict[tuple[str, str], float] = {}

    def passes(record: logging.LogRecord) -> bool:
        if not record.name.startswith("aiokafka") or record.levelno < logging.WARNING:
            return True
        key = record.name, str(record.msg)[:40]
        if record.created - last.get(key, 0.0) < SAME_AGAIN_S:
            return False
        if len(last) >= MESSAGES_MAX:
            last.clear()
        last[key] = record.created
        return True

    return passes


def _name(problems: Iterable[str]) -> None:
    for problem in problems:
        click.echo(f"liveroom: skipped {problem}", err=True)


def _shown(records: Iterable[replay.Record], show: Callable[[replay.Progress], None]) -> Iterator[bytes]:
    """The records' values, telling every 10,000 how many there were."""
    for number, record in enumerate(records, 1):
        if number % 10_000 == 0:
            show(replay.Progress(number, None))
        yield record.value


def _guard(call: Callable[[], T]) -> T:
    try:
        return call()
    except LiveroomError as error:
        click.echo(f"liveroom: {error}", err=True)
        sys.exit(FAILED)


def _finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run something that ends by itself."""
    return _guard(lambda: asyncio.run(work))


def _run(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run something that stops when told, on SIGINT or SIGTERM."""

    async def until_stopped() -> None:
        stop = asyncio.Event()

        def told() -> None:
            stop.set()
            last = threading.Timer(LAST_S, _give_up)
            last.daemon = True
            last.start()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told)
        await work(stop)

    try:
        _guard(lambda: asyncio.run(until_stopped()))
    except SystemExit:
        _end(FAILED)
        raise
    _end(0)


def _give_up() -> None:
    """Told to stop long ago: with every server gone, tasks of the client libraries may never end, cancelled or not."""
    logging.getLogger(__name__).warning("not stopped %.0f s after being told to, so the process ends as it is", LAST_S)
    sys.stdout.flush()
    os._exit(FAILED)


def _end(code: int) -> None:
    """End the process now if a thread would keep it: a consumer that cannot be stopped while Kafka is away has one."""
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    for thread in others:
        if not thread.daemon:
            thread.join(THREAD_S)
    if any(thread.is_alive() and not thread.daemon for thread in others):
        logging.getLogger(__name__).warning("a thread does not end, so the process does without it")
        sys.stdout.flush()
        os._exit(code)
