"""The commands: their names, options and help. What they do is in the modules beside this one."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.text import Text

from cli.doctor.command import EXAMPLES as DOCTOR_EXAMPLES
from cli.doctor.command import doctor
from cli.emulate import EXAMPLES as EMULATE_EXAMPLES
from cli.emulate import emulate
from cli.faults import EPILOG, CheckFailed, Faults
from cli.keeping import BACKUP_EXAMPLES, RESTORE_EXAMPLES, backup, restore
from cli.running import run
from cli.tasks import tasks_app
from turnout.base.clock import moment
from turnout.votes.poll import NewPoll, OnePer

if TYPE_CHECKING:
    from cli.http import PollDocument
    from turnout.votes.results import Source

# What a command needs is imported in it: Google's clients and the emulators take longer to import than most commands
# take to run.
# ruff: noqa: PLC0415

HELP = {"help_option_names": ["-h", "--help"]}
DEMO_CHOICES = "Ada,Grace,Katherine,Margaret,Radia"
VOTES_MAX = 10_000_000
LIST_MAX = 1_000
REDRIVE_MAX = 100_000
IDLE_SECONDS_MIN = 0.1

app = typer.Typer(
    name="turnout",
    cls=Faults,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings=HELP,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    add_completion=False,
    help=(
        "Turnout counts votes at a burst, exactly once.\n\n"
        "Commands use the Turnout that the environment names (TURNOUT_URL for those over HTTP, GOOGLE_CLOUD_PROJECT "
        "for drain, audit and dead-letters), else the local cloud that runs here.\n\n"
        "Start with: `turnout demo`"
    ),
)
polls_app = typer.Typer(no_args_is_help=True, help="Create, list, open, close and certify polls.")
dead_letters_app = typer.Typer(
    no_args_is_help=True, help="Look at messages that could not be read, and send them again."
)
app.add_typer(polls_app, name="polls")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(tasks_app, name="tasks")

Port = Annotated[
    int,
    typer.Option(min=0, max=65_535, help="The port of the local cloud; 0: 8080 if it is free, else another."),
]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Processes per public function.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
PollId = Annotated[str, typer.Argument(help="The poll's id.", show_default=False)]


def _examples(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"`{line}`" for line in lines)


@app.command(epilog=_examples("turnout up", "turnout up --port 9000 --workers 2"))
def up(port: Port = 0, workers: Workers = 1) -> None:
    """Bring the local cloud up: Google's emulators, the functions, the jobs and their schedules. Ctrl-C stops it."""
    from cli import cloud

    run(cloud.up(port, workers))


app.command(epilog=_examples(*EMULATE_EXAMPLES))(emulate)


@app.command(
    epilog=_examples(
        "turnout demo", "turnout demo --votes 500000 --once", "turnout demo --choices Tea,Coffee --seed 7"
    )
)
def demo(
    votes: Annotated[
        int, typer.Option(min=1, max=VOTES_MAX, help="Votes to send, beside repeats.")
    ] = 100_000,
    once: Annotated[bool, typer.Option("--once", help="End after the verdict.")] = False,
    choices: Annotated[str, typer.Option(help="The poll's choices, between commas.")] = DEMO_CHOICES,
    seed: Annotated[
        int | None, typer.Option(help="What the crowd sends follows from it.", show_default="random")
    ] = None,
    port: Port = 0,
    workers: Workers = 1,
) -> None:
    """Send votes to a poll on the local cloud, count and persist them, and prove that each is counted exactly once.

    The proof compares what was promised over HTTP with Firestore, Datastore and the books: exit code 1 and the
    figures, should a vote be lost or counted twice.
    """
    from cli.demo import demo as run_demo

    named = [choice.strip() for choice in choices.split(",") if choice.strip()]
    run(run_demo(votes=votes, choices=named, seed=seed, once=once, port=port, workers=workers))


