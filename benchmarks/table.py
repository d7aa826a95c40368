"""Figures: a median with its spread, as a table for people and as JSON for machines."""

import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

LIBRARIES = ("functions-framework", "uvicorn", "grpcio", "msgspec", "uvloop")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over all rounds, and what it is to reach."""

    name: str
    unit: str
    median: float
    least: float
    most: float
    target: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one run, and the machine they are of."""

    machine: dict[str, str]
    figures: list[Figure]


def median_of(name: str, unit: str, values: Sequence[float], target: str = "") -> Figure:
    """The median and the spread of a figure."""
    return Figure(
        name=name,
        unit=unit,
        median=statistics.median(values),
        least=min(values),
        most=max(values),
        target=target,
    )


def machine() -> dict[str, str]:
    """What the figures depend on."""
    about = {"system": platform.platform(), "cores": str(cpu_count()), "python": platform.python_version()}
    return about | {library: version(library) for library in LIBRARIES}


def show(report: Report, screen: Console) -> None:
    """Prints the figures."""
    screen.print(", ".join(f"{name} {value}" for name, value in report.machine.items()), style="dim")
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("figure", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for head in ("median", "least", "most", "goal"):
        table.add_column(head, justify="right", no_wrap=True)
    shown = ""
    for figure in report.figures:
        spread = (_number(figure.median), _number(figure.least), _number(figure.most))
        table.add_row("" if figure.name == shown else figure.name, figure.unit, *spread, figure.target)
        shown = figure.name
    screen.print(table)


def write(report: Report, path: Path) -> None:
    """Writes the figures as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
