"""`python -m benchmarks`: brings a local cloud up, measures, and says what it found."""

import asyncio
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import cost, drain, growth, intake, whole_way
from benchmarks.cloud import Inexact
from benchmarks.load import ToolMissing, find_wrk
from benchmarks.progress import say
from benchmarks.rivals import bench as rivals
from benchmarks.rivals.serve import expect_installed
from benchmarks.table import Figure, Report, machine, show, write
from emulators.stack import LocalCloud
from turnout.base.errors import TurnoutError

WIDE_COLUMNS = 120

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Bench(StrEnum):
    """What can be measured."""

    INTAKE = "intake"
    RIVALS = "rivals"
    DRAIN = "drain"
    WHOLE_WAY = "whole-way"
    GROWTH = "growth"
    COST = "cost"


@app.command()
def main(
    only: Annotated[list[Bench] | None, typer.Option(help="Measure this alone; may be repeated.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Rounds of each figure.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Seconds of load in a round.")] = 5,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes of a public function.")] = 2,
    output: Annotated[Path | None, typer.Option(help="Write the figures here too, as JSON.")] = None,
) -> None:
    """Measures Turnout on this machine: medians and spread over rounds; every vote is audited."""
    # Into a file or a pipe the table is written as wide as it is.
    screen = Console() if sys.stdout.isatty() else Console(width=WIDE_COLUMNS)
    benches = only or list(Bench)
    try:
        expect_tools(benches)
    except ToolMissing as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(2) from None
    report = Report(machine=machine(), figures=[])
    try:
        asyncio.run(measure(benches, rounds, seconds, workers, report.figures))
    except (Inexact, TurnoutError) as fault:
        typer.echo(f"{type(fault).__name__}: {fault}", err=True)
        raise typer.Exit(1) from None
    finally:
        # What was measured before a fault is worth its minutes.
        show(report, screen)
        if output is not None:
            write(report, output)


def expect_tools(benches: list[Bench]) -> None:
    """`ToolMissing` if a bench needs a program that is not installed; told at once, and not after half an hour."""
    if any(bench is not Bench.DRAIN for bench in benches):
        find_wrk()
    if Bench.RIVALS in benches:
        expect_installed()


async def measure(
    benches: list[Bench], rounds: int, seconds: float, workers: int, figures: list[Figure]
) -> None:
    """Adds the figures of the chosen benches, on a local cloud of their own, as they are measured."""
    with tempfile.TemporaryDirectory() as folder:
        say("the local cloud starts")
        async with LocalCloud(
            state_folder=Path(folder), project="bench-turnout", workers=workers, schedule=False
        ) as cloud:
            for bench in Bench:
                if bench in benches:
                    figures += await run(bench, cloud, rounds, seconds, workers)


async def run(bench: Bench, cloud: LocalCloud, rounds: int, seconds: float, workers: int) -> list[Figure]:
    """The figures of one bench; it leaves the cloud empty."""
    match bench:
        case Bench.INTAKE:
            return await intake.bench(cloud, rounds=rounds, seconds=seconds, workers=workers)
        case Bench.RIVALS:
            return await rivals.bench(cloud, rounds=rounds, seconds=seconds, workers=workers)
        case Bench.DRAIN:
            return await drain.bench(cloud, rounds=rounds)
        case Bench.WHOLE_WAY:
            return await whole_way.bench(cloud, rounds=rounds, seconds=seconds)
        case Bench.GROWTH:
            return await growth.bench(cloud, rounds=rounds, seconds=seconds)
        case Bench.COST:
            return await cost.bench(cloud, rounds=rounds, seconds=seconds)


if __name__ == "__main__":
    app()
