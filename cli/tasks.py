"""`turnout tasks …`: add tasks, ask for them, steer them, watch them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from cli.faults import CheckFailed
from cli.running import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from cli.tasks_http import TaskDocument

# As in main.py: what a command needs is imported in it.
# ruff: noqa: PLC0415

tasks_app = typer.Typer(no_args_is_help=True, help="Add tasks, ask for them, steer them, watch them.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
TaskId = Annotated[int, typer.Argument(help="The task's id.", show_default=False, min=0)]
TopicName = Annotated[str, typer.Argument(help="The topic.", show_default=False)]
LIST_MAX = 1_000
IDLE_SECONDS_MIN = 0.1
STYLES = {"succeeded": "green", "failed": "red", "running": "cyan", "cancelled": "yellow"}


def _examples(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"`{line}`" for line in lines)


@tasks_app.command(
    epilog=_examples(
        'turnout tasks add thumbnails resize \'{"image": "a.png"}\' --delay 90s',
        "turnout tasks add reminders https://example.com/remind --run-at 2030-01-31T08:00:00Z --id order-7",
    )
)
def add(
    topic: TopicName,
    by: Annotated[str, typer.Argument(help="A handler's name, or a URL.", show_default=False)],
    payload: Annotated[str, typer.Argument(help="JSON, or a text.", show_default="null")] = "null",
    delay: Annotated[str | None, typer.Option(help="As 90s or 1h30m.", show_default="now")] = None,
    run_at: Annotated[str | None, typer.Option(help="RFC 3339.", show_default="now")] = None,
    key: Annotated[str | None, typer.Option("--id", help="Makes the task unique in its topic.")] = None,
    timeout: Annotated[str | None, typer.Option(help="Of one attempt, as 30s.")] = None,
    on_success: Annotated[str | None, typer.Option(help="Who is told: a handler's name, or a URL.")] = None,
    on_failure: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    as_json: Json = False,
) -> None:
    """Add a task. When it returns, the task is stored."""
    from cli import screen, tasks_http

    given = {
        "topic": topic,
        "url" if by.startswith(("http://", "https://")) else "handler": by,
        "payload": tasks_http.as_payload(payload),
        "delay": delay,
        "run_at": run_at,
        "id": key,
        "timeout": timeout,
        "on_success": on_success,
        "on_failure": on_failure,
    }
    wanted = {name: value for name, value in given.items() if value is not None or name == "payload"}
    added = run(tasks_http.add(wanted))
    if as_json:
        screen.print_json(added)
        return
    what = "was there already" if added.is_repeat else "is stored"
    screen.console().print(Text.assemble(("✓ ", "green"), f"Task {added.id} {what}."))


@tasks_app.command(epilog=_examples("turnout tasks show 4503599627370496"))
def show(task: TaskId, as_json: Json = False) -> None:
    """Show a task: its state, its attempts, its result."""
    from cli import tasks_http

    _show(run(tasks_http.show(task)), as_json=as_json)


@tasks_app.command(
    "list",
    epilog=_examples(
        "turnout tasks list thumbnails --state failed",
        "turnout tasks list thumbnails --since 2030-01-31T08:00:00Z --json",
    ),
)
def list_tasks(
    topic: TopicName,
    state: Annotated[
        str | None, typer.Option(help="waiting, running, succeeded, failed or cancelled.", show_default="all")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Added at or after it, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option(help="Added before it.")] = None,
    before: Annotated[int | None, typer.Option(help="Go on where a page ended: its `before`.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, help="The newest so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List a topic's tasks, newest first."""
    from cli import screen, tasks_http

    page = run(tasks_http.page(topic, state=state, since=since, until=until, before=before, limit=limit))
    if as_json:
        screen.print_json(page)
    elif page.tasks:
        screen.console().print(_table(page.tasks))
        if page.before is not None:
            screen.console().print(f"There may be more: --before {page.before}")
    else:
        screen.console().print("There are no such tasks.")


def _verb(name: str, text: str) -> None:
    def steer(task: TaskId, as_json: Json = False) -> None:
        from cli import tasks_http

        _show(run(tasks_http.steer(task, name)), as_json=as_json)

    steer.__doc__ = text
    tasks_app.command(name, help=text, epilog=_examples(f"turnout tasks {name} 4503599627370496"))(steer)


_verb("cancel", "End a task. If it runs, its worker is told, and what that says of it loses.")
_verb("run", "Run a waiting task now, whatever its moment.")
_verb("retry", "Try a task again now: one that waits, failed or was cancelled.")
_verb("release", "Take a running task from its worker by force, for another to run.")


@tasks_app.command(
    epilog=_examples("turnout tasks redrive 4503599627370496", "turnout tasks redrive --topic thumbnails")
)
def redrive(
    task: Annotated[int | None, typer.Argument(help="The task's id.", show_default=False, min=0)] = None,
    topic: Annotated[str | None, typer.Option(help="All failed tasks of this topic instead.")] = None,
    since: Annotated[str | None, typer.Option(help="Of these, those added at or after it.")] = None,
    until: Annotated[str | None, typer.Option(help="Of these, those added before it.")] = None,
    as_json: Json = False,
) -> None:
    """Begin a task again that failed or was cancelled; or all failed tasks of a topic."""
    from cli import tasks_http

    if (task is None) == (topic is None):
        raise typer.BadParameter("name a task, or a --topic")
    if task is not None:
        _show(run(tasks_http.steer(task, "redrive")), as_json=as_json)
        return
    body = {name: value for name, value in (("since", since), ("until", until)) if value is not None}
    _report(run(tasks_http.herd(topic or "", "redrive", body)), "redriven", as_json=as_json)


