"""One Chromium, one broker and one Redis; each test has its own topics and an empty Redis."""

import asyncio
import itertools
import os
import shutil
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import redis
from playwright.sync_api import Browser, sync_playwright

from agents import embedded
from agents.settings import Settings
from agents.topics import create_topics

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RUN_TIMEOUT_S = 60
T = TypeVar("T")
_numbers = itertools.count(1)


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread of its own: Playwright keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result(RUN_TIMEOUT_S)


@pytest.fixture(scope="module")  # Playwright keeps a loop running in this thread, where other tests start their own
def browser() -> Iterator[Browser]:
    """Chromium as it is installed here."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("REQUIRE_SERVERS") == "1":
            pytest.fail("REQUIRE_SERVERS=1, and there is no Chromium; install the package chromium")
        pytest.skip("no Chromium on the PATH; install the package chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[embedded.Server, embedded.Server]]:
    """The embedded broker and Redis."""
    with embedded.broker() as broker, embedded.redis() as store:
        yield broker, store


@pytest.fixture
def settings(servers: tuple[embedded.Server, embedded.Server]) -> Settings:
    """Settings of this test alone; the gateway's port stays the same over a restart."""
    broker, store = servers
    with redis.Redis.from_url(store.address) as client:
        client.flushall()
    mine = f"b{os.getpid()}-{next(_numbers)}"
    made = Settings(
        kafka=broker.address,
        redis=store.address,
        events_topic=f"{mine}.events",
        rejected_topic=f"{mine}.rejected",
        gateway_port=embedded.free_port(),
        partitions=1,
    )
    apart(create_topics(made.kafka, {made.events_topic: 1, made.rejected_topic: 1}))
    return made
