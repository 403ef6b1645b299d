"""The whole worker through the embedded broker: single-event records, every window, all plays, snapshots on.

    python tests/benchmarks/stream.py [--events 4000000] [--repeat 1]

The log is filled first, then a worker process starts; the clock and the CPU of its process tree run from the first
record to the last (see drain.py). The CPU of broker and Redis is told apart.
"""

import argparse

import drain
from harness import figures, percentile, table


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=4_000_000)  # so that rooms are saved meanwhile
    options.add_argument("--repeat", type=int, default=1)
    chosen = options.parse_args()
    runs = [drain.measure(chosen.events, 1) for _ in range(chosen.repeat)]
    head = ("events", "wall s", "CPU s", "events/s", "events per CPU s", "servers' CPU s", "saves", "s", "peak MiB")
    table(head, [list(run.values()) for run in runs])
    middle = {key: percentile([run[key] for run in runs], 0.5) for key in runs[0]}
    figures("stream", **middle)


if __name__ == "__main__":
    main()