@tasks_app.command(epilog=_examples("turnout tasks topic thumbnails"))
def topic(name: TopicName, as_json: Json = False) -> None:
    """Show a topic's books: how many tasks wait, ended, crashed."""
    from cli import screen, tasks_http

    found = run(tasks_http.topic(name))
    if as_json:
        screen.print_json(found)
        return
    paused = "  paused" if found.is_paused else ""
    screen.console().print(
        Text(
            f"{found.topic}{paused}\n{found.depth:,} have not ended · {found.created:,} created · "
            f"{found.succeeded:,} succeeded · {found.failed:,} failed · {found.cancelled:,} cancelled · "
            f"{found.attempts:,} attempts · {found.crashed:,} crashed"
        )
    )


@tasks_app.command(epilog=_examples("turnout tasks pause thumbnails"))
def pause(name: TopicName, as_json: Json = False) -> None:
    """Let a topic's tasks wait; what runs is finished."""
    from cli import screen, tasks_http

    document = run(tasks_http.herd(name, "pause"))
    if as_json:
        screen.print_json(document)
    else:
        screen.console().print(f"Topic {name} is paused: workers know it within seconds.")


@tasks_app.command(epilog=_examples("turnout tasks resume thumbnails"))
def resume(name: TopicName, as_json: Json = False) -> None:
    """Let a paused topic's tasks run again."""
    from cli import tasks_http

    _report(run(tasks_http.herd(name, "resume")), "woken", as_json=as_json)


@tasks_app.command(
    epilog=_examples("turnout tasks purge thumbnails", "turnout tasks purge thumbnails --confirm 12")
)
def purge(
    name: TopicName,
    confirm: Annotated[
        int | None, typer.Option(min=0, help="Cancel, if no more than so many wait.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Cancel all tasks of a topic that wait. Without --confirm it only counts them."""
    from cli import screen, tasks_http

    body = {} if confirm is None else {"confirm": confirm}
    document = run(tasks_http.herd(name, "purge", body))
    if confirm is not None or as_json:
        _report(document, "cancelled", as_json=as_json)
        return
    waiting = document["waiting"]
    screen.console().print(
        f"{screen.counted(waiting, 'task')} would be cancelled: turnout tasks purge {name} --confirm {waiting}"
    )


@tasks_app.command(epilog=_examples("turnout tasks watch 4503599627370496"))
def watch(task: TaskId, as_json: Json = False) -> None:
    """Follow a task until it has ended; exit code 1 if it has not succeeded. With --json a line for each change."""
    from cli import screen, tasks_http

    async def follow() -> "TaskDocument | None":
        last = None
        async for each in tasks_http.watched(task):
            last = each
            if as_json:
                screen.print_json(each)
            else:
                screen.console().print(_line(each))
        return last

    last = run(follow())
    if last is not None and last.state != "succeeded":
        raise CheckFailed(f"Task {task} has {'been cancelled' if last.state == 'cancelled' else last.state}.")


@tasks_app.command(epilog=_examples("turnout tasks work", "turnout tasks work --idle-seconds 60"))
def work(
    idle_seconds: Annotated[
        float, typer.Option(min=IDLE_SECONDS_MIN, help="End when the queue was idle for so long.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Run what is due, as the work job does; beside others, if they run. Handlers are imported from this folder."""
    from cli import screen, tasks_core

    progress = run(tasks_core.work(idle_seconds))
    if as_json:
        screen.print_json(progress)
    else:
        screen.console().print(
            Text.assemble(("✓ ", "green"), f"{screen.counted(progress.messages, 'message')} handled")
        )


def _show(task: "TaskDocument", *, as_json: bool) -> None:
    from cli import screen

    if as_json:
        screen.print_json(task)
    else:
        screen.console().print(_view(task))


def _report(document: "dict[str, Any]", done: str, *, as_json: bool) -> None:
    from cli import screen

    if as_json:
        screen.print_json(document)
        return
    more = "; there may be more: do it again" if document.get("is_partial") else ""
    screen.console().print(Text(f"{document.get(done, 0):,} tasks {done}{more}"))


def _view(task: "TaskDocument") -> "RenderableType":
    from rich.console import Group
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for name in ("topic", "handler", "url", "key", "added_at", "run_at", "worker", "lease_until", "ended_at"):
        if getattr(task, name):
            table.add_row(Text(name.removesuffix("_at"), "dim"), Text(str(getattr(task, name))))
    for attempt in task.attempts:
        said = f"{attempt.get('ending', '')}  {attempt.get('error', '')}".strip()
        table.add_row(Text(f"attempt {attempt['number']}", "dim"), Text(said))
    for name, value in (("payload", task.payload), ("result", task.result)):
        if isinstance(value, str | int | float | list | dict):
            import msgspec

            table.add_row(Text(name, "dim"), Text(msgspec.json.encode(value).decode()))
    return Group(_line(task), table)


def _line(task: "TaskDocument") -> Text:
    detail = f"  {task.progress or task.error}" if task.progress or task.error else ""
    return Text.assemble(
        (str(task.id), "bold"),
        "  ",
        (task.state, STYLES.get(task.state, "")),
        f"  attempt {task.attempt}" if task.attempt else "",
        detail,
    )


def _table(tasks: "Sequence[TaskDocument]") -> "RenderableType":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("task", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("attempt", justify="right", no_wrap=True)
    table.add_column("by", overflow="fold")
    table.add_column("run at", no_wrap=True)
    table.add_column("", overflow="fold")
    for each in tasks:
        table.add_row(
            Text(str(each.id), "bold"),
            Text(each.state, STYLES.get(each.state, "")),
            str(each.attempt),
            each.handler or each.url,
            each.run_at,
            Text(each.error or each.progress),
        )
    return table
