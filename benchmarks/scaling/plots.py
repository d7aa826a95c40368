"""The plots of the docs: legible on a phone, in colours that everybody can tell apart, the same bytes on every run."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.prices import MILLION
from benchmarks.scaling.answers import MODES, RATES, Answers
from benchmarks.scaling.record import Sample
from benchmarks.scaling.sizing import limits

#: Okabe and Ito's colours.
BLUE, ORANGE, GREEN, VERMILION, SKY, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#000000"
SIZE_INCHES = (5.0, 3.6)
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "turnout",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "lines.linewidth": 2,
    "lines.markersize": 7,
    "legend.frameon": False,
    "legend.fontsize": 10,
}
POINTS_MAX = 300
#: Points on a logarithmic axis of time lie this far apart.
SPREAD = 1.03


def draw_all(found: Answers, folder: Path) -> list[Path]:
    """Draws every plot into the folder; their paths."""
    drawings: dict[str, Callable[[Axes, Answers], None]] = {
        "sizes": _sizes,
        "limits": _limits,
        "burst": _burst,
        "cost": _cost,
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(STYLE):
        for name, draw in drawings.items():
            figure = Figure(figsize=SIZE_INCHES, layout="constrained", facecolor="white")
            draw(figure.add_subplot(), found)
            path = folder / f"scaling-{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
            # Every line of a file in the repository ends cleanly.
            text = path.read_text(encoding="utf-8")
            path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
            paths.append(path)
    return paths


def _sizes(axes: Axes, found: Answers) -> None:
    sizes = found.sizes
    lines = (
        ("instances", BLUE, "o-", [float(sizes[0, rate].parameters.instances_max) for rate in RATES]),
        ("lanes and shards, keyed", VERMILION, "^--", [float(sizes[1, rate].lanes) for rate in RATES]),
        ("lanes and shards, none", ORANGE, "s:", [float(sizes[0, rate].lanes) for rate in RATES]),
    )
    for label, colour, style, values in lines:
        axes.plot(RATES, values, style, color=colour, label=label)
        for rate, value in zip(RATES, values, strict=True):
            axes.annotate(
                f"{value:.0f}",
                (rate, value),
                textcoords="offset points",
                xytext=(0, 7),
                ha="center",
                fontsize=9,
            )
    axes.set(xscale="log", yscale="log", xlabel="votes a second", ylabel="needed", ylim=(0.7, 3_000))
    axes.set_xticks(RATES, [_short(rate) for rate in RATES])
    axes.set_yticks([1, 10, 100, 1_000], ["1", "10", "100", "1,000"])
    axes.legend(loc="upper left")


def _limits(axes: Axes, found: Answers) -> None:
    of_none = {limit.name: limit.votes_per_second for limit in limits(0, found.deployed)}
    of_keyed = {limit.name: limit.votes_per_second for limit in limits(1, found.deployed)}
    names = sorted(of_none, key=lambda name: -min(of_none[name], of_keyed[name]))
    heights = [float(height) for height in range(len(names))]
    for height, name in zip(heights, names, strict=True):
        axes.plot([of_keyed[name], of_none[name]], [height, height], color="#bbbbbb", zorder=1)
    axes.plot([of_keyed[name] for name in names], heights, "^", color=VERMILION, label="keyed")
    axes.plot([of_none[name] for name in names], heights, "s", color=ORANGE, label="none")
    axes.set(xscale="log", xlabel="votes a second", xlim=(200, 1e8))
    axes.set_xticks([1e3, 1e4, 1e5, 1e6, 1e7], ["1k", "10k", "100k", "1M", "10M"])
    axes.set_yticks(heights, [name.replace(": ", ":\n").replace(", ", ",\n") for name in names], fontsize=9)
    axes.grid(visible=False, axis="y")
    axes.legend(loc="upper right")


def _burst(axes: Axes, found: Answers) -> None:
    styles = {
        (0, "ramped up"): ("none, ramped up", ORANGE, "-"),
        (0, "new poll"): ("none, new poll", BLACK, ":"),
        (1, "ramped up"): ("keyed, ramped up", SKY, "--"),
        (1, "new poll"): ("keyed, new poll", VERMILION, "-."),
    }
    for burst in found.bursts:
        if burst.drain != "sized":
            continue
        label, colour, style = styles[burst.keys_each_vote, burst.database]
        samples = burst.outcome.record.samples
        chosen = [*itertools.islice(_spread(samples), POINTS_MAX), samples[-1]]
        axes.plot(
            [max(sample.seconds, 1.0) / 60 for sample in chosen],
            [sample.backlog / MILLION for sample in chosen],
            style,
            color=colour,
            label=label,
        )
    axes.set(xscale="log", xlabel="minutes after the first vote", ylabel="million votes not counted yet")
    axes.set(xlim=(0.1, 120), ylim=(0, 105))
    axes.set_xticks([0.1, 1, 2, 5, 18, 72], ["0.1", "1", "2", "5", "18", "72"])
    axes.minorticks_off()
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, fontsize=9)


def _spread(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Samples at even distances on a logarithmic axis."""
    due = 0.0
    for sample in samples:
        if sample.seconds >= due:
            yield sample
            due = sample.seconds * SPREAD


def _cost(axes: Axes, found: Answers) -> None:
    bars = [(keys, rate) for keys in MODES for rate in RATES]
    places = [float(place + (place >= len(RATES))) for place in range(len(bars))]
    heights = [0.0] * len(bars)
    parts = (
        ("requests", BLUE, ""),
        ("compute", GREEN, ""),
        ("Pub/Sub", SKY, ""),
        ("Firestore", ORANGE, "//"),
    )
    for part, colour, hatch in parts:
        values = [
            getattr(found.sizes[bar].bill, part.lower().replace("/", ""))
            * MILLION
            / found.sizes[bar].outcome.record.promised
            for bar in bars
        ]
        axes.bar(places, values, bottom=heights, color=colour, hatch=hatch, edgecolor="white", label=part)
        heights = [height + value for height, value in zip(heights, values, strict=True)]
    for place, height in zip(places, heights, strict=True):
        axes.annotate(
            f"{height:.2f}", (place, height), textcoords="offset points", xytext=(0, 3), ha="center"
        )
    axes.set_xticks(places, [_short(rate) for _, rate in bars])
    axes.set(xlabel="votes a second: none (left), keyed (right)", ylabel="$ a million votes", ylim=(0, 1.8))
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper left")


def _short(rate: float) -> str:
    return f"{rate / MILLION:g}M" if rate >= MILLION else f"{rate / 1_000:g}k"
