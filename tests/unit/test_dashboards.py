"""The producer's dashboard: the file is what the code builds, and a Grafana gets what it expects."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from agents import gateway, telemetry
from dashboards import build
from dashboards.publish import TAG, Annotation, annotate, annotations_of, publish
from stream.errors import OperatorError
from stream.recap import Marker, PromptRow, Recap

DASHBOARDS = Path(build.__file__).parent


def test_the_file_is_what_the_code_builds() -> None:
    """Whoever changes the code runs `python -m dashboards.build`."""
    assert build.FILE.read_text(encoding="utf-8") == build.text(build.producer())


def test_panels_lie_side_by_side() -> None:
    """Every cell of the 24 columns belongs to at most one panel, and ids are unique."""
    panels = build.producer()["panels"]
    cells = [
        (x, y)
        for p in panels
        for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
        for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len({p["id"] for p in panels}) == len(panels)


def test_every_panel_says_dash_for_missing() -> None:
    """A number without a sample is unknown, and looks so."""
    drawn = [p for p in build.producer()["panels"] if p["type"] != "row"]

    assert drawn
    assert {p["fieldConfig"]["defaults"]["noValue"] for p in drawn} == {"–"}


def test_only_known_variables_are_used() -> None:
    """Each $name is a variable of the dashboard or one of Grafana's own."""
    dashboard = build.producer()
    known = {v["name"] for v in dashboard["templating"]["list"]} | {"__rate_interval"}

    assert {n for e in build.expressions(dashboard) for n in re.findall(r"\$(\w+)", e)} <= known


def test_every_metric_is_one_that_we_export() -> None:
    """Each name that a panel, an annotation or an alert asks for is in the worker's or the gateway's telemetry."""
    worker, own = telemetry.Telemetry(), gateway.Telemetry()
    rooms = telemetry.RoomsCollector(list, dict)
    exported = {family.name for source in (worker.registry, own.registry, rooms) for family in source.collect()}
    asked = " ".join(build.expressions(build.producer())) + (DASHBOARDS / "prometheus/rules/alerts.yml").read_text()
    names = {re.sub(r"_(total|bucket)$", "", name) for name in re.findall(r"\bliveroom_[a-z0-9_]+", asked)}

    assert len(names) > 30
    assert names - exported == set()


def test_numbers_of_a_room_ask_for_one_room() -> None:
    """No panel above the pipeline's mixes rooms."""
    panels = build.producer()["panels"]
    above = panels[: next(i for i, p in enumerate(panels) if p["title"] == "Pipeline")]

    for metric in re.findall(
        r"liveroom_\w+(.{0,15})", " ".join(build.expressions({**build.producer(), "panels": above}))
    ):
        assert metric.startswith('{room="$room"}')


def test_grafana_finds_what_it_is_told_to() -> None:
    """The provisioned source has the address and interval of our Prometheus, the provider the folder of our file."""
    folder = DASHBOARDS / "grafana" / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    provider = yaml.safe_load((folder / "dashboards" / "liveroom.yml").read_text())["providers"][0]
    scrape = yaml.safe_load((DASHBOARDS / "prometheus" / "prometheus.yml").read_text())["global"]

    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == scrape["scrape_interval"] == "1s"
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


# --- publishing


class Grafana:
    """The other side: a small real HTTP server that answers as Grafana does and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.status = 200
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append((request.method, request.path, request.headers.get("Authorization"), body))
        if self.status != 200:
            return web.json_response({"message": "no"}, status=self.status)
        return web.json_response({"status": "success", "url": "/grafana/d/liveroom-producer/live-room", "id": 7})

    async def run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/grafana/"
        ready.set()
        await stop.wait()
        await runner.cleanup()


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    """A Grafana under a path, as behind a proxy."""
    server, ready, loop, stop = Grafana(), threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.run(ready, stop)))
    thread.start()
    assert ready.wait(10)
    yield server
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def test_a_dashboard_is_published(grafana: Grafana) -> None:
    """One POST with the token, the dashboard and leave to replace the one before; back comes its address."""
    address = publish(build.producer(), grafana.url, "secret", "first")

    [(method, path, token, body)] = grafana.asked
    assert (method, path, token) == ("POST", "/grafana/api/dashboards/db", "Bearer secret")
    assert body == {"dashboard": build.producer(), "overwrite": True, "message": "first"}
    assert address == grafana.url.removesuffix("/grafana/") + "/grafana/d/liveroom-producer/live-room"


def test_annotations_are_written(grafana: Grafana) -> None:
    """Each note is one POST with its own time, end, text and tags."""
    notes = [Annotation(1_000, "drop", (TAG, "r"), 2_000), Annotation(3_000, "pin", (TAG, "r"))]

    assert annotate(notes, grafana.url, "secret") == 2
    assert [(path, b["time"], b["timeEnd"], b["text"], b["tags"]) for _, path, _, b in grafana.asked] == [
        ("/grafana/api/annotations", 1_000, 2_000, "drop", ["liveroom", "r"]),
        ("/grafana/api/annotations", 3_000, None, "pin", ["liveroom", "r"]),
    ]


@pytest.mark.parametrize(("status", "hint"), [(401, "valid token"), (403, "may edit"), (500, "see its log")])
def test_a_refusal_is_the_operators(grafana: Grafana, status: int, hint: str) -> None:
    """Grafana's refusals end with what to do."""
    grafana.status = status

    with pytest.raises(OperatorError, match=hint):
        publish(build.producer(), grafana.url, "wrong")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "grafana", "ftp://x", "http://"])
def test_an_address_without_grafana_is_the_operators(url: str) -> None:
    """Nothing there, or no address at all."""
    with pytest.raises(OperatorError, match=r"check the address|give one such as"):
        publish({}, url, "t")


def test_a_shows_prompts_and_markers_become_annotations() -> None:
    """Prompts come from their rows, markers of other kinds as they are, all tagged with the room, in order of time."""
    recap = Recap(
        room="r",
        show_ms=0,
        at_ms=9,
        prompts=[
            PromptRow(id="p", play="flash_drop", audience="host", issued_ms=5, done_ms=8, state="done", title="T")
        ],
        markers=[Marker(at_ms=2, kind="pin", label="P"), Marker(at_ms=5, kind="prompt", label="T")],
    )

    assert annotations_of(recap) == [
        Annotation(2, "P", (TAG, "r", "pin")),
        Annotation(5, "T", (TAG, "r", "prompt", "flash_drop", "host", "done"), 8),
    ]


def test_notes_on_the_dashboard_are_those_that_publish_writes() -> None:
    """The dashboard asks for the tags that annotations carry."""
    notes = next(n for n in build.annotations() if n["name"] == "Notes")

    assert json.loads(json.dumps(notes["target"]["tags"])) == [TAG, "$room"]
