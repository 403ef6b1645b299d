"""Whether the cost of an event stays flat: 1, 10 and 100 times the events, with one worker and with two.

    python tests/benchmarks/scaling.py [--events 50000]

Each run is one of stream.py, with servers of its own. Two workers have two partitions, eight rooms each; on a machine
with two cores they share these with the broker, so it is the CPU an event costs that tells, not the wall clock.
"""

import argparse

import drain
from harness import figures, table

FACTORS = (1, 10, 100)
WORKERS = (1, 2)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=50_000, help="of the smallest run")
    chosen = options.parse_args()
    rows, cost_us = [], {}
    for workers in WORKERS:
        for factor in FACTORS:
            run = drain.measure(chosen.events * factor, workers)
            cost_us[workers, factor] = 1e6 * run["cpu_s"] / run["events"]
            rows.append(
                (
                    workers,
                    chosen.events * factor,
                    run["wall_s"],
                    run["cpu_s"],
                    run["events_per_s"],
                    cost_us[workers, factor],
                    run["peak_rss_mib"],
                )
            )
    table(("workers", "events", "wall s", "CPU s", "events/s", "CPU us an event", "peak MiB"), rows)
    told = {f"us_{workers}w_{factor}x": cost for (workers, factor), cost in cost_us.items()}
    # 1x is a handful of fetches, of which the first goes unmeasured: growth is told from 10x.
    growth = cost_us[1, FACTORS[-1]] / cost_us[1, FACTORS[-2]]
    figures("scaling", growth_100x_over_10x=growth, two_over_one=cost_us[2, 100] / cost_us[1, 100], **told)


if __name__ == "__main__":
    main()
