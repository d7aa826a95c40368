"""Growth: does a vote cost the same in a small poll and in a large one, in one poll and in a thousand?

One dimension grows at a time, from the first row, that all are compared with. The first table holds the bundles at 100
votes, as an intake under load fills them: it shows what the drain, the commits and the queue make of more votes, polls
and choices. Its CPU holds what a drain spends once, on its channels and its last idle second: some tenths of a second,
which weigh in the rows with few votes. The second table sends the votes over HTTP, spread over many polls at once: there
the bundles are what the bundler makes of it, and a poll that gets a vote now and then gets a bundle for each.
"""

import random
from collections.abc import Sequence

import msgspec

from benchmarks import usage
from benchmarks.cloud import Inexact, open_poll
from benchmarks.cost import intake_cpu_seconds, vote_pid
from benchmarks.counted import Counted, counted_drain, counted_load
from benchmarks.intake import vote_url
from benchmarks.load import post_any
from benchmarks.operations import Operations, bill
from benchmarks.prices import MILLION
from benchmarks.progress import say
from benchmarks.table import Figure, median_of, ratios
from emulators.stack import LocalCloud
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.poll import Poll

BUNDLE_VOTES = 100
FLAT_GOAL = "0.80–1.20"


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is of everything."""

    votes: int = 1_000_000
    polls: int = 1
    choices: int = 4

    @property
    def name(self) -> str:
        """As the tables show it."""
        return f"{self.votes:,} votes, {self.polls:,} poll{'s' * (self.polls > 1)}, {self.choices:,} choices"


SIZES = (
    Size(),
    Size(votes=100_000),
    Size(votes=10_000),
    Size(polls=10),
    Size(polls=100),
    Size(polls=1_000),
    Size(choices=2),
    Size(choices=100),
    Size(choices=1_000),
    Size(choices=10_000),
)
#: Polls that votes are spread over, and the choices of each, in the second table.
SPREADS = ((1, 4), (10, 4), (100, 4), (1_000, 4), (1, 10_000))
CONNECTIONS = 256
#: Different bodies in one load.
BODIES_MAX = 10_000


class Spread(msgspec.Struct, frozen=True):
    """What a load over HTTP took: the intake's CPU, and the drain's operations, per million votes."""

    intake: Operations
    drained: Operations
    votes_a_bundle: float


async def bench(
    cloud: LocalCloud,
    *,
    rounds: int,
    seconds: float,
    sizes: Sequence[Size] = SIZES,
    spreads: Sequence[tuple[int, int]] = SPREADS,
) -> list[Figure]:
    """Dollars and CPU seconds a million votes of each row, and their ratio to the first row's; all polls are audited."""
    figures: list[Figure] = []
    async with Wiring(cloud.settings) as wiring:
        say("growth: the intake's CPU")
        cpu_seconds = await intake_cpu_seconds(cloud, wiring, seconds)
        intake = Operations(requests=MILLION, cpu_seconds=cpu_seconds)
        await _round(cloud, wiring, sizes[0])  # the emulators and this process warm up
        figures += await _sizes(cloud, wiring, sizes, rounds, intake)
        figures += await _spreads(cloud, wiring, spreads, rounds, seconds)
    await cloud.reset()
    return figures


async def _sizes(
    cloud: LocalCloud, wiring: Wiring, sizes: Sequence[Size], rounds: int, intake: Operations
) -> list[Figure]:
    loads: dict[str, list[Counted]] = {size.name: [] for size in sizes}
    for turn in range(1, rounds + 1):
        for size in sizes:
            say(f"growth: {size.name}, round {turn} of {rounds}")
            loads[size.name].append(await _round(cloud, wiring, size))
    first = loads[sizes[0].name]
    figures: list[Figure] = []
    for size in sizes:
        name, rows = f"growth, {size.name}", loads[size.name]
        dollars = [bill(row.per_million.plus(intake)).total for row in rows]
        base_dollars = [bill(row.per_million.plus(intake)).total for row in first]
        figures += [
            median_of(name, "$/M", dollars),
            median_of(name, "$/M ÷ first", ratios(dollars, base_dollars), FLAT_GOAL),
            median_of(name, "drain CPU s/M", [row.per_million.job_cpu_seconds for row in rows]),
            median_of(name, "writes/M", [row.per_million.writes for row in rows]),
        ]
    return figures


async def _round(cloud: LocalCloud, wiring: Wiring, size: Size) -> Counted:
    await cloud.reset()
    polls = await _open(wiring, size.polls, size.choices)
    return await counted_load(cloud, polls, votes=BUNDLE_VOTES, bundles=size.votes // BUNDLE_VOTES)


async def _spreads(
    cloud: LocalCloud, wiring: Wiring, spreads: Sequence[tuple[int, int]], rounds: int, seconds: float
) -> list[Figure]:
    figures: list[Figure] = []
    base: list[float] = []
    for polls, choices in spreads:
        name = f"growth over HTTP, {polls:,} poll{'s' * (polls > 1)}, {choices:,} choices"
        rows = []
        for turn in range(1, rounds + 1):
            say(f"{name}, round {turn} of {rounds}")
            rows.append(await _spread(cloud, wiring, polls, choices, seconds))
        dollars = [bill(row.intake.plus(row.drained)).total for row in rows]
        base = base or dollars
        figures += [
            median_of(name, "$/M", dollars),
            median_of(name, "$/M ÷ first", ratios(dollars, base), FLAT_GOAL),
            median_of(name, "votes a bundle", [row.votes_a_bundle for row in rows]),
            median_of(name, "intake CPU s/M", [row.intake.cpu_seconds for row in rows]),
            median_of(name, "drain CPU s/M", [row.drained.job_cpu_seconds for row in rows]),
        ]
    return figures


async def _spread(cloud: LocalCloud, wiring: Wiring, polls: int, choices: int, seconds: float) -> Spread:
    """Votes one a POST, spread over polls and choices by chance; counted in this process, and audited."""
    await cloud.reset()
    opened = await _open(wiring, polls, choices)
    drawn = [random.choice(opened) for _ in range(BODIES_MAX)]
    bodies = [{"poll": poll.id, "choice": random.choice(poll.choices)} for poll in drawn]
    pid = vote_pid(cloud)
    before = usage.cpu_seconds(pid)
    load = await post_any(vote_url(cloud), bodies, connections=CONNECTIONS, seconds=seconds)
    used = usage.cpu_seconds(pid) - before
    if load.errors:
        raise Inexact(f"{load.errors:,} of {load.requests:,} requests failed.")
    drained = await counted_drain(cloud, opened, at_least=load.requests, at_most=load.requests + CONNECTIONS)
    return Spread(
        # What was published is what is delivered; only a request of under 1,000 bytes is billed as more.
        intake=Operations(
            requests=MILLION,
            published_bytes=drained.per_million.delivered_bytes,
            cpu_seconds=used * MILLION / load.requests,
        ),
        drained=drained.per_million,
        votes_a_bundle=drained.votes_a_bundle,
    )


async def _open(wiring: Wiring, polls: int, choices: int) -> list[Poll]:
    names = tuple(f"choice {number}" for number in range(choices))
    return [await open_poll(wiring, choices=names) for _ in range(polls)]
