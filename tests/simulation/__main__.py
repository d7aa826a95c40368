"""Many seeds: `python -m tests.simulation votes --seeds 100000`; one again, with its events: `--seed 42`."""

import argparse
import os
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.families import RUNS
from tests.simulation.seeds import faults

#: Failures that are told before the rest is given up.
FAILURES_MAX = 5


def replay(family: str, seed: int, console: Console) -> int:
    try:
        outcome = RUNS[family](seed)
    except AssertionError as fault:
        console.print(str(fault), markup=False, highlight=False)
        return 1
    for seconds, who, what in outcome.events:
        console.print(f"{seconds:10.4f}  {who:12} {what}", markup=False, highlight=False)
    console.print(
        f"Seed {seed}: {outcome.promised} promised, {outcome.counted} counted, {outcome.duplicates} duplicates; exact."
    )
    return 0


def sweep(family: str, seeds: range, processes: int, console: Console) -> int:
    began = time.monotonic()
    failures = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("Seeds", total=len(seeds))
        for fault in faults(family, seeds, processes):
            progress.advance(bar)
            if fault:
                failures += 1
                console.print(fault, markup=False, highlight=False)
            if failures >= FAILURES_MAX:
                break
    seconds = time.monotonic() - began
    verdict = f"{failures} of them failed" if failures else "all invariants held"
    console.print(f"{len(seeds):,} seeds from {seeds.start:,} in {seconds:.0f} s: {verdict}.")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("family", nargs="?", choices=sorted(RUNS), default="votes", help="what is simulated")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes to run them in")
    parser.add_argument("--seed", type=int, help="run one seed and print its events")
    given = parser.parse_args()
    console = Console(soft_wrap=True)
    if given.seed is not None:
        return replay(given.family, given.seed, console)
    return sweep(given.family, range(given.first, given.first + given.seeds), given.processes, console)


if __name__ == "__main__":
    sys.exit(main())
