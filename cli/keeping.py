"""The commands `turnout backup` and `turnout restore`."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cli.faults import CheckFailed
from cli.running import run

# What they need takes longer to import than most commands take to run.
# ruff: noqa: PLC0415

BACKUP_EXAMPLES = ("turnout backup before-the-finals",)
RESTORE_EXAMPLES = (
    "turnout restore before-the-finals --dry-run",
    "turnout restore before-the-finals",
    "turnout restore --dry-run --counters counters-check --record record-check",
)


def backup(
    folder: Annotated[
        Path, typer.Argument(help="A folder to write it into.", show_default=False, resolve_path=True)
    ],
) -> None:
    """Back up both databases of the local cloud; a deployed copy is backed up by Google, on a schedule."""
    from cli import restore as restoring
    from cli import screen

    run(restoring.backup(folder, os.environ))
    screen.console().print(Text.assemble(("✓ ", "green"), f"Both databases are in {folder}."))


def restore(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A backup of the local cloud.", show_default=False, resolve_path=True),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Name what would be replaced, and change nothing.")
    ] = False,
    counters: Annotated[
        str, typer.Option(help="The Firestore database that Google restored to.", show_default=False)
    ] = "",
    record: Annotated[str, typer.Option(help="The one in Datastore mode.", show_default=False)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Bring a backup of the local cloud back, once its own books are audited; or name what a restore would replace.

    A deployed copy is restored by Google: name the restored databases, and compare with --dry-run.
    """
    from cli import restore as restoring
    from cli import screen

    if folder is not None and not (counters or record):
        preview = run(restoring.restore(folder, os.environ, dry_run=dry_run))
    elif folder is None and counters and record and dry_run:
        preview = run(restoring.compare_deployed(os.environ, counters, record))
    else:
        raise typer.BadParameter("name a backup's folder; or --counters and --record, with --dry-run")
    if as_json:
        screen.print_json(preview)
    else:
        for each in [*map(str, preview.replaced)] or ["Nothing differs."]:
            screen.console().print(Text(each))
        if not dry_run:
            screen.console().print(Text.assemble(("✓ ", "green"), "Both databases are as in the backup."))
    if preview.faults:
        raise CheckFailed("In the restored databases, " + "; ".join(preview.faults))
