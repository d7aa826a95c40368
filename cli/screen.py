"""What a person sees: steps with their times, a bar that fills, tables of votes. Without a terminal, plain lines."""

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec
from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from turnout.votes.results import Results

NAME_COLUMNS = 30
BAR_COLUMNS = 30
CHOICE_COLUMNS_MAX = 24
REDRAWS_PER_SECOND = 10.0
#: Without a terminal, a bar says this often how far it is.
MARKS = 4
MEGABYTE = 1_000_000
STATE_STYLES = {"scheduled": "yellow", "open": "green", "closed": "dim", "certified": "cyan"}


def console() -> Console:
    """Standard output, as a person reads it."""
    return Console(highlight=False)


def print_json(document: object) -> None:
    """Standard output, as a machine reads it."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")


def counted(number: int, noun: str) -> str:
    """A number of things: `1 vote`, `2 votes`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class Step:
    """A step under way; `note` is shown beside its time when it has ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.began = time.monotonic()
        self.note = ""

    @property
    def seconds(self) -> float:
        """How long it takes so far."""
        return max(time.monotonic() - self.began, 1e-9)


class Progress:
    """How far a step is: a bar in a terminal, else a line at each quarter."""

    def __init__(self, screen: Console, total: int, unit: str) -> None:
        self._screen = screen
        self._unit = unit
        self._marks = 0
        self._began = time.monotonic()
        self.total = total
        self.done = 0
        self._latest = self._began

    @property
    def seconds(self) -> float:
        """How long it took to come so far."""
        return max(self._latest - self._began, 1e-9)

    def reach(self, done: int) -> None:
        """Says that so much is done."""
        if done > self.done:
            self._latest = time.monotonic()
        self.done = min(done, self.total)
        marks = MARKS * self.done // max(self.total, 1)
        if marks > self._marks and not self._screen.is_terminal:
            self._screen.print(Text(f"    {self.done:,} of {self.total:,} {self._unit}"))
        self._marks = max(marks, self._marks)

    def __rich__(self) -> RenderableType:
        """The bar with its figures."""
        row = Table.grid(padding=(0, 1))
        figures = f"{self.done:,}/{self.total:,} {self._unit}  {self.done / self.seconds:,.0f}/s"
        row.add_row(
            "   ", ProgressBar(total=max(self.total, 1), completed=self.done, width=32), Text(figures)
        )
        return row


class Steps:
    """A line per step with its time, as each ends; what is under way spins below them in a terminal."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen
        self._under_way: dict[str, Step] = {}
        self._progress: Progress | None = None
        self._fetching = ""
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            get_renderable=self._draw, console=screen, transient=True, refresh_per_second=REDRAWS_PER_SECOND
        )

    def __enter__(self) -> Self:
        if self.screen.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._under_way.clear()
        self._progress = None
        self._live.stop()

    def on_step(self, name: str, seconds: float | None) -> None:
        """A step began (None), or ended after so many seconds."""
        if seconds is None:
            self._under_way[name] = Step(name)
        else:
            step = self._under_way.pop(name, Step(name))
            self._fetching = ""
            self.screen.print(_step_line(name, seconds, step.note))

    def on_fetch(self, file: str, got_bytes: int, all_bytes: int) -> None:
        """An emulator is being fetched: once per machine."""
        if not self._fetching and not self.screen.is_terminal:
            self.screen.print(Text(f"    fetching {file}, {all_bytes / MEGABYTE:,.0f} MB, once"))
        self._fetching = f"{file}: {got_bytes / MEGABYTE:,.0f} of {all_bytes / MEGABYTE:,.0f} MB"

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Times a step; one that fails gets no line of its own, for its fault is told."""
        self.on_step(name, None)
        step = self._under_way[name]
        try:
            yield step
        except BaseException:
            self._under_way.pop(name, None)
            raise
        self.on_step(name, time.monotonic() - step.began)

    @contextlib.contextmanager
    def progress(self, total: int, unit: str) -> Iterator[Progress]:
        """Shows how far the present step is."""
        self._progress = Progress(self.screen, total, unit)
        try:
            yield self._progress
        finally:
            self._progress = None

    def _draw(self) -> RenderableType:
        lines: list[RenderableType] = []
        if self._under_way:
            row = Table.grid(padding=(0, 1))
            oldest = next(iter(self._under_way.values()))
            seconds = time.monotonic() - oldest.began
            row.add_row(" ", self._spinner, Text(f"{', '.join(self._under_way)} … {seconds:.0f} s", "cyan"))
            lines.append(row)
        if self._fetching:
            lines.append(Text(f"    {self._fetching}", "dim"))
        if self._progress is not None:
            lines.append(self._progress)
        return Group(*lines)


def _step_line(name: str, seconds: float, note: str) -> Text:
    return Text.assemble(
        ("  ✓ ", "green"),
        f"{name:<{NAME_COLUMNS}}",
        (f"{seconds:>7.1f} s", "bold"),
        (f"   {note}".rstrip(), "dim"),
    )


def results_view(results: Results, rows_max: int) -> RenderableType:
    """A poll's results with bars, the first `rows_max` choices by their votes."""
    return Group(_heading(results), Text(), _bars(results, rows_max), Text(), _footing(results))


def _heading(results: Results) -> Text:
    style = STATE_STYLES.get(results.state, "")
    title = results.title if results.title == results.poll else f"{results.title} · {results.poll}"
    return Text.assemble(
        (title, "bold"),
        "  ",
        (results.state, style),
        ("" if results.source == "live" else "  persisted", "dim"),
    )


def _bars(results: Results, rows_max: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(max_width=CHOICE_COLUMNS_MAX, no_wrap=True, overflow="ellipsis")
    table.add_column(width=BAR_COLUMNS)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    shown = sorted(results.choices, key=lambda row: -row.votes)[:rows_max]
    longest = max((row.votes for row in shown), default=0)
    for row in shown:
        bar = Bar(size=max(longest, 1), begin=0, end=row.votes, width=BAR_COLUMNS, color="cyan")
        table.add_row(Text(row.choice), bar, Text(f"{row.votes:,}"), Text(f"{row.percent:.1f} %", "dim"))
    hidden = len(results.choices) - len(shown)
    if hidden:
        table.add_row(Text(f"and {hidden:,} more", "dim"), "", "", "")
    return table


def _footing(results: Results) -> Text:
    as_of = "not persisted yet" if results.as_of is None else f"as of {results.as_of:%Y-%m-%d %H:%M:%S} UTC"
    votes, duplicates = counted(results.votes, "vote"), counted(results.duplicates, "duplicate")
    return Text(f"{votes} · {duplicates} · {as_of}", "dim")
