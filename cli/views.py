"""How lists and verdicts look in a terminal of 80 columns."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.doctor.finding import Finding, State
from cli.http import PollDocument
from cli.screen import STATE_STYLES
from turnout.queue.dead_letters import DeadLetter
from turnout.votes.audit import Verdict

CHOICES_SHOWN_MAX = 12
MARKS = {
    State.GOOD: Text("✓", "green"),
    State.FAULT: Text("✗", "bold red"),
    State.UNKNOWN: Text("?", "yellow"),
}


def polls_view(polls: Sequence[PollDocument]) -> RenderableType:
    """A line per poll."""
    table = _table()
    table.add_column("poll", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("choices", justify="right", no_wrap=True)
    table.add_column("one per", no_wrap=True)
    table.add_column("closes", no_wrap=True)
    table.add_column("title", overflow="fold")
    for poll in polls:
        table.add_row(
            Text(poll.id, "bold"),
            Text(poll.state, STATE_STYLES.get(poll.state, "")),
            f"{len(poll.choices):,}",
            poll.one_per,
            _moment(poll.closes_at),
            Text(poll.title if poll.title != poll.id else ""),
        )
    return table


def poll_view(poll: PollDocument) -> RenderableType:
    """Everything about a poll."""
    shown = poll.choices[:CHOICES_SHOWN_MAX]
    hidden = len(poll.choices) - len(shown)
    rows = [
        ("state", Text(poll.state, STATE_STYLES.get(poll.state, ""))),
        ("choices", Text(", ".join(shown) + (f" and {hidden:,} more" if hidden else ""))),
        ("one per", Text(poll.one_per)),
        ("opens", Text(_moment(poll.opens_at))),
        ("closes", Text(_moment(poll.closes_at))),
        ("shards", Text(f"{poll.shards:,}")),
    ]
    if poll.certified_at is not None:
        rows.append(("certified", Text(_moment(poll.certified_at))))
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in rows:
        table.add_row(Text(name, "dim"), value)
    title = "" if poll.title == poll.id else f"  {poll.title}"
    return Group(Text.assemble((poll.id, "bold"), title), table)


def audit_view(verdicts: Sequence[Verdict]) -> RenderableType:
    """A line per poll, with both sides of its books."""
    table = _table()
    table.add_column("")
    table.add_column("poll", overflow="fold")
    for head in ("shards", "ledger", "persisted", "duplicates", "bundles"):
        table.add_column(head, justify="right", no_wrap=True)
    for verdict in verdicts:
        books = verdict.books
        table.add_row(
            Text("✓", "green") if verdict.exact else Text("✗", "bold red"),
            Text(books.poll, "bold"),
            f"{books.shards.votes:,}",
            "expired" if verdict.ledger_expired else f"{books.ledger.votes:,}",
            "-" if verdict.persisted is None else f"{verdict.persisted.votes:,}",
            f"{books.shards.duplicates:,}",
            f"{books.shards.bundles:,}",
        )
    return table


def dead_letters_view(letters: Sequence[DeadLetter]) -> RenderableType:
    """A line per dead letter."""
    table = _table()
    table.add_column("id", no_wrap=True)
    table.add_column("time", no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for letter in letters:
        time = "-" if letter.buried_at is None else _moment(letter.buried_at)
        table.add_row(letter.id, time, f"{letter.size_bytes:,}", Text(letter.reason))
    return table


def findings_view(findings: Sequence[Finding]) -> RenderableType:
    """A line per finding, and the mend below a fault."""
    table = _table()
    table.add_column("")
    table.add_column("check", no_wrap=True)
    table.add_column("finding", overflow="fold")
    for each in findings:
        says = Text(each.says)
        if each.mend:
            says.append(f"\n→ {each.mend}", "bold")
        table.add_row(MARKS[each.state], Text(each.check, "bold"), says)
    return table


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
