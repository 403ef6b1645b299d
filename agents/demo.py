"""A simulated show from events to recap, with a broker, a Redis, a worker and a gateway of its own.

The worker and the gateway are processes like in production; everything started here is stopped here.
"""

import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import redis.asyncio as redis

from agents import embedded, export, recaps, replay, simulate
from agents.settings import Settings
from agents.store import prompts_key
from agents.topics import create_topics
from stream.errors import OperatorError
from stream.recap import Recap

ROOM = "demo"
READY_TIMEOUT_S = 40.0
SETTLE_TIMEOUT_S = 30.0  # after the last event: lateness, one tick, one save
Say = Callable[[str], Any]


class Plan(NamedTuple):
    """What to play; `speed` may be math.inf."""

    speed: float
    minutes: int
    seed: int
    out: Path
    keep: bool


async def run(plan: Plan, stop: asyncio.Event, say: Say) -> None:
    """Play the show and write its recap to `plan.out`; with `keep`, stay up until `stop`. Raises OperatorError."""
    with embedded.broker() as broker, embedded.redis() as store:
        settings = Settings(
            kafka=broker.address, redis=store.address, gateway_port=0, metrics_port=0, partitions=1, snapshot_s=1
        )
        wanted = {settings.events_topic: 1, settings.prompts_topic: 1, settings.rejected_topic: 1}
        await create_topics(settings.kafka, wanted)
        async with _process(settings, "worker") as worker, _process(settings, "gateway") as gateway:
            page = await _ready(gateway, "gateway")
            metrics = await _ready(worker, "worker")
            say(f"host page  {page}/host/{ROOM}")
            say(f"overlay    {page}/overlay/{ROOM}")
            say(f"metrics    {metrics}")
            watch = asyncio.create_task(_tell_prompts(settings, say))
            try:
                await _while_running(_play(settings, plan, say), stop, worker, gateway)
                if plan.keep and not stop.is_set():
                    say("staying up; Ctrl-C ends it")
                    await _while_running(stop.wait(), stop, worker, gateway)
            finally:
                watch.cancel()


async def _play(settings: Settings, plan: Plan, say: Say) -> None:
    length_ms = int(plan.minutes * 60_000 / plan.speed) if plan.speed != math.inf else 0
    end_ms = int(time.time() * 1000) + length_ms  # event times end about now, so at no speed do they lie ahead
    events = simulate.show(plan.seed, plan.minutes, end_ms - length_ms, ROOM)
    pace = "as fast as it goes" if plan.speed == math.inf else f"at {plan.speed:g} times real time"
    say(f"playing a show of {plan.minutes} minutes, seed {plan.seed}, {pace}")
    sent, _ = await replay.produce(settings, replay.records_of(events), plan.speed)
    say(f"played     {sent} events")
    recap = await _settled(settings, end_ms - length_ms - 1_000)
    for path in export.write(recap, plan.out, settings.language):
        say(f"recap      {path}")


@contextlib.asynccontextmanager
async def _process(settings: Settings, command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LIVEROOM_")}
    for name, value in msgspec.to_builtins(settings).items():
        environment[f"LIVEROOM_{name.upper()}"] = str(value)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agents", command, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), READY_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _ready(process: asyncio.subprocess.Process, name: str) -> str:
    """The address a process says it serves."""
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY_TIMEOUT_S)
    except TimeoutError:
        line = b""
    if not line:
        raise OperatorError(f"the {name} did not start; its own message is above, mend that and try again")
    return line.decode().rsplit(maxsplit=1)[-1]


async def _while_running(work: Any, stop: asyncio.Event, *processes: asyncio.subprocess.Process) -> None:
    """Finish `work`, unless told to stop; a process that ends meanwhile is a fault."""
    main = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    ends = [asyncio.ensure_future(process.wait()) for process in processes]
    try:
        done, _ = await asyncio.wait({main, stopping, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if main in done:
            await main
        elif stopping not in done:
            raise OperatorError("a process of the demo ended early; its own message is above")
    finally:
        for task in (main, stopping, *ends):
            task.cancel()
        await asyncio.gather(main, stopping, *ends, return_exceptions=True)


async def _settled(settings: Settings, last_ms: int) -> Recap:
    """The recap once the room has closed the second of its last event and was saved."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while True:
        with contextlib.suppress(OperatorError):  # not saved yet
            recap = await recaps.load(settings, ROOM)
            if recap.at_ms > last_ms:
                return recap
        if time.monotonic() > deadline:
            raise OperatorError("the worker did not get through the show; run the demo again at a lower --speed")
        await asyncio.sleep(0.3)


async def _tell_prompts(settings: Settings, say: Say) -> None:
    """Print prompts as they come."""
    client: Any = redis.Redis.from_url(settings.redis)
    last: Any = "0"
    try:
        while True:
            for _, entries in await client.xread({prompts_key(ROOM): last}, block=1_000) or ():
                for entry_id, fields in entries:
                    last = entry_id
                    if fields[b"kind"] == b"prompt":
                        prompt = msgspec.json.decode(fields[b"data"])
                        say(f"{prompt['play']:<14} to {prompt['audience']:<9} {prompt['title']}")
    finally:
        await client.aclose()
