"""A worker in a process of its own, as an operator starts it, and what tests ask of it from outside."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import redis

from agents.settings import Settings

READY_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 30.0
_numbers = itertools.count(1)


def environment(settings: Settings) -> dict[str, str]:
    """The variables that make a process use `settings`."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("LIVEROOM_")}
    return plain | {f"LIVEROOM_{name.upper()}": str(value) for name, value in msgspec.to_builtins(settings).items()}


class Worker:
    """A running worker."""

    def __init__(self, process: subprocess.Popen[bytes], metrics: str) -> None:
        self.process = process
        self.metrics_url = metrics

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by name and labels."""
        with urllib.request.urlopen(self.metrics_url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def stop(self) -> None:
        """SIGTERM, and wait for the end; a worker that was told to stop ends with 0."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOP_TIMEOUT_S) == 0

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)


@contextmanager
def working(settings: Settings, log: Path) -> Iterator[Worker]:
    """A worker while the block runs, its messages in `log`; ready when the block begins."""
    said = log.with_name(f"{log.stem}-{next(_numbers)}.out")
    with log.open("ab") as messages, said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents", "-v", "worker"],
            env=environment(settings),
            stdout=out,
            stderr=messages,
            cwd=Path(__file__).parents[2],
        )
    try:
        wait_until(lambda: said.read_text() or process.poll(), READY_TIMEOUT_S, f"the worker is ready; see {log}")
        line = said.read_text()
        assert "ready" in line, log.read_text()[-3000:]
        yield Worker(process, line.split()[-1])
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(true: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Wait for something to be true and return it; fails with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = true()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def numbers(client: "redis.Redis[bytes]", room: str) -> dict[str, Any]:
    """The latest numbers of a room as the worker wrote them: `at_ms`, and each number."""
    held = client.hgetall(f"liveroom:numbers:{room}")
    return {key.decode().removeprefix("n:"): json.loads(value) for key, value in held.items()}


def prompts(client: "redis.Redis[bytes]", room: str) -> list[dict[str, Any]]:
    """Every prompt of the room's stream, in order."""
    entries = client.xrange(f"liveroom:prompts:{room}")
    return [json.loads(fields[b"data"]) for _, fields in entries if fields[b"kind"] == b"prompt"]
