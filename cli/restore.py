"""Backups of the local cloud, and what a restore would replace, there and in the cloud."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cli.core import wired
from cli.faults import CheckFailed
from cli.target import environment_of_jobs
from emulators.backups import Database
from turnout.base.environment import read
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.restore import Difference, Standing, differences, standings

#: Names within a backup's folder.
COUNTERS, RECORD = "counters", "record"
#: Where a backup of the local cloud is looked at before it replaces anything.
BESIDE = "{}-beside"


class Preview(msgspec.Struct, frozen=True):
    """What a restore changes, and what the audit of the restored databases found wrong."""

    replaced: list[Difference]
    faults: list[str]


async def backup(folder: Path, environment: Mapping[str, str]) -> None:
    """Exports both databases of the local cloud."""
    settings = local(environment)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    counters, record = databases(settings, settings.firestore_database, settings.datastore_database)
    await counters.export(folder, COUNTERS)
    await record.export(folder, RECORD)


async def restore(folder: Path, environment: Mapping[str, str], *, dry_run: bool) -> Preview:
    """Replaces both databases of the local cloud, unless it is a dry run or the backup's own books do not balance."""
    settings = local(environment)
    names = BESIDE.format(settings.firestore_database), BESIDE.format(settings.datastore_database)
    beside = databases(settings, *names)
    await _empty(*beside)
    try:
        await _take(*beside, folder)
        preview = await compare(environment_of_jobs(environment), *names)
    finally:
        await _empty(*beside)
    if preview.faults:
        raise CheckFailed("Nothing was replaced: in the backup, " + "; ".join(preview.faults))
    if not dry_run:
        present = databases(settings, settings.firestore_database, settings.datastore_database)
        await _empty(*present)
        await _take(*present, folder)
    return preview


async def compare(environment: Mapping[str, str], counters: str, record: str) -> Preview:
    """Reads the databases in use, and those to which backups were restored beside them; nothing is changed."""
    there = {
        **environment,
        "TURNOUT_FIRESTORE_DATABASE": counters,
        "TURNOUT_DATASTORE_DATABASE": record,
    }
    async with wired(environment) as wiring:
        now = await _standings(wiring)
    async with wired(there) as wiring:
        then = await _standings(wiring)
        verdicts = await wiring.audit().audit_all()
    faults = [f"{each.books.poll}: {'; '.join(each.faults)}" for each in verdicts if not each.exact]
    return Preview(differences(now, then), faults)


def local(environment: Mapping[str, str]) -> Settings:
    """The local cloud's settings; `CheckFailed` where a deployed copy is named."""
    settings = read(Settings, environment_of_jobs(environment))
    if not settings.firestore_emulator_host or not settings.datastore_emulator_host:
        raise CheckFailed(
            "A folder is a backup of the local cloud. A deployed copy is restored by Google: see Restore in "
            "terraform/README.md, and compare with --counters and --record."
        )
    return settings


def databases(settings: Settings, counters: str, record: str) -> tuple[Database, Database]:
    """Both databases of these names on the emulators."""
    return (
        Database(settings.firestore_emulator_host, settings.project, counters),
        Database(settings.datastore_emulator_host, settings.project, record),
    )


async def _standings(wiring: Wiring) -> dict[str, Standing]:
    return await standings(wiring.polls(), wiring.counters(), wiring.tallies())


async def _take(counters: Database, record: Database, folder: Path) -> None:
    await counters.take(folder, COUNTERS)
    await record.take(folder, RECORD)


async def _empty(counters: Database, record: Database) -> None:
    await counters.empty_native()
    await record.empty_record()
