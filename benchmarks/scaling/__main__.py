"""`python -m benchmarks.scaling`: runs the model, prints its tables, and with `--docs docs` writes them there with the plots."""

import asyncio
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.scaling.answers import Table, answers
from benchmarks.scaling.calibration import calibrated, publish_cpu_seconds, vote_cpu_seconds, warm_up
from benchmarks.scaling.parameters import Parameters, describe
from benchmarks.scaling.plots import draw_all
from emulators.stack import LocalCloud

VOTE_SECONDS = 4.0


def main(
    docs: Annotated[
        Path | None, typer.Option(help="Rewrite the tables of scaling.md in this folder, and the plots.")
    ] = None,
    *,
    measure: Annotated[
        bool, typer.Option(help="Measure this machine's service times on a local cloud instead.")
    ] = False,
) -> None:
    """How many instances, lanes and shards a rate of votes needs, which limit comes first, and what it costs."""
    if measure:
        for name, value in asyncio.run(measured()).items():
            typer.echo(f"{name}  {value:.3g}")
        return
    found = answers(Parameters())
    tables = found.tables()
    if docs is None:
        for name, table in tables.items():
            typer.echo(f"\n## {name}\n\n{table.markdown()}")
        return
    page = docs / "scaling.md"
    page.write_text(with_tables(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    for path in (page, *draw_all(found, docs / "images")):
        typer.echo(f"wrote {path}")


def with_tables(text: str, tables: Mapping[str, Table]) -> str:
    """The page with its tables made anew, each between its two marks; `ValueError` names a mark that is missing."""
    for name, table in tables.items():
        begin, end = f"<!-- table: {name} -->", "<!-- end -->"
        pattern = re.escape(begin) + r"\n.*?" + re.escape(end)
        if len(re.findall(pattern, text, re.DOTALL)) != 1:
            raise ValueError(f"The page needs the lines {begin} and {end} once.")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n\n{table.markdown()}\n\n{end}{rest.partition(end)[2]}"
    return text


async def measured() -> dict[str, float]:
    """The measured parameters, as this machine and its emulators have them now."""
    with tempfile.TemporaryDirectory() as folder:
        async with LocalCloud(
            state_folder=Path(folder),
            project="bench-turnout",
            workers=2,
            schedule=False,
            # What a pull that gave up took along comes back within the trial.
            settings={"TURNOUT_ACK_DEADLINE_SECONDS": "10", "TURNOUT_COMMIT_ATTEMPT_SECONDS": "8"},
        ) as cloud:
            await warm_up(cloud.settings)
            found = await calibrated(cloud.settings)
            seconds = {
                "vote_cpu_seconds": await vote_cpu_seconds(cloud, VOTE_SECONDS),
                "publish_cpu_seconds": await publish_cpu_seconds(cloud.settings),
            }
    of_drain = ("bundle_cpu_seconds", "commit_cpu_seconds", "key_cpu_seconds")
    return seconds | {each.name: each.value for each in describe(found) if each.name in of_drain}


if __name__ == "__main__":
    typer.run(main)
