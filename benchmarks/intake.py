"""Intake: votes that are confirmed by Pub/Sub, beside a function that does nothing at all.

One a POST, as fast as so many connections let it, and at half of that; and in batches.
"""

import os
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.cloud import CHOICES, Inexact, drain, expect_exact, open_poll
from benchmarks.load import Load, post, post_paced
from benchmarks.progress import say
from benchmarks.table import Figure, median_of, ratios
from emulators.processes import LOOPBACK, Process, free_port
from emulators.run import until_function_ready
from emulators.stack import LocalCloud
from turnout.gcp.votes.wiring import Wiring

CONNECTIONS = (64, 256, 512)
#: (votes a POST, connections): all workers together let no more than 20,000 votes each wait for the queue.
BATCHES = ((100, 64), (1_000, 16))
#: The goals are set for this many connections.
GOAL_CONNECTIONS = 512
GOALS = {"votes/s": "≥ 16.7k", "of hello": "≥ 0.80"}
HALF_P99_GOAL = "≤ 80"
WARM_UP_SECONDS_MAX = 3.0
HELLO = '''"""A function that answers at once: what the framework can do at most."""

import functions_framework.aio
from starlette.responses import Response


@functions_framework.aio.http
async def hello(request):
    return Response(b'{"hello":"world"}', media_type="application/json")
'''


async def bench(
    cloud: LocalCloud,
    *,
    rounds: int,
    seconds: float,
    workers: int,
    connections: Sequence[int] = CONNECTIONS,
    batches: Sequence[tuple[int, int]] = BATCHES,
) -> list[Figure]:
    """Rounds of the intake and of its ceiling in turn; the votes are drained and audited after each."""
    figures: list[Figure] = []
    async with Wiring(cloud.settings) as wiring, hello_world(workers) as hello:
        for url in (hello, vote_url(cloud)):
            await warm_up(wiring, url, seconds)
        for number in connections:
            ours, ceilings, halves = [], [], []
            for turn in range(1, rounds + 1):
                say(f"intake: {number} connections, round {turn} of {rounds}")
                ceilings.append(await post(hello, {}, connections=number, seconds=seconds))
                ours.append(await exact_round(cloud, wiring, number, seconds))
                if number == GOAL_CONNECTIONS:
                    half = ours[-1].per_second / 2
                    halves.append(await exact_round(cloud, wiring, number, seconds, per_second=half))
                await cloud.reset()
            figures += _figures(number, ours, ceilings) + _half_figures(number, halves)
        for votes, number in batches:
            loads = []
            for turn in range(1, rounds + 1):
                say(f"intake: {votes:,} votes a POST, round {turn} of {rounds}")
                loads.append(await exact_round(cloud, wiring, number, seconds, votes=votes))
                await cloud.reset()
            figures += _batch_figures(votes, number, loads)
    return figures


async def exact_round(
    cloud: LocalCloud,
    wiring: Wiring,
    connections: int,
    seconds: float,
    *,
    votes: int = 1,
    per_second: float = 0,
) -> Load:
    """One round of load: votes in a poll of its own, so many a POST, paced if `per_second` is given; audited."""
    poll = await open_poll(wiring)
    url, ballot = vote_url(cloud), {"poll": poll.id, "choice": CHOICES[0]}
    body: object = ballot
    if votes > 1:
        url, body = url + "s", [ballot] * votes
    if per_second:
        load = await post_paced(url, body, per_second=per_second, connections=connections, seconds=seconds)
    else:
        load = await post(url, body, connections=connections, seconds=seconds)
    if load.errors:
        raise Inexact(f"{load.errors:,} of {load.requests:,} requests failed.")
    await drain(cloud)
    # Answers that wrk no longer read were sent all the same: a connection has one of them at most.
    most = load.requests + connections
    await expect_exact(wiring, poll, at_least=load.requests * votes, at_most=most * votes)
    return load


def vote_url(cloud: LocalCloud) -> str:
    """Where one vote is posted."""
    return cloud.function_urls["vote"] + "/vote"


async def warm_up(wiring: Wiring, url: str, seconds: float) -> None:
    """As long as a round, but not much: every worker opens its channels, and the emulators compile what they run."""
    poll = await open_poll(wiring)
    body = {"poll": poll.id, "choice": CHOICES[0]}
    await post(url, body, connections=64, seconds=min(seconds, WARM_UP_SECONDS_MAX))


def _figures(connections: int, ours: list[Load], ceilings: list[Load]) -> list[Figure]:
    name = f"intake, {connections} connections"
    goals = GOALS if connections == GOAL_CONNECTIONS else {}
    rates, best = [load.per_second for load in ours], [load.per_second for load in ceilings]
    return [
        median_of(name, "votes/s", rates, goals.get("votes/s", "")),
        median_of(name, "p50 ms", [load.p50_ms for load in ours]),
        median_of(name, "p99 ms", [load.p99_ms for load in ours]),
        median_of(name, "hello/s", best),
        median_of(name, "of hello", ratios(rates, best), goals.get("of hello", "")),
    ]


def _half_figures(connections: int, halves: list[Load]) -> list[Figure]:
    if not halves:
        return []
    name = f"intake, {connections} connections, at half its rate"
    return [
        median_of(name, "votes/s", [load.per_second for load in halves]),
        median_of(name, "p50 ms", [load.p50_ms for load in halves]),
        median_of(name, "p99 ms", [load.p99_ms for load in halves], HALF_P99_GOAL),
        median_of(name, "sent late, %", [100 * load.late for load in halves]),
    ]


def _batch_figures(votes: int, connections: int, loads: list[Load]) -> list[Figure]:
    name = f"intake, {votes:,} votes a POST, {connections} connections"
    return [
        median_of(name, "votes/s", [load.per_second * votes for load in loads]),
        median_of(name, "p50 ms", [load.p50_ms for load in loads]),
        median_of(name, "p99 ms", [load.p99_ms for load in loads]),
    ]


@asynccontextmanager
async def hello_world(workers: int) -> AsyncIterator[str]:
    """A hello-world function under functions-framework; yields its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "main.py"
        source.write_text(HELLO, encoding="utf-8")
        framework = str(Path(sysconfig.get_path("scripts")) / "functions-framework")
        process = Process(
            "The hello-world function",
            [framework, "--source", str(source), "--target", "hello", "--host", LOOPBACK],
            log=Path(folder) / "hello.log",
            environment={
                **os.environ,
                "FUNCTION_USE_ASGI": "true",
                "PORT": str(port),
                "WORKERS": str(workers),
            },
        )
        try:
            await until_function_ready(process, port)
            yield f"http://{LOOPBACK}:{port}/"
        finally:
            await process.stop()
