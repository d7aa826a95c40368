"""Figures: a median with its spread, as a table for people and as JSON for machines."""

import os
import platform
import re
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

LIBRARIES = (
    "functions-framework",
    "uvicorn",
    "grpcio",
    "protobuf",
    "msgspec",
    "uvloop",
    "google-cloud-firestore",
)
#: The rivals' own; what is not installed is left out.
RIVALS = ("celery", "dramatiq", "arq", "fastapi", "flask", "gunicorn", "redis")
#: Programs, and how each says its version.
TOOLS = {"wrk": "-v", "redis-server": "--version"}
TOOL_SECONDS_MAX = 10
CPU_INFO = Path("/proc/cpuinfo")


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


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times as much, round by round: what slows a whole round down slows both."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def machine() -> dict[str, str]:
    """What the figures depend on; the load average tells what else ran as the run began."""
    about = {"system": platform.platform(), "processor": _processor(), "cores": str(os.cpu_count())}
    about |= {"load average": f"{os.getloadavg()[0]:.1f}", "python": platform.python_version()}
    about |= {tool: _tool_version(tool) for tool in TOOLS}
    about |= {library: _library_version(library) for library in (*LIBRARIES, *RIVALS)}
    return {name: value for name, value in about.items() if value}


def _processor() -> str:
    if CPU_INFO.is_file():
        found = re.search(r"model name\s*:\s*(.+)", CPU_INFO.read_text(encoding="utf-8"))
        if found is not None:
            return found[1]
    return platform.processor()


def _tool_version(tool: str) -> str:
    program = shutil.which(tool)
    if program is None:
        return ""
    said = subprocess.run(
        [program, TOOLS[tool]], capture_output=True, text=True, timeout=TOOL_SECONDS_MAX, check=False
    )
    found = re.search(r"\d+\.\d+(\.\d+)?", said.stdout + said.stderr)
    return found[0] if found else ""


def _library_version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def show(report: Report, screen: Console) -> None:
    """Prints the figures."""
    screen.print(", ".join(f"{name} {value}" for name, value in report.machine.items()), style="dim")
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("figure")
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
    """Two places, none where there are many digits before them, and more where there is nothing else."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or not value else f"{value:.4f}"
