"""How a process of ours ends: when it is told to, whatever the libraries below it think of that."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60.0
STUBBORN = """
import asyncio, os, signal
from agents import cli

cli.LAST_S = 0.5

async def work(stop):
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def told(stop):
    asyncio.create_task(work(stop))
    await stop.wait()

cli._run(told)
"""


def test_a_task_that_cannot_be_cancelled_does_not_keep_the_process() -> None:
    """Told to stop, it gets so long, and the process ends as failed, saying so."""
    done = subprocess.run(
        [sys.executable, "-c", STUBBORN], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )

    assert done.returncode == 1, done.stderr
    assert "ends as it is" in done.stderr
