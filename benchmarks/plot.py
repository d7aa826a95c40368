"""`python -m benchmarks.plot figures.json`: draws docs/images/bench-*.svg from the figures that a run wrote.

The same figures give the same bytes. Medians are drawn, with the spread over the rounds as a thin line. The pictures are
narrow, so that a phone shows them whole; colours are Okabe and Ito's, which the colour-blind can tell apart, and each
series has a mark of its own besides.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import msgspec
import typer
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import EngFormatter

from benchmarks.drain import CASES as DRAIN_CASES
from benchmarks.progress import say
from benchmarks.table import Figure, Report

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
WIDTH_INCHES = 4.4
HEAD_INCHES = 1.3
ROW_INCHES = 0.28
BLUE, SKY, GREEN, ORANGE, RED, GREY = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#999999"
#: matplotlib has a literal type for its keys.
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "turnout",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "legend.fontsize": 8,
}
CONNECTIONS = 512
RIVALS = ("Turnout", "arq", "Dramatiq", "Celery", "Increment")
#: Unit in the report, label, colour, mark.
DRAIN_SERIES = (
    ("calls alone", "its calls alone", GREY, "|"),
    ("votes/s", "drain, 1 task", BLUE, "o"),
    ("client, unfolded", "Firestore client, unfolded", ORANGE, "s"),
)
#: Unit in the report, label, colour, hatch.
COST_PARTS = (
    ("$ requests", "requests", GREY, ""),
    ("$ compute", "CPU and memory", SKY, "//"),
    ("$ Pub/Sub", "Pub/Sub", GREEN, ".."),
    ("$ Firestore", "Firestore", BLUE, "\\\\"),
)
OTHER_DESIGNS = (
    "Increment a POST, inexact",
    "Increment and entry a POST",
    "Firebase counter (computed)",
)


class Missing(Exception):
    """A picture needs a figure that this run has not measured."""


class Measured:
    """A report's figures, by name and unit."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = {(figure.name, figure.unit): figure for figure in figures}
        self.names = list(dict.fromkeys(figure.name for figure in figures))

    def get(self, name: str, unit: str) -> Figure:
        """One figure; `Missing` if there is none."""
        found = self._figures.get((name, unit))
        if found is None:
            raise Missing(f"{name}: {unit}")
        return found


def rivals(measured: Measured) -> Picture:
    """Votes a second over 512 connections, Turnout and its rivals."""
    rows = {name: measured.get(f"{name}, {CONNECTIONS} connections", "votes/s") for name in RIVALS}
    picture, axes = _paper(
        len(rows), "Votes accepted a second", f"{CONNECTIONS} connections, one vote a POST"
    )
    _bars(axes, rows, [BLUE if name == "Turnout" else GREY for name in rows])
    return picture


def intake(measured: Measured) -> Picture:
    """The intake beside the hello-world, by connections."""
    rows: dict[str, Figure] = {}
    for name in measured.names:
        connections = name.removeprefix("intake, ").removesuffix(" connections")
        if connections.isdecimal() and name.startswith("intake, "):
            rows[f"hello-world, {connections}"] = measured.get(name, "hello/s")
            rows[f"intake, {connections}"] = measured.get(name, "votes/s")
    if not rows:
        raise Missing("intake")
    picture, axes = _paper(len(rows), "Requests a second", "by connections; the hello-world is the ceiling")
    _bars(axes, rows, [BLUE if name.startswith("intake") else GREY for name in rows])
    return picture


def drain(measured: Measured) -> Picture:
    """The drain beside its calls alone and the unfolded client, by bundle size and mode; logarithmic."""
    cases = [case.name for case in DRAIN_CASES if f"drain {case.name}, 1 task" in measured.names]
    if not cases:
        raise Missing("drain")
    picture, axes = _paper(len(cases), "Votes counted a second", "×500: bundles of 500 votes; logarithmic")
    axes.set_xscale("log")
    for unit, label, colour, mark in DRAIN_SERIES:
        found = [measured.get(f"drain {case}, 1 task", unit) for case in cases]
        axes.plot(
            [figure.median for figure in found],
            range(len(cases)),
            linestyle="none",
            marker=mark,
            markersize=11 if mark == "|" else 6,
            markeredgewidth=2 if mark == "|" else 1,
            color=colour,
            label=label,
        )
    _rows(axes, cases)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.minorticks_off()
    axes.grid(axis="x")
    _legend(picture)
    return picture


