"""Prometheus itself reads our configuration, fires our alerts and answers every question of the dashboard."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from dashboards import build

HERE = Path(__file__).parent
PROMETHEUS = Path(build.__file__).parent / "prometheus"
STARTS_WITHIN_S = 30.0
ROOM = "抖音:268"
OF_ROOM = (
    "online online_1m viewers_5m joins_per_minute retention_60s_ratio retention_300s_ratio dwell_seconds "
    "chats_per_minute interaction_ratio_5m clicks_per_minute cart_ratio_10m pay_ratio_10m orders_per_minute "
    "gmv_paid_show_minor gmv_paid_5m_minor gpm_10m_minor refunded_show_minor room_time_seconds freshness_seconds"
)


def tool(name: str) -> str:
    """The path of a program of Debian's prometheus package; a skip without it, a failure where servers are required."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("REQUIRE_SERVERS") == "1":
            pytest.fail(f"REQUIRE_SERVERS=1, and there is no {name}; install Debian's prometheus")
        pytest.skip(f"no {name}; install Debian's prometheus")
    return path


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_prometheus_takes_the_configuration() -> None:
    """promtool finds no fault with what is scraped and with any rule."""
    done = run(tool("promtool"), "check", "config", str(PROMETHEUS / "prometheus.yml"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


def test_alerts_fire_when_they_should() -> None:
    """Each alert fires on what it is for, and an ordinary show wakes nobody (tests/integration/alerts.yml)."""
    done = run(tool("promtool"), "test", "rules", str(HERE / "alerts.yml"))

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried() -> None:
    """No alert without a case that fires and a case that does not."""
    rules = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text())
    cases = yaml.safe_load((HERE / "alerts.yml").read_text())
    tried = [case for test in cases["tests"] for case in test["alert_rule_test"]]

    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert {c["alertname"] for c in tried if c.get("exp_alerts")} == names
    assert {c["alertname"] for c in tried if not c.get("exp_alerts")} == names


class Exporter:
    """A process with the metrics of a worker and a gateway, by prometheus-client, on a free port."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for name in OF_ROOM.split():
            Gauge(f"liveroom_{name}", name, ["room"], registry=self.registry).labels(ROOM).set(1)
        for name in ("product_stock", "sell_out_minutes"):
            Gauge(f"liveroom_{name}", name, ["room", "product"], registry=self.registry).labels(ROOM, "p1").set(5)
        for name in ("rooms", "snapshot_age_seconds", "redis_up", "gateway_sse_clients"):
            Gauge(f"liveroom_{name}", name, registry=self.registry).set(1)
        Gauge("liveroom_lag_records", "lag", ["partition"], registry=self.registry).labels("0").set(0)
        for name in ("events", "duplicates", "late", "gateway_events_accepted"):
            Counter(f"liveroom_{name}", name, registry=self.registry).inc()
        for name, label in (("rejected", "reason"), ("gateway_events_rejected", "reason")):
            Counter(f"liveroom_{name}", name, [label], registry=self.registry).labels("x").inc()
        Histogram("liveroom_snapshot_seconds", "snapshot", registry=self.registry).observe(0.01)
        self.prompts = Counter("liveroom_prompts", "prompts", ["room", "play", "audience"], registry=self.registry)
        self.server, self.thread = start_http_server(0, "127.0.0.1", self.registry)

    @property
    def port(self) -> int:
        return self.server.server_port

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    """The metrics that a Prometheus of these tests scrapes."""
    made = Exporter()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def prometheus(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Prometheus with our intervals and rules, scraping the exporter."""
    program = tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["rule_files"] = [str(PROMETHEUS / "rules" / "*.yml")]
    config["scrape_configs"] = [{"job_name": "worker", "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait(lambda: bool(ask(address, 'up{job="worker"} == 1')), folder / "log")
            yield address
        finally:
            process.terminate()
            process.wait(20)


def wait(happened: Callable[[], bool], log: Path | None = None) -> None:
    """Until it happened; fails after half a minute, with the server's log."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if happened():
                return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"not within {STARTS_WITHIN_S} s: {log.read_text()[-2000:] if log else 'an expected sample'}")


def ask(address: str, expr: str) -> list[Any]:
    """The answer to an instant query; an error of Prometheus fails the test with its words."""
    url = f"{address}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            result: list[Any] = json.load(answer)["data"]["result"]
            return result
    except urllib.error.HTTPError as error:
        with error:
            pytest.fail(f"{expr}: {error.read().decode()}")


def filled(expr: str) -> str:
    """The expression as Grafana sends it: variables replaced."""
    for name, value in (("$__rate_interval", "10s"), ("$room", ROOM), ("$minor", "100")):
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr


def test_every_question_of_the_dashboard_is_answered(prometheus: str, exporter: Exporter) -> None:
    """With every metric there, each panel has something to draw."""
    exporter.prompts.labels(ROOM, "flash_drop", "host").inc()
    panels = [p for p in build.producer()["panels"] if p["type"] != "row"]
    asked = [(p["title"], filled(t["expr"])) for p in panels for t in p["targets"]]

    assert len(asked) > 30
    for _, expr in asked:
        wait(lambda expr=expr: bool(ask(prometheus, expr)))


def test_a_prompt_is_a_mark_on_the_curves(prometheus: str, exporter: Exporter) -> None:
    """The first prompt of a play, whose counter is born with it, and the second each make an annotation."""
    expr = filled(build.prompts_issued("2s"))

    def marked() -> bool:
        return any(s["metric"] == {"play": "stock_low", "audience": "host"} for s in ask(prometheus, expr))

    assert not marked()
    exporter.prompts.labels(ROOM, "stock_low", "host").inc()
    wait(marked)
    wait(lambda: not marked())
    exporter.prompts.labels(ROOM, "stock_low", "host").inc()
    wait(marked)


def test_the_exporter_has_what_the_dashboard_names(exporter: Exporter) -> None:
    """The stand-in for a worker and a gateway exports no other names than those asked for or alerted on."""
    asked = " ".join(build.expressions(build.producer())) + (PROMETHEUS / "rules" / "alerts.yml").read_text()
    names = set(re.findall(r"liveroom_[a-z0-9_]+", asked))
    exported = {s.name for family in exporter.registry.collect() for s in family.samples}

    assert {n for n in names if n not in exported and n != "liveroom_prompts_total"} == set()
