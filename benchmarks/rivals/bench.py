"""Turnout's intake beside its rivals: the same POST, the same connections, in alternating rounds of one run.

The comparison is kind to the rivals. Redis keeps their votes in memory alone, and no worker takes them out meanwhile;
none of them looks a poll up or checks a choice. `Increment` answers when its vote is counted, twice perhaps.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.cloud import CHOICES, Inexact
from benchmarks.intake import exact_round, vote_url, warm_up
from benchmarks.load import Load, post
from benchmarks.progress import say
from benchmarks.rivals.increment import POLLS
from benchmarks.rivals.serve import (
    INCREMENT,
    QUEUES,
    Rival,
    enqueued,
    expect_installed,
    redis_server,
    served,
)
from benchmarks.table import Figure, median_of, ratios
from emulators.stack import LocalCloud
from turnout.base.chance import random_id
from turnout.gcp.firestore import FirestoreDatabase, open_firestore_channel
from turnout.gcp.votes.wiring import Wiring

CONNECTIONS = (512, 64)
TURNOUT = "Turnout"
QUEUES_GOAL = 4
INCREMENT_GOAL = 20
#: The goals are set for this many connections.
GOAL_CONNECTIONS = 512

#: One round of load over so many connections, its votes checked.
Round = Callable[[int], Awaitable[Load]]


async def bench(
    cloud: LocalCloud,
    *,
    rounds: int,
    seconds: float,
    workers: int,
    connections: Sequence[int] = CONNECTIONS,
) -> list[Figure]:
    """Votes a second and latencies of each; and how many times as fast Turnout's intake is, round by round."""
    expect_installed()
    figures: list[Figure] = []
    async with contextlib.AsyncExitStack() as stack:
        say("rivals: they start")
        wiring = await stack.enter_async_context(Wiring(cloud.settings))
        redis_url = await stack.enter_async_context(redis_server())
        environment = {**cloud.environment, "REDIS_URL": redis_url}
        racers: dict[str, Round] = {TURNOUT: _turnout(cloud, wiring, seconds)}
        await warm_up(wiring, vote_url(cloud), seconds)
        for rival in (INCREMENT, *QUEUES):
            url = await stack.enter_async_context(served(rival, environment, workers))
            await warm_up(wiring, url, seconds)
            if rival.redis_queue:
                await enqueued(redis_url, rival)
                racers[rival.name] = _queue(rival, url, redis_url, seconds)
            else:
                racers[rival.name] = _increment(cloud, url, seconds)
        for number in connections:
            loads: dict[str, list[Load]] = {name: [] for name in racers}
            for turn in range(1, rounds + 1):
                say(f"rivals: {number} connections, round {turn} of {rounds}")
                for name, race in racers.items():
                    loads[name].append(await race(number))
            figures += figures_of(number, loads)
    await cloud.reset()
    return figures


def _turnout(cloud: LocalCloud, wiring: Wiring, seconds: float) -> Round:
    async def race(connections: int) -> Load:
        load = await exact_round(cloud, wiring, connections, seconds)
        await cloud.reset()
        return load

    return race


def _queue(rival: Rival, url: str, redis_url: str, seconds: float) -> Round:
    async def race(connections: int) -> Load:
        load = await _post(url, random_id(), connections, seconds)
        if load.errors:
            raise Inexact(f"{rival.name}: {load.errors:,} of {load.requests:,} requests failed.")
        _expect(rival, await enqueued(redis_url, rival), load, connections)
        return load

    return race


def _increment(cloud: LocalCloud, url: str, seconds: float) -> Round:
    async def race(connections: int) -> Load:
        poll = random_id()
        load = await _post(url, poll, connections, seconds)
        _expect(INCREMENT, await _incremented(cloud, poll), load, connections)
        return load

    return race


async def _post(url: str, poll: str, connections: int, seconds: float) -> Load:
    return await post(url, {"poll": poll, "choice": CHOICES[0]}, connections=connections, seconds=seconds)


def _expect(rival: Rival, votes: int, load: Load, connections: int) -> None:
    """Every answer that wrk read has its vote; one more a connection may have been under way at the end.

    Where votes meet in one document some requests fail, and may have been counted nevertheless: nobody can tell.
    """
    if not load.requests - load.errors <= votes <= load.requests + connections:
        raise Inexact(f"{rival.name} has {votes:,} votes of {load.requests:,} that it confirmed.")


async def _incremented(cloud: LocalCloud, poll: str) -> int:
    """The votes that its one document holds."""
    settings = cloud.settings
    async with open_firestore_channel(settings.firestore_emulator_host) as channel:
        database = FirestoreDatabase(channel, settings.project, settings.firestore_database, emulated=True)
        async for document in database.lookup([f"{database.documents}/{POLLS}/{poll}"]):
            return int(document.fields["votes"].integer_value)
    return 0


def figures_of(connections: int, loads: dict[str, list[Load]]) -> list[Figure]:
    """Each racer's figures, and Turnout's rate as a multiple of the best queue's and of `Increment`'s."""
    figures = []
    for name, of_one in loads.items():
        row = f"{name}, {connections} connections"
        figures += [
            median_of(row, "votes/s", [_confirmed_per_second(load) for load in of_one]),
            median_of(row, "p50 ms", [load.p50_ms for load in of_one]),
            median_of(row, "p99 ms", [load.p99_ms for load in of_one]),
        ]
        if any(load.errors for load in of_one):
            figures.append(
                median_of(row, "failed, %", [100 * load.errors / load.requests for load in of_one])
            )
    rates = {name: [_confirmed_per_second(load) for load in of_one] for name, of_one in loads.items()}
    best_queues = [max(per_round) for per_round in zip(*(rates[queue.name] for queue in QUEUES), strict=True)]
    row = f"intake ÷ rivals, {connections} connections"
    goals = (f"≥ {QUEUES_GOAL}", f"≥ {INCREMENT_GOAL}") if connections == GOAL_CONNECTIONS else ("", "")
    return [
        *figures,
        median_of(row, "best queue", ratios(rates[TURNOUT], best_queues), goals[0]),
        median_of(row, "Increment", ratios(rates[TURNOUT], rates[INCREMENT.name]), goals[1]),
    ]


def _confirmed_per_second(load: Load) -> float:
    """What failed is no vote: 1 − errors ÷ requests of the rate."""
    return load.per_second * max(0.0, 1 - load.errors / max(1, load.requests))