def cost(measured: Measured) -> Picture:
    """Dollars a million votes, by what they are paid for."""
    names = [name for name in measured.names if name.startswith("cost ")] + list(OTHER_DESIGNS)
    picture, axes = _paper(len(names), "Dollars a million votes", "one vote a POST; list prices")
    lefts = [0.0] * len(names)
    for unit, label, colour, hatch in COST_PARTS:
        dollars = [measured.get(name, unit).median for name in names]
        axes.barh(
            range(len(names)),
            dollars,
            left=lefts,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.5,
            label=label,
        )
        lefts = [left + part for left, part in zip(lefts, dollars, strict=True)]
    for row, total in enumerate(lefts):
        axes.annotate(f"{total:.2f}", (total, row), (3, 0), textcoords="offset points", va="center")
    _rows(axes, [name.removeprefix("cost ").removesuffix(" (computed)") for name in names])
    axes.set_xlim(0, max(lefts) * 1.15)
    _legend(picture)
    return picture


def growth(measured: Measured) -> Picture:
    """The cost of a vote as votes, polls and choices grow, as a multiple of the first row's; logarithmic."""
    names = [name for name in measured.names if name.startswith("growth")]
    if not names:
        raise Missing("growth")
    picture, axes = _paper(len(names), "Does the cost of a vote grow?", "× the first row; grey: within 20 %")
    axes.set_xscale("log")
    axes.axvspan(0.8, 1.2, color="#eeeeee")
    for over_http, label, colour, mark in (
        (False, "bundles of 100", BLUE, "o"),
        (True, "over HTTP, bundles as they come", RED, "D"),
    ):
        rows = [row for row, name in enumerate(names) if ("over HTTP" in name) is over_http]
        found = [measured.get(names[row], "$/M ÷ first").median for row in rows]
        axes.plot(found, rows, linestyle="none", marker=mark, markersize=6, color=colour, label=label)
    _rows(axes, _what_grew(names))
    ticks = [0.8, 1, 1.2, 2, 5]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    _legend(picture)
    return picture


PICTURES: Mapping[str, Callable[[Measured], Picture]] = {
    "rivals": rivals,
    "intake": intake,
    "drain": drain,
    "cost": cost,
    "growth": growth,
}


def draw_all(report: Report, folder: Path) -> list[Path]:
    """Draws every picture whose figures the report has; answers the files."""
    measured = Measured(report.figures)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(STYLE):
        for name, draw in PICTURES.items():
            try:
                picture = draw(measured)
            except Missing as figure:
                say(f"bench-{name}.svg is left out: this run has no figure of {figure}")
                continue
            path = folder / f"bench-{name}.svg"
            picture.savefig(path, metadata={"Date": None})
            written.append(path)
    return written


def _paper(rows: int, title: str, subtitle: str) -> tuple[Picture, Any]:
    picture = Picture(figsize=(WIDTH_INCHES, HEAD_INCHES + ROW_INCHES * rows), layout="constrained")
    picture.suptitle(title, x=0.02, horizontalalignment="left", fontsize=11, fontweight="bold")
    axes = picture.add_subplot()
    axes.set_title(subtitle, color="#555555", fontsize=8)
    return picture, axes


def _what_grew(names: Sequence[str]) -> list[str]:
    """The first row of each table in full, and of the others what is not as in the first."""
    firsts: dict[str, list[str]] = {}
    shown = []
    for name in names:
        table, *parts = name.split(", ")
        first = firsts.setdefault(table, parts)
        shown.append(", ".join(parts if parts is first else [each for each in parts if each not in first]))
    return [each.replace("1,000,000", "1M") for each in shown]


def _bars(axes: Any, rows: Mapping[str, Figure], colours: Sequence[str]) -> None:
    medians = [figure.median for figure in rows.values()]
    spread = [
        [figure.median - figure.least for figure in rows.values()],
        [figure.most - figure.median for figure in rows.values()],
    ]
    axes.barh(range(len(rows)), medians, color=colours, xerr=spread, error_kw={"elinewidth": 1})
    for row, figure in enumerate(rows.values()):
        axes.annotate(
            f"{figure.median:,.0f}", (figure.most, row), (4, 0), textcoords="offset points", va="center"
        )
    _rows(axes, list(rows))
    axes.set_xlim(0, max(figure.most for figure in rows.values()) * 1.2)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=4)


def _rows(axes: Any, names: Sequence[str]) -> None:
    """The rows' names, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _legend(picture: Picture) -> None:
    picture.legend(loc="outside lower left", ncols=2)


def main(
    figures: Annotated[Path, typer.Argument(help="What `python -m benchmarks --output` wrote.")],
    folder: Annotated[Path, typer.Option(help="Where the pictures go.")] = FOLDER,
) -> None:
    """Draws the figures of a run as pictures for the documentation."""
    for path in draw_all(msgspec.json.decode(figures.read_bytes(), type=Report), folder):
        say(f"{path.name} is drawn")


if __name__ == "__main__":
    typer.run(main)
