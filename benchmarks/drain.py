"""The drain: bundles that wait in the queue are counted by real drain processes, as fast as these can.

Beside it, on the same bundles in the same round: its calls alone (`benchmarks.raw` says which), and the Firestore client
without folding.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from benchmarks import usage
from benchmarks.cloud import (
    IDLE_SECONDS,
    DrainRun,
    Inexact,
    drain,
    ended,
    expect_exact,
    open_poll,
    start_drain,
)
from benchmarks.progress import say
from benchmarks.queue import fill
from benchmarks.raw import Kind, Span
from benchmarks.table import Figure, median_of, ratios
from emulators.errors import ProcessDied
from emulators.processes import Process
from emulators.stack import LocalCloud
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.poll import OnePer


class Case(msgspec.Struct, frozen=True):
    """What waits in the queue."""

    mode: OnePer
    votes: int
    bundles: int
    goal: str = ""

    @property
    def name(self) -> str:
        """As the tables show it."""
        return f"{self.mode.value} ×{self.votes}"


#: So many bundles that each run lasts for a second or two.
CASES = (
    Case(OnePer.NONE, 500, 40_000, "≥ 300k"),
    Case(OnePer.NONE, 100, 40_000),
    Case(OnePer.NONE, 10, 40_000),
    Case(OnePer.NONE, 1, 40_000),
    Case(OnePer.KEY, 500, 150, "≥ 20k"),
    Case(OnePer.KEY, 100, 900, "≥ 20k"),
    Case(OnePer.KEY, 10, 9_000, "≥ 20k"),
)
WARM_UP = Case(OnePer.KEY, 100, 100)
TASKS = (1, 2)
OF_CALLS_GOAL = "≥ 0.80"
MEMORY_GOAL = "< 150"
GROWTH_GOAL = "≤ 1.10"
#: The memory's run: bursts of full bundles, all of which is counted before the next one.
MEMORY_SECONDS = 35.0
BURST = Case(OnePer.KEY, 500, 80)
BURST_SECONDS = 2.5
SAMPLE_SECONDS = 0.1


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One round of a case."""

    drained: DrainRun
    #: Votes a second: the drain's, those of its calls alone, and of the other raw kinds.
    per_second: float
    calls: float
    others: dict[Kind, float]


async def bench(
    cloud: LocalCloud,
    *,
    rounds: int,
    cases: Sequence[Case] = CASES,
    tasks: Sequence[int] = TASKS,
    memory_seconds: float = MEMORY_SECONDS,
) -> list[Figure]:
    """Each case with one and with two drain processes; audited each time. And the memory of a long run."""
    figures: list[Figure] = []
    async with Wiring(cloud.settings) as wiring:
        say("drain: the emulators warm up")
        await _drain(cloud, wiring, WARM_UP, 1)
        await _raw(cloud, wiring, WARM_UP, Kind.BOTH, 1)
        start_cpu_seconds = (await drain(cloud)).cpu_seconds
        for case in cases:
            for number in tasks:
                runs = []
                for turn in range(1, rounds + 1):
                    say(f"drain: {_row(case, number)}, round {turn} of {rounds}")
                    runs.append(await _run(cloud, wiring, case, tasks=number))
                figures += _figures(case, number, runs, start_cpu_seconds)
        say(f"drain: memory over {memory_seconds:g} s")
        figures += await _memory(cloud, wiring, memory_seconds)
    await cloud.reset()
    return figures


async def _run(cloud: LocalCloud, wiring: Wiring, case: Case, *, tasks: int) -> Run:
    drained = await _drain(cloud, wiring, case, tasks)
    calls = await _raw(cloud, wiring, case, Kind.BOTH, tasks)
    # The other kinds explain the ceiling; one process of each is enough for that.
    others = [Kind.PULL, Kind.COMMIT, Kind.CLIENT] if tasks == 1 else []
    return Run(
        drained=drained,
        per_second=drained.votes / drained.busy_seconds,
        calls=calls,
        others={kind: await _raw(cloud, wiring, case, kind, tasks) for kind in others},
    )


async def _drain(cloud: LocalCloud, wiring: Wiring, case: Case, tasks: int) -> DrainRun:
    await cloud.reset()
    poll = await open_poll(wiring, case.mode)
    await fill(wiring.topic(), [poll], votes=case.votes, bundles=case.bundles)
    run = await drain(cloud, tasks)
    total = case.votes * case.bundles
    await expect_exact(wiring, poll, at_least=total, at_most=total)
    if run.votes != total:
        raise Inexact(f"The drains say that they counted {run.votes:,} votes, of {total:,}.")
    return run


