"""Cost: operations counted at the clients, at list prices, beside designs that spend a write on each vote."""

import statistics
from collections.abc import Sequence

from benchmarks import usage
from benchmarks.cloud import CHOICES, drain, expect_exact, open_poll
from benchmarks.counted import Counted, counted_load
from benchmarks.intake import vote_url
from benchmarks.load import post
from benchmarks.operations import Bill, Operations, bill
from benchmarks.prices import MILLION
from benchmarks.progress import say
from benchmarks.table import Figure, median_of
from emulators.stack import LocalCloud
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.poll import OnePer

#: (mode, votes a bundle, bundles).
CASES = (
    (OnePer.NONE, 500, 2_000),
    (OnePer.NONE, 100, 2_000),
    (OnePer.NONE, 10, 2_000),
    (OnePer.NONE, 1, 2_000),
    (OnePer.KEY, 500, 60),
    (OnePer.KEY, 100, 200),
    (OnePer.KEY, 10, 1_000),
)
TARGETS = {(OnePer.NONE, 500): "≤ 0.45", (OnePer.KEY, 500): "≤ 1.60"}
CONNECTIONS = 256
WARM_UP_SECONDS_MAX = 2.0


async def bench(
    cloud: LocalCloud, *, rounds: int, seconds: float, cases: Sequence[tuple[OnePer, int, int]] = CASES
) -> list[Figure]:
    """Dollars a million votes that come one a POST, by bundle size and poll mode; every load is audited."""
    figures: list[Figure] = []
    async with Wiring(cloud.settings) as wiring:
        intakes = []
        for turn in range(1, rounds + 1):
            say(f"cost: the intake's CPU, round {turn} of {rounds}")
            intakes.append(await intake_cpu_seconds(cloud, wiring, seconds))
        intake = Operations(requests=MILLION, cpu_seconds=statistics.median(intakes))
        figures.append(median_of("intake, one vote a POST", "CPU s/M", intakes))
        for mode, votes, bundles in cases:
            loads = []
            for turn in range(1, rounds + 1):
                say(f"cost: {mode.value} ×{votes}, round {turn} of {rounds}")
                await cloud.reset()
                poll = await open_poll(wiring, mode)
                loads.append(await counted_load(cloud, [poll], votes=votes, bundles=bundles))
            figures += _figures(mode, votes, loads, intake)
    for name, done in computed(intake.cpu_seconds).items():
        figures += _parts(name, [bill(done)])
    await cloud.reset()
    return figures


def computed(intake_cpu_seconds: float) -> dict[str, Operations]:
    """A million votes in other designs, as they say of themselves; each kindly given our intake's CPU where it has one."""
    return {
        "Increment a POST, inexact": Operations(
            requests=MILLION, writes=MILLION, cpu_seconds=intake_cpu_seconds
        ),
        "Increment and entry a POST": Operations(
            requests=MILLION, writes=2 * MILLION, deletes=MILLION, cpu_seconds=intake_cpu_seconds
        ),
        # Clients write a document each; an aggregator reads it, adds it up and deletes it.
        "Firebase counter (computed)": Operations(writes=MILLION, reads=MILLION, deletes=MILLION),
    }


async def intake_cpu_seconds(cloud: LocalCloud, wiring: Wiring, seconds: float) -> float:
    """The CPU seconds of the vote function for a million votes, one a POST."""
    url, pid = vote_url(cloud), vote_pid(cloud)
    poll = await open_poll(wiring)
    body = {"poll": poll.id, "choice": CHOICES[0]}
    warm = await post(url, body, connections=CONNECTIONS, seconds=min(seconds, WARM_UP_SECONDS_MAX))
    before = usage.cpu_seconds(pid)
    load = await post(url, body, connections=CONNECTIONS, seconds=seconds)
    used = usage.cpu_seconds(pid) - before
    await drain(cloud)
    sent = warm.requests + load.requests
    await expect_exact(wiring, poll, at_least=sent, at_most=sent + 2 * CONNECTIONS)
    return used * MILLION / load.requests


def vote_pid(cloud: LocalCloud) -> int:
    """The process above all workers of the vote function."""
    return next(process.pid for process in cloud.processes if process.name == "The function vote")


def _figures(mode: OnePer, votes: int, loads: list[Counted], intake: Operations) -> list[Figure]:
    name = f"cost {mode.value} ×{votes}"
    bills = [bill(load.per_million.plus(intake)) for load in loads]
    return [
        *_parts(name, bills, TARGETS.get((mode, votes), "")),
        median_of(name, "writes/M", [load.per_million.writes for load in loads]),
        median_of(name, "drain CPU s/M", [load.per_million.job_cpu_seconds for load in loads]),
    ]


def _parts(name: str, bills: list[Bill], target: str = "") -> list[Figure]:
    return [
        median_of(name, "$/M", [each.total for each in bills], target),
        median_of(name, "$ requests", [each.requests for each in bills]),
        median_of(name, "$ compute", [each.compute for each in bills]),
        median_of(name, "$ Pub/Sub", [each.pubsub for each in bills]),
        median_of(name, "$ Firestore", [each.firestore for each in bills]),
    ]
