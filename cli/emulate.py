"""`turnout emulate`: stand-ins of Google's services for any project, until Ctrl-C."""

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli.running import run_until_signal

if TYPE_CHECKING:
    from emulators.api.serving import Ports
    from emulators.standins import StandIn, Wanted

# The stand-ins are imported when they are wanted: with them come Google's clients, which take their time.
# ruff: noqa: PLC0415

ALL = "all"
DEFAULT_PROJECT = "local-project"
DEFAULT_LOCATION = "us-central1"
DEFAULT_FOLDER = Path(".turnout/stand-ins")
PORT_MAX = 65_535
LOGS = ("text", "json")
EXAMPLES = (
    "turnout emulate",
    "turnout emulate scheduler --project my-project --reset",
    "turnout emulate run --job 'tick=python -m tick'",
    "turnout emulate tasks --queue mail --port tasks=9000,9001",
)


def emulate(  # noqa: PLR0913, PLR0917  # options of a command line
    stand_ins: Annotated[
        list[str] | None,
        typer.Argument(
            help="tasks, scheduler, run, identity; none or `all`: all of them.", show_default=False
        ),
    ] = None,
    project: Annotated[
        str, typer.Option(envvar="GOOGLE_CLOUD_PROJECT", help="The project that is said to be here.")
    ] = DEFAULT_PROJECT,
    location: Annotated[
        str, typer.Option(help="The location of queues and jobs that are made here.")
    ] = DEFAULT_LOCATION,
    state_folder: Annotated[Path, typer.Option(help="What survives a restart.")] = DEFAULT_FOLDER,
    reset: Annotated[bool, typer.Option("--reset", help="Begin without queues, tasks and jobs.")] = False,
    port: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=GRPC,REST for other ports, identity=REST; 0: a free one.", show_default=False
        ),
    ] = None,
    queue: Annotated[
        list[str] | None, typer.Option(help="tasks: a queue to have from the start.", show_default=False)
    ] = None,
    no_ramp_up: Annotated[
        bool,
        typer.Option(
            "--no-ramp-up", help="tasks: a location may dispatch more than 500/s from its first second on."
        ),
    ] = False,
    app_engine_url: Annotated[
        str,
        typer.Option(help="tasks: where App Engine tasks go; else their attempts fail.", show_default=False),
    ] = "",
    service_account: Annotated[
        list[str] | None,
        typer.Option(
            help="tasks: an account that exists; without any, tokens of all can be had.", show_default=False
        ),
    ] = None,
    job: Annotated[
        list[str] | None,
        typer.Option(help="run: NAME=COMMAND, a job that is run as a process here.", show_default=False),
    ] = None,
    max_retries: Annotated[
        int, typer.Option(min=0, help="run: how often a task that fails is tried again.")
    ] = 3,
    log: Annotated[str, typer.Option(help="text, or json: an object a line.")] = LOGS[0],
) -> None:
    """Stand in for Cloud Tasks, Cloud Scheduler, Cloud Run's jobs and Google's tokens, for any project.

    Prints `export` lines when all are ready, and runs until Ctrl-C. Google's own clients speak to them, unchanged.
    An option whose help begins with a stand-in's name is heeded by that one alone.
    """
    from emulators.cloud_run.views import Place
    from emulators.logs import log_to_standard_error
    from emulators.standins import Wanted

    if log not in LOGS:
        raise typer.BadParameter(f"{log!r} is not one of {', '.join(LOGS)}.", param_hint="--log")
    wanted = Wanted(
        stand_ins=named(stand_ins or [ALL]),
        place=Place(project, location),
        folder=state_folder.resolve(),
        ports=ports(port or []),
        reset=reset,
        queues=tuple(queue or ()),
        jobs=commands(job or []),
        job_retries_max=max_retries,
        ramp_up=not no_ramp_up,
        app_engine_url=app_engine_url,
        service_accounts=tuple(service_account or ()),
        pubsub_host=os.environ.get("PUBSUB_EMULATOR_HOST", ""),
    )
    log_to_standard_error(as_json=log == "json")
    run_until_signal(_serve(wanted, as_json=log == "json"))


async def _serve(wanted: "Wanted", *, as_json: bool) -> None:
    from emulators.standins import stand_ins

    async with stand_ins(wanted) as variables:
        sys.stdout.write(ready(variables, as_json=as_json))
        sys.stdout.flush()
        await asyncio.Event().wait()


def ready(variables: Mapping[str, str], *, as_json: bool) -> str:
    """What is said when all answer: lines for a shell, the last a comment; or one JSON object."""
    if as_json:
        return msgspec.json.encode({"message": "ready", "environment": dict(variables)}).decode() + "\n"
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*lines, "# ready: Ctrl-C ends it"]) + "\n"


def named(words: Sequence[str]) -> tuple["StandIn", ...]:
    """The stand-ins of some names."""
    from emulators.standins import StandIn

    if ALL in words:
        return tuple(StandIn)
    for word in words:
        if word not in list(StandIn):
            known = ", ".join([*StandIn, ALL])
            raise typer.BadParameter(f"there is no {word!r}; there are {known}.", param_hint="STAND_INS")
    return tuple(StandIn(word) for word in words)


def ports(words: Sequence[str]) -> dict["StandIn", "Ports"]:
    """The default ports, with those changed that are named: `tasks=9000,9001`, `identity=9002`."""
    from emulators.api.serving import Ports
    from emulators.standins import DEFAULT_PORTS, StandIn

    chosen = dict(DEFAULT_PORTS)
    for word in words:
        name, _, numbers = word.partition("=")
        texts = numbers.split(",")
        good = all(text.isascii() and text.isdigit() and int(text) <= PORT_MAX for text in texts)
        if name not in list(StandIn) or not good or len(texts) != (1 if name == StandIn.IDENTITY else 2):
            raise typer.BadParameter(
                f"{word!r} is not NAME=GRPC,REST with ports up to {PORT_MAX}, nor identity=REST.",
                param_hint="--port",
            )
        grpc, rest = ["0", *texts][-2:]
        chosen[StandIn(name)] = Ports(int(grpc), int(rest))
    return chosen


def commands(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Jobs of Cloud Run as commands: `tick=python -m tick`."""
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, _, command = word.partition("=")
        try:
            parts = tuple(shlex.split(command))
        except ValueError:
            parts = ()
        if not name or not parts:
            raise typer.BadParameter(f"{word!r} is not NAME=COMMAND.", param_hint="--job")
        found[name] = parts
    return found