async def _raw(cloud: LocalCloud, wiring: Wiring, case: Case, kind: Kind, tasks: int) -> float:
    """Votes a second of one raw kind; its books must balance as well."""
    await cloud.reset()
    poll = await open_poll(wiring, case.mode)
    if kind in (Kind.PULL, Kind.BOTH):
        await fill(wiring.topic(), [poll], votes=case.votes, bundles=case.bundles)
    spans = await _spans(cloud, kind, poll.id, case, tasks)
    bundles = sum(span.bundles for span in spans)
    if kind is not Kind.CLIENT and bundles != case.bundles:
        raise Inexact(f"{bundles:,} bundles of {case.bundles:,} were dealt with by the calls alone.")
    if kind is not Kind.PULL:
        votes = bundles * case.votes
        await expect_exact(wiring, poll, at_least=votes, at_most=votes)
    return bundles * case.votes / max(span.busy_seconds for span in spans)


async def _spans(cloud: LocalCloud, kind: Kind, poll: str, case: Case, tasks: int) -> list[Span]:
    arguments = [f"--poll={poll}", f"--votes={case.votes}", f"--bundles={case.bundles}"]
    if case.mode is not OnePer.NONE:
        arguments.append("--keyed")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        processes = [
            Process(
                f"Raw {kind.value}",
                [sys.executable, "-m", "benchmarks.raw", kind.value, *arguments],
                log=Path(folder) / f"{task}.log",
                environment=cloud.environment,
            )
            for task in range(tasks)
        ]
        for process in processes:
            stack.callback(process.let_go)
        for process in processes:
            code = await process.wait()
            if code:
                raise ProcessDied(process.name, code, process.log)
        return [
            msgspec.json.decode(process.log.read_bytes().splitlines()[-1], type=Span) for process in processes
        ]


async def _memory(cloud: LocalCloud, wiring: Wiring, seconds: float) -> list[Figure]:
    """The memory of a drain process in RAM over a long run: the most in its first and in its last quarter."""
    await cloud.reset()
    poll = await open_poll(wiring, BURST.mode)
    execution = start_drain(cloud, idle_seconds=BURST_SECONDS + IDLE_SECONDS)
    bursts = max(2, round(seconds / BURST_SECONDS))
    async with _sampled(execution.pids[0]) as samples:
        for _ in range(bursts):
            next_burst = asyncio.create_task(asyncio.sleep(BURST_SECONDS))
            await fill(wiring.topic(), [poll], votes=BURST.votes, bundles=BURST.bundles)
            await next_burst
    run = await ended(execution)
    total = bursts * BURST.votes * BURST.bundles
    await expect_exact(wiring, poll, at_least=total, at_most=total)
    quarter = max(1, len(samples) // 4)
    first, last = max(samples[:quarter]), max(samples[-quarter:])
    name = f"drain, memory over {bursts * BURST_SECONDS:.0f} s"
    return [
        median_of(name, "MB, first ¼", [first]),
        median_of(name, "MB, last ¼", [last]),
        median_of(name, "last ÷ first", [last / first], GROWTH_GOAL),
        median_of(name, "MB, peak", [run.peak_memory_mb], MEMORY_GOAL),
    ]


@contextlib.asynccontextmanager
async def _sampled(pid: int) -> AsyncIterator[list[float]]:
    """The memory of a process in MB, again and again while the block runs."""
    samples: list[float] = []

    async def sample() -> None:
        while True:
            samples.append(usage.resident_mb(pid))
            await asyncio.sleep(SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)


def _figures(case: Case, tasks: int, runs: list[Run], start_cpu_seconds: float) -> list[Figure]:
    name = f"drain {_row(case, tasks)}"
    rates, calls = [run.per_second for run in runs], [run.calls for run in runs]
    # Without what a drain takes to start, and to find an empty queue: a large share of a run of two seconds.
    cpu_seconds = [run.drained.cpu_seconds - tasks * start_cpu_seconds for run in runs]
    votes = case.votes * case.bundles
    figures = [
        median_of(name, "votes/s", rates, case.goal),
        median_of(name, "calls alone", calls),
        median_of(name, "of calls alone", ratios(rates, calls), OF_CALLS_GOAL),
        median_of(name, "MB a task", [run.drained.peak_memory_mb for run in runs], MEMORY_GOAL),
        median_of(name, "CPU s/M", [max(0.0, each) * 1e6 / votes for each in cpu_seconds]),
    ]
    units = {Kind.PULL: "pulls alone", Kind.COMMIT: "commits alone", Kind.CLIENT: "client, unfolded"}
    return figures + [
        median_of(name, unit, [run.others[kind] for run in runs])
        for kind, unit in units.items()
        if all(kind in run.others for run in runs)
    ]


def _row(case: Case, tasks: int) -> str:
    return f"{case.name}, {tasks} task{'s' * (tasks > 1)}"
