"""`python -m benchmarks`: brings a local cloud up, measures, and says what it found."""

import asyncio
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import cost, drain, intake
from benchmarks.load import WrkMissing
from benchmarks.table import Report, machine, show, write
from emulators.stack import LocalCloud


class Bench(StrEnum):
    """What can be measured."""

    INTAKE = "intake"
    DRAIN = "drain"
    COST = "cost"


def main(
    only: Annotated[list[Bench] | None, typer.Option(help="Measure this alone; may be repeated.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Rounds of each figure.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Seconds of load in a round.")] = 5,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes of a public function.")] = 2,
    output: Annotated[Path | None, typer.Option(help="Write the figures here too, as JSON.")] = None,
) -> None:
    """Measures Turnout on this machine: medians and spread over rounds; every vote is audited."""
    screen = Console()
    try:
        report = asyncio.run(measure(only or list(Bench), rounds, seconds, workers))
    except WrkMissing as fault:
        screen.print(f"{fault}", style="red")
        raise typer.Exit(2) from None
    show(report, screen)
    if output is not None:
        write(report, output)


async def measure(benches: list[Bench], rounds: int, seconds: float, workers: int) -> Report:
    """The figures of the chosen benches, on a local cloud of their own."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        async with LocalCloud(
            state_folder=Path(folder), project="bench-turnout", workers=workers, schedule=False
        ) as cloud:
            if Bench.INTAKE in benches:
                figures += await intake.bench(cloud, rounds=rounds, seconds=seconds, workers=workers)
            if Bench.DRAIN in benches:
                figures += await drain.bench(cloud, rounds=rounds)
            if Bench.COST in benches:
                figures += await cost.bench(cloud, rounds=rounds, seconds=seconds)
    return Report(machine=machine(), figures=figures)


if __name__ == "__main__":
    typer.run(main)
