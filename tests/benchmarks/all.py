"""Every benchmark of this folder, one after the other, and at the end the closing lines of all of them.

    python tests/benchmarks/all.py [--only NAME ...]

About twelve minutes; the side-by-side with other engines is apart (peers/side_by_side.py). For figures that
mean something nothing else should run on the machine.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("core", "stream", "latency", "rooms", "memory", "scaling", "gateway")
TIMEOUT_S = 600.0  # none takes more than three minutes where nothing else runs
HERE = Path(__file__).resolve().parent


def run(name: str) -> str | None:
    """Run one, showing what it prints; its closing line, or None when it failed."""
    print(f"== {name}", flush=True)
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / f"{name}.py")],
            stdout=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        print(f"   not done in {TIMEOUT_S:.0f} s", flush=True)
        return None
    print(f"{done.stdout}   ({time.monotonic() - began:.0f} s)\n", flush=True)
    closing = [line for line in done.stdout.splitlines() if line.startswith("what=")]
    return closing[-1] if done.returncode == 0 and closing else None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    chosen = options.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, load {load:.2f} before the start\n")
    lines = {name: run(name) for name in chosen.only}
    print("\n".join(line for line in lines.values() if line is not None))
    failed = [name for name, line in lines.items() if line is None]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
