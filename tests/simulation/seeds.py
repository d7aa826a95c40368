"""Many seeds in several processes."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.families import RUNS

SEEDS_AT_ONCE = 20


def fault_of(family: str, seed: int) -> str:
    """What a seed finds, as a story with its last events; empty: nothing."""
    try:
        RUNS[family](seed)
    except AssertionError as fault:
        return str(fault)
    return ""


def faults(family: str, seeds: range, processes: int) -> Iterator[str]:
    """What each seed finds, in their order. Whoever stops listening stops the seeds that have not begun."""
    # Spawned, not forked: a parent that has used gRPC must not be forked.
    executor = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from executor.map(partial(fault_of, family), seeds, chunksize=SEEDS_AT_ONCE)
    finally:
        executor.shutdown(cancel_futures=True)
