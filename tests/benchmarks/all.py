"""Every benchmark, one after the other, the side-by-side with other engines last; then the closing lines of all.

    python tests/benchmarks/all.py [--only NAME ...]

Some 22 minutes. Engines that are not installed are left out and named: `pip install '.[peers,test]'` brings them.
For figures that mean something nothing else should run on the machine.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 600.0  # of the own ones none takes more than three minutes where nothing else runs
PEERS_TIMEOUT_S = 3_600.0
COMMANDS = {name: [f"{name}.py"] for name in ("core", "stream", "latency", "rooms", "memory", "scaling", "gateway")}
COMMANDS["side_by_side"] = ["peers/side_by_side.py", "--repeat", "3"]


def run(name: str) -> str | None:
    """Run one, showing what it prints; its closing line, or None when it failed."""
    print(f"== {name}", flush=True)
    began = time.monotonic()
    script, *rest = COMMANDS[name]
    timeout_s = PEERS_TIMEOUT_S if script.startswith("peers") else TIMEOUT_S
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / script), *rest],
            stdout=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        print(f"   not done in {timeout_s:.0f} s", flush=True)
        return None
    print(f"{done.stdout}   ({time.monotonic() - began:.0f} s)\n", flush=True)
    closing = [line for line in done.stdout.splitlines() if line.startswith("what=")]
    return closing[-1] if done.returncode == 0 and closing else None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", choices=[*COMMANDS], default=[*COMMANDS])
    chosen = options.parse_args()
    load = os.getloadavg()[0]
    subprocess.run([sys.executable, "-m", "stream.rehearsal"], cwd=HERE.parents[1], check=True)  # compiles the loops
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, load {load:.2f} before the start\n")
    lines = {name: run(name) for name in chosen.only}
    print("\n".join(line for line in lines.values() if line is not None))
    failed = [name for name, line in lines.items() if line is None]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
