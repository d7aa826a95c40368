"""The drain: bundles that wait in the queue are counted by real drain processes, as fast as these can."""

import secrets
import time

from benchmarks.cloud import CHOICES, DrainRun, Inexact, drain, expect_exact, open_poll
from benchmarks.table import Figure, median_of
from emulators.stack import LocalCloud
from turnout.bundle import Bundle
from turnout.gcp.wiring import Wiring, new_id
from turnout.poll import OnePer, Poll
from turnout.vote import KEY_BYTES

BUNDLES_PER_PUBLISH = 100
PUBLISH_SECONDS = 20.0
#: (mode, votes a bundle, bundles): enough for some seconds each.
CASES = (
    (OnePer.NONE, 500, 2_000),
    (OnePer.NONE, 100, 2_000),
    (OnePer.NONE, 10, 2_000),
    (OnePer.NONE, 1, 2_000),
    (OnePer.KEY, 500, 100),
    (OnePer.KEY, 100, 300),
    (OnePer.KEY, 10, 1_000),
)
TASKS = (1, 2)
TARGETS = {(OnePer.NONE, 500): "≥ 100k", (OnePer.KEY, 500): "≥ 8k"}


async def bench(cloud: LocalCloud, *, rounds: int) -> list[Figure]:
    """Each case with one and with two drain processes; audited each time."""
    figures: list[Figure] = []
    async with Wiring(cloud.settings) as wiring:
        await _round(cloud, wiring, OnePer.KEY, 100, 50, tasks=1)  # the emulators warm up
        for mode, votes, bundles in CASES:
            for tasks in TASKS:
                runs = [await _round(cloud, wiring, mode, votes, bundles, tasks=tasks) for _ in range(rounds)]
                figures += _figures(mode, votes, tasks, runs)
    return figures


async def _round(
    cloud: LocalCloud, wiring: Wiring, mode: OnePer, votes: int, bundles: int, *, tasks: int
) -> DrainRun:
    poll = await open_poll(wiring, mode)
    publisher = wiring.publisher()
    for start in range(0, bundles, BUNDLES_PER_PUBLISH):
        number = min(BUNDLES_PER_PUBLISH, bundles - start)
        batch = [_bundle(poll, mode, votes) for _ in range(number)]
        await publisher.publish(batch, timeout_seconds=PUBLISH_SECONDS)
    run = await drain(cloud, tasks)
    total = votes * bundles
    await expect_exact(wiring, poll, at_least=total, at_most=total)
    if run.votes != total:
        raise Inexact(f"The drains say that they counted {run.votes:,} votes, of {total:,}.")
    return run


def _bundle(poll: Poll, mode: OnePer, votes: int) -> Bundle:
    accepted_at_ms = int(time.time() * 1000)
    picks = [number % len(CHOICES) for number in range(votes)]
    if mode is OnePer.NONE:
        counts = {choice: picks.count(choice) for choice in set(picks)}
        return Bundle(new_id(), poll.id, accepted_at_ms, counts)
    keyed = tuple((secrets.token_bytes(KEY_BYTES), choice) for choice in picks)
    return Bundle(new_id(), poll.id, accepted_at_ms, {}, keyed)


def _figures(mode: OnePer, votes: int, tasks: int, runs: list[DrainRun]) -> list[Figure]:
    name = f"drain {mode.value} ×{votes}, {tasks} task{'s' * (tasks > 1)}"
    rates = [run.votes / run.busy_seconds for run in runs]
    return [
        median_of(name, "votes/s", rates, TARGETS.get((mode, votes), "")),
        median_of(name, "MB a task", [run.peak_memory_mb for run in runs], "≤ 300"),
        median_of(name, "CPU s/M", [run.cpu_seconds * 1e6 / run.votes for run in runs]),
    ]
