"""From an event's POST at the gateway to the host's screen (server-sent event), beside a background of other events.

    python tests/benchmarks/latency.py [--rates 1000 10000] [--seconds 25]

`arrival`: a prompt sent by hand, which waits for nothing: POST begun -> event received by the page's stream.
`second`: what is decided when a second closes. The host's answer (`prompt.done`) comes back as a state at the end of
its second; measured is the delay beyond that end + the lateness bound. Background and answers go to the same room and
15 others, so the second's closing is not held up by silence; in a silent room a tick a second closes it instead.
Gateway, worker, broker, Redis and this client share the machine's cores.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import harness
import workload
from harness import figures, percentile, table

WARM_S = 5.0  # connections, first saves, a full pipeline
PROBE_EVERY_S = 0.1
POST_EVERY_S = 0.05  # background: one body a room and this often
LATENESS_MS = 1_000  # short, so that a run is short; what is measured lies beyond it
ROOM = "r00"
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Probe:
    """What was sent when, and what was heard when; ms of one wall clock."""

    def __init__(self) -> None:
        self.sent_ms: dict[str, float] = {}
        self.arrival_ms: list[float] = []
        self.second_ms: list[float] = []
        self.measuring = False
        self.slow_posts = 0

    def heard(self, kind: str, data: dict[str, Any]) -> str | None:
        """Take note of a server-sent event; the id of a prompt of ours that is to be answered."""
        heard_ms = time.time() * 1000
        if kind == "prompt" and data["title"] in self.sent_ms:
            if self.measuring:
                self.arrival_ms.append(heard_ms - self.sent_ms.pop(data["title"]))
            return str(data["id"])
        if kind == "state" and data["state"] == "done" and self.measuring:
            self.second_ms.append(heard_ms - data["at_ms"] - LATENESS_MS)
        return None


async def server_sent(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The events of a stream as (name, data)."""
    name = ""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def post(session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> None:
    async with session.post(url, data=body, headers=headers) as answer:
        said = await answer.text()
        assert answer.status == 200, said


async def listen(session: aiohttp.ClientSession, url: str, probe: Probe) -> None:
    """The host's page: hears its stream, and says of each prompt that it was done."""
    path = f"{url}/v1/rooms/{ROOM}"
    async with session.get(f"{path}/prompts", timeout=aiohttp.ClientTimeout(total=None)) as response:
        assert response.status == 200, await response.text()
        async for kind, data in server_sent(response):
            prompt = probe.heard(kind, data)
            if prompt is not None:
                done = {"type": "prompt.done", "room": ROOM, "ts": now_ms(), "prompt": prompt}
                await post(session, f"{path}/events", json.dumps(done).encode(), JSON)


async def ask(session: aiohttp.ClientSession, url: str, probe: Probe) -> None:
    """Send prompts by hand, one every PROBE_EVERY_S."""
    for number in itertools.count():
        began = asyncio.get_running_loop().time()
        title = f"probe {number}"
        event = {"type": "prompt.send", "room": ROOM, "ts": now_ms(), "title": title, "ttl_s": 5}
        probe.sent_ms[title] = time.time() * 1000
        await post(session, f"{url}/v1/rooms/{ROOM}/events", json.dumps(event).encode(), JSON)
        await asyncio.sleep(max(0.0, began + PROBE_EVERY_S - asyncio.get_running_loop().time()))


async def load(session: aiohttp.ClientSession, url: str, room: int, per_s: float, probe: Probe) -> None:
    """Background events of one room, `per_s` a second, in bodies every POST_EVERY_S; their times are now."""
    name = f"r{room:02d}"
    lines = itertools.cycle([line for line in workload.lines(40_000) if harness.room_of(line) == name.encode()])
    loop, owed, number = asyncio.get_running_loop(), 0.0, 0
    due = loop.time() + POST_EVERY_S * room / workload.ROOMS  # not all rooms at the same moment
    while True:
        await asyncio.sleep(max(0.0, due - loop.time()))
        owed += per_s * POST_EVERY_S
        body = []
        for _ in range(int(owed)):
            number += 1
            body.append(_as_of(next(lines), now_ms(), number))
        owed -= len(body)
        due += POST_EVERY_S
        if body:
            await post(session, f"{url}/v1/rooms/{name}/events", b"\n".join(body), NDJSON)
        if loop.time() > due + 1.0:
            probe.slow_posts += 1
            due = loop.time()


def _as_of(line: bytes, ts: int, number: int) -> bytes:
    """The same event at another time, with an id of its own."""
    start = line.index(b'"ts":') + 5
    return b'{"id":"b%d' % number + line[line.index(b'","type"') : start] + b"%d" % ts + line[start + 13 :]


async def measure(url: str, per_s: int, seconds: float) -> Probe:
    """Run background and probes for `seconds`; figures of the first WARM_S are left out."""
    probe = Probe()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        tasks = [
            asyncio.create_task(load(session, url, room, per_s / workload.ROOMS, probe))
            for room in range(workload.ROOMS)
        ]
        await _known(session, url)
        tasks += [asyncio.create_task(listen(session, url, probe)), asyncio.create_task(ask(session, url, probe))]
        done, _ = await asyncio.wait(tasks, timeout=WARM_S, return_when=asyncio.FIRST_COMPLETED)
        probe.measuring = True
        if not done:
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        probe.measuring = False
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()  # raises what went wrong
    return probe


async def _known(session: aiohttp.ClientSession, url: str) -> None:
    """Wait until the worker has published the room: before, nobody can listen to it."""
    deadline = time.monotonic() + harness.READY_TIMEOUT_S
    while time.monotonic() < deadline:
        async with session.get(f"{url}/v1/rooms") as answer:
            if any(room["room"] == ROOM for room in (await answer.json())["rooms"]):
                return
        await asyncio.sleep(0.2)
    raise SystemExit("the worker did not publish the room")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rates", type=int, nargs="+", default=[1_000, 10_000], help="background events a second")
    options.add_argument("--seconds", type=float, default=25.0)
    chosen = options.parse_args()
    rows, told = [], {}
    for rate in chosen.rates:
        with (
            harness.servers(partitions=4, lateness_ms=LATENESS_MS) as servers,
            harness.process("worker", servers) as worker,
            harness.process("gateway", servers) as gateway,
        ):
            worker.url()
            probe = asyncio.run(measure(harness.wait_ready(gateway), rate, chosen.seconds))
        for kind, delays in (("arrival", probe.arrival_ms), ("second", probe.second_ms)):
            if not delays:
                raise SystemExit(f"nothing came back at {rate} events a second ({kind})")
            p50, p99 = percentile(delays, 0.5), percentile(delays, 0.99)
            rows.append((kind, rate, len(delays), p50, p99, max(delays), probe.slow_posts))
            told |= {f"{kind}_{rate}_p50_ms": p50, f"{kind}_{rate}_p99_ms": p99}
    table(("decided on", "background/s", "probes", "p50 ms", "p99 ms", "max ms", "bodies > 1 s late"), rows)
    top = max(chosen.rates)
    figures("latency", p50_ms=told[f"arrival_{top}_p50_ms"], p99_ms=told[f"arrival_{top}_p99_ms"], **told)


if __name__ == "__main__":
    main()