@polls_app.command(
    "create",
    epilog=_examples(
        "turnout polls create finals Ada Grace Radia",
        'turnout polls create lunch Soup Salad --title "What is for lunch?" --one-per voter',
        "turnout polls create prize A B --opens-at 2030-01-01T12:00:00Z --closes-at 2030-01-02T12:00:00Z",
    ),
)
def create_poll(
    poll: Annotated[str, typer.Argument(help="The id: a-z, 0-9 and inner hyphens.", show_default=False)],
    choices: Annotated[list[str], typer.Argument(help="What can be chosen.", show_default=False)],
    title: Annotated[str, typer.Option(help="What people read.", show_default="the id")] = "",
    one_per: Annotated[
        OnePer, typer.Option(help="Count one vote per voter, per Idempotency-Key, or every vote.")
    ] = OnePer.NONE,
    opens_at: Annotated[
        str | None, typer.Option(help="RFC 3339, as 2030-01-01T12:00:00Z.", show_default="now")
    ] = None,
    closes_at: Annotated[
        str | None, typer.Option(help="RFC 3339.", show_default="the latest that is possible")
    ] = None,
    shards: Annotated[int | None, typer.Option(help="Shards of its counter.", show_default="32")] = None,
    as_json: Json = False,
) -> None:
    """Create a poll; it is open at once unless you say when it opens."""
    from cli import http

    plan = NewPoll(
        id=poll,
        choices=choices,
        title=title,
        one_per=one_per,
        opens_at=_moment(opens_at, "--opens-at"),
        closes_at=_moment(closes_at, "--closes-at"),
        shards=shards,
    )
    _show_poll(run(http.create_poll(plan)), as_json=as_json)


