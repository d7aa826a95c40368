"""Many seeds in several processes."""

import contextlib
import multiprocessing
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.families import RUNS

SEEDS_AT_ONCE = 20
SEEDS_APART_MIN = 500
PROCESSES = 2


def fault_of(family: str, seed: int) -> str:
    """What a seed finds, as a story with its last events; empty: nothing."""
    try:
        RUNS[family](seed)
    except AssertionError as fault:
        return str(fault)
    return ""


def faults(family: str, seeds: range, processes: int) -> Generator[str]:
    """What each seed finds, in their order. Whoever stops listening stops the seeds that have not begun."""
    # Spawned, not forked: a parent that has used gRPC must not be forked.
    executor = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from executor.map(partial(fault_of, family), seeds, chunksize=SEEDS_AT_ONCE)
    finally:
        executor.shutdown(cancel_futures=True)


def first_fault(family: str, seeds: int) -> str | None:
    """What the first seed that finds something finds. For few seeds, a process of their own does not pay."""
    if seeds < SEEDS_APART_MIN:
        return next(filter(None, (fault_of(family, seed) for seed in range(seeds))), None)
    with contextlib.closing(faults(family, range(seeds), PROCESSES)) as found:
        return next(filter(None, found), None)
