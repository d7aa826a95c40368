"""Many seeds in several processes."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.run import run

SEEDS_AT_ONCE = 20


def fault_of(seed: int) -> str:
    """What a seed finds, as a story with its last events; empty: nothing."""
    try:
        run(seed)
    except AssertionError as fault:
        return str(fault)
    return ""


def faults(seeds: range, processes: int) -> Iterator[str]:
    """What each seed finds, in their order. Whoever stops listening stops the seeds that have not begun.

    With one process, it is this one.
    """
    if processes == 1:
        yield from map(fault_of, seeds)
        return
    # Spawned, not forked: a parent that has used gRPC must not be forked.
    executor = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from executor.map(fault_of, seeds, chunksize=SEEDS_AT_ONCE)
    finally:
        executor.shutdown(cancel_futures=True)