@polls_app.command("list", epilog=_examples("turnout polls list", "turnout polls list --json"))
def list_polls(
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, help="The newest so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List polls, newest first."""
    from cli import http, screen, views

    found = run(http.list_polls(limit)).polls
    if as_json:
        screen.print_json(found)
    elif found:
        screen.console().print(views.polls_view(found))
    else:
        screen.console().print(
            "There are no polls yet. Create one: turnout polls create finals Ada Grace Radia"
        )


@polls_app.command("show", epilog=_examples("turnout polls show finals"))
def show_poll(poll: PollId, as_json: Json = False) -> None:
    """Show a poll."""
    from cli import http

    _show_poll(run(http.show_poll(poll)), as_json=as_json)


@polls_app.command(
    "open",
    epilog=_examples(
        "turnout polls open finals", "turnout polls open finals --closes-at 2030-01-02T12:00:00Z"
    ),
)
def open_poll(
    poll: PollId,
    closes_at: Annotated[
        str | None, typer.Option(help="RFC 3339; needed if it has closed before.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Open a poll now."""
    from cli import http

    closing = _moment(closes_at, "--closes-at")
    change: dict[str, object] = {"state": "open"} | ({} if closing is None else {"closes_at": closing})
    _show_poll(run(http.change_poll(poll, change)), as_json=as_json)


@polls_app.command("close", epilog=_examples("turnout polls close finals"))
def close_poll(poll: PollId, as_json: Json = False) -> None:
    """Close a poll; it takes effect in seconds, when every instance has heard of it."""
    from cli import http, screen

    closed = run(http.change_poll(poll, {"state": "closed"}))
    if as_json:
        screen.print_json(closed)
    else:
        screen.console().print(Text(f"Poll {closed.id} takes no vote from {moment(closed.closes_at)} on."))


@polls_app.command("certify", epilog=_examples("turnout polls certify finals"))
def certify_poll(poll: PollId, as_json: Json = False) -> None:
    """Declare a poll's tally final: it is closed, its queue is drained, its books balance. `persist` does so by itself."""
    from cli import http

    _show_poll(run(http.change_poll(poll, {"state": "certified"})), as_json=as_json)


@app.command(epilog=_examples("turnout vote finals Ada", "turnout vote lunch Soup --voter mary@example.org"))
def vote(
    poll: PollId,
    choice: Annotated[str, typer.Argument(help="One of the poll's choices.", show_default=False)],
    voter: Annotated[
        str | None, typer.Option(help="Who votes: hashed at once, and kept nowhere.", show_default=False)
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key votes once.", show_default="a fresh one")
    ] = None,
    as_json: Json = False,
) -> None:
    """Vote. When it returns, the vote is safe in the queue."""
    from cli import http, screen

    receipt = run(http.vote(poll, choice, voter, idempotency_key))
    if as_json:
        screen.print_json(receipt)
    else:
        screen.console().print(
            Text.assemble(("✓ ", "green"), f"Your vote for {receipt.choice} is accepted: {receipt.vote_id}")
        )


@app.command(
    epilog=_examples(
        "turnout results finals --watch",
        "turnout results finals --persisted",
        "turnout results finals --json",
    )
)
def results(
    poll: PollId,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the votes until Ctrl-C.")] = False,
    persisted: Annotated[
        bool, typer.Option("--persisted", help="The persisted tally instead of the live one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a poll's totals."""
    from cli import http, screen

    if watch and as_json:
        raise typer.BadParameter("--watch is for people, --json for machines: take one of them")
    source: Source = "persisted" if persisted else "live"
    if watch:
        run(http.watch(poll, source))
        return
    read = run(http.results(poll, source))
    if as_json:
        screen.print_json(read)
    else:
        screen.console().print(screen.results_view(read, len(read.choices)))


@app.command(epilog=_examples("turnout drain", "turnout drain --idle-seconds 30"))
def drain(
    idle_seconds: Annotated[
        float, typer.Option(min=IDLE_SECONDS_MIN, help="End when the queue was idle for so long.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Count what waits in the queue, as the drain job does; beside others, if they run."""
    from cli import core, screen

    progress = run(core.drain(idle_seconds))
    if as_json:
        screen.print_json(progress)
        return
    line = (
        f"{screen.counted(progress.votes, 'vote')} counted, {screen.counted(progress.duplicates, 'duplicate')}, "
        f"{screen.counted(progress.bundles, 'bundle')}"
    )
    if progress.dead_letters:
        line += f"; {screen.counted(progress.dead_letters, 'dead letter')}: see turnout dead-letters list"
    screen.console().print(Text.assemble(("✓ ", "green"), line))


@app.command(epilog=_examples("turnout persist", "turnout persist --json"))
def persist(as_json: Json = False) -> None:
    """Persist every poll's tally to Datastore now, as Cloud Scheduler does each minute; certify those that are final."""
    from cli import http, screen

    report = run(http.persist())
    if as_json:
        screen.print_json(report)
    else:
        for name in ("persisted", "certified", "unchanged"):
            ids = getattr(report, name)
            if ids:
                screen.console().print(Text(f"{name:<10} {', '.join(ids)}"))
        if not (report.persisted or report.certified or report.unchanged or report.failed):
            screen.console().print("There is no open or closed poll to persist.")
    if report.failed:
        raise CheckFailed(
            f"Not persisted: {', '.join(report.failed)}. Run it again; the function's log says why."
        )


@app.command(epilog=_examples("turnout audit", "turnout audit finals --json"))
def audit(
    poll: Annotated[str, typer.Argument(help="The poll's id.", show_default="all polls")] = "",
    as_json: Json = False,
) -> None:
    """Prove that shards, ledger and persisted tally agree; exit code 1, with the figures, if they do not."""
    from cli import core, screen, views

    verdicts = run(core.audit(poll))
    if as_json:
        screen.print_json([{**msgspec.structs.asdict(each), "exact": each.exact} for each in verdicts])
    elif verdicts:
        screen.console().print(views.audit_view(verdicts))
    else:
        screen.console().print("There are no polls to audit.")
    faults = [f"{each.books.poll}: {'; '.join(each.faults)}" for each in verdicts if not each.exact]
    if faults:
        raise CheckFailed("The audit failed. " + ". ".join(faults) + ".")


app.command(epilog=_examples(*BACKUP_EXAMPLES))(backup)
app.command(epilog=_examples(*RESTORE_EXAMPLES))(restore)
app.command(epilog=_examples(*DOCTOR_EXAMPLES))(doctor)


@dead_letters_app.command(
    "list", epilog=_examples("turnout dead-letters list", "turnout dead-letters list --json")
)
def list_dead_letters(
    limit: Annotated[int, typer.Option(min=1, max=REDRIVE_MAX, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List messages that could not be read: when, why, how large. They stay where they are."""
    from cli import core, screen, views

    letters = run(core.list_dead_letters(limit))
    if as_json:
        screen.print_json(letters)
    elif letters:
        screen.console().print(views.dead_letters_view(letters))
    else:
        screen.console().print("There are no dead letters.")


@dead_letters_app.command(
    "redrive", epilog=_examples("turnout dead-letters redrive", "turnout dead-letters redrive 17 23")
)
def redrive(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids, as the list shows them.", show_default="all")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=REDRIVE_MAX, help="Look at no more than so many.")
    ] = 10_000,
    as_json: Json = False,
) -> None:
    """Send dead letters the votes' way again, once the cause is mended. A bundle that was counted is not counted again."""
    from cli import core, screen

    report = run(core.redrive(limit, ids or []))
    if as_json:
        screen.print_json(report)
    else:
        screen.console().print(f"Sent again: {screen.counted(len(report.redriven), 'dead letter')}.")
    if report.missing:
        raise CheckFailed(f"Not among the dead letters: {', '.join(report.missing)}.")


def _moment(given: str | None, option: str) -> datetime | None:
    if given is None:
        return None
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        raise typer.BadParameter(
            f"{given!r} is not a moment; write it as 2030-01-01T12:00:00Z", param_hint=option
        ) from None


def _show_poll(poll: "PollDocument", *, as_json: bool) -> None:
    from cli import screen, views

    if as_json:
        screen.print_json(poll)
    else:
        screen.console().print(views.poll_view(poll))
