"""The command `turnout doctor`."""

import os
from typing import Annotated

import typer

from cli.faults import CheckFailed
from cli.running import run

# What it needs takes longer to import than most commands take to run.
# ruff: noqa: PLC0415

EXAMPLES = ("turnout doctor --deployed", "turnout doctor --deployed --json")


def doctor(
    deployed: Annotated[
        bool, typer.Option("--deployed", help="The copy in the cloud that the environment names.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Look at a deployed copy from the outside, under your credentials: what it lacks, and the mend of each fault.

    It looks at APIs, grants, schedules, alerts, the region's quota, backups and the clock, and changes nothing. Exit code
    1 if anything is wrong, or could not be looked at.
    """
    from cli import screen, views
    from cli.doctor.examination import examine
    from cli.doctor.finding import State

    if not deployed:
        raise typer.BadParameter("say --deployed: the local cloud says by itself what it lacks")
    found = run(examine(os.environ))
    if as_json:
        screen.print_json(found)
    else:
        screen.console().print(views.findings_view(found))
    wrong = sum(each.state is not State.GOOD for each in found)
    if wrong:
        raise CheckFailed(f"{screen.counted(wrong, 'thing')} to mend.")
