"""`turnout up`: the local cloud, from its start to Ctrl-C."""

import asyncio
import os
import shutil
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote_plus

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.faults import CheckFailed
from cli.screen import Steps, console
from cli.target import state_folder
from emulators.processes import port_is_free
from emulators.stack import DEFAULT_PORT, LocalCloud

T = TypeVar("T")

IDLE_VARIABLE = "TURNOUT_IDLE_SECONDS"
#: A scheduled drain stays until about the next one comes, so that votes are counted as they arrive; one that had votes
#: to count stays longer, beside the next one.
IDLE_SECONDS = "55"


async def up(port: int, workers: int) -> None:
    """Brings the local cloud up and leaves it running until a signal comes; `CheckFailed` if a part dies."""
    screen = console()
    with Steps(screen) as steps:
        cloud = local_cloud(steps, port=port, workers=workers, tasks=True)
        await cloud.start()
    try:
        show_addresses(screen, cloud)
        await keep_running(screen, cloud)
    finally:
        await cloud.stop()


def local_cloud(steps: Steps, *, port: int, workers: int = 1, tasks: bool = False) -> LocalCloud:
    """A local cloud that tells of its steps. Its schedules begin later: see `keep_running`."""
    return LocalCloud(
        state_folder=state_folder(os.environ),
        port=port or (DEFAULT_PORT if port_is_free(DEFAULT_PORT) else 0),
        workers=workers,
        schedule=False,
        tasks=tasks,
        settings=_settings(os.environ),
        on_step=steps.on_step,
        on_fetch=steps.on_fetch,
    )


async def keep_running(screen: Console, cloud: LocalCloud) -> None:
    """Runs the schedules until a signal comes, which is this command's good end; `CheckFailed` if a part dies."""
    try:
        # The schedules begin at the next full minute; votes are counted from now on.
        cloud.start_job("drain")
        await while_alive(cloud, cloud.run_schedules())
    except asyncio.CancelledError:
        screen.print("\nStopping the local cloud …", style="dim")


async def while_alive(cloud: LocalCloud, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; `CheckFailed` with the log's end if a part of the local cloud dies meanwhile."""
    working = asyncio.create_task(work)
    failing = asyncio.create_task(cloud.failed())
    try:
        await asyncio.wait({working, failing}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise CheckFailed(failing.result())
    finally:
        for task in (working, failing):
            task.cancel()
        await asyncio.gather(working, failing, return_exceptions=True)


def show_addresses(screen: Console, cloud: LocalCloud, poll: str = "", choice: str = "Ada") -> None:
    """Says where everything is, and what to try."""
    name = poll or "finals"
    create = [] if poll else [("Create a poll", f"{program()} polls create {name} Ada Grace Radia")]
    rows = [
        *create,
        ("Results page", f"{cloud.base_url}/results/{name}"),
        ("Vote", f"curl -d poll={name} -d choice={quote_plus(choice)} {cloud.base_url}/vote"),
        ("Watch", f"{program()} results {name} --watch"),
        ("Schedules", cloud.scheduler_ports.url),
        ("Executions", cloud.run_ports.url),
        *([("Cloud Tasks", cloud.tasks_ports.url)] if cloud.tasks_ports.rest else []),
        ("Logs", str(cloud.log_folder)),
    ]
    table = Table.grid(padding=(0, 2, 0, 0))
    for what, where in rows:
        table.add_row(Text(f"  {what}", "dim"), Text(where, overflow="fold"))
    screen.print()
    screen.print(table)
    screen.print()
    screen.print(Text("  It runs until Ctrl-C; commands in other terminals find it.", "dim"))


def program() -> str:
    """How a person calls this command line: `turnout`, or with its folder where that is not on the PATH."""
    called = Path(sys.argv[0])
    if shutil.which("turnout") or called.name != "turnout":
        return "turnout"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {} if environment.get(IDLE_VARIABLE) else {IDLE_VARIABLE: IDLE_SECONDS}
