"""Backups of the local cloud, and what a restore would replace, there and in the cloud."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec

from cli.core import wired
from cli.faults import CheckFailed
from cli.target import environment_of_jobs
from emulators.backups import Database
from emulators.google import EMULATORS, GoogleEmulators
from turnout.base.environment import read
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.restore import Difference, Standing, differences, standings

#: Names within a backup's folder.
COUNTERS, RECORD = "counters", "record"

#: Where other emulators are, under the variables by which clients find them.
Hosts = Mapping[str, str]
Beside = Callable[[], AbstractAsyncContextManager[Hosts]]


class Preview(msgspec.Struct, frozen=True):
    """What a restore changes, and what the audit of the restored databases found wrong."""

    replaced: list[Difference]
    faults: list[str]


@asynccontextmanager
async def fresh_emulators() -> AsyncIterator[Hosts]:
    """Both databases' emulators, empty: a record's keys name its database, so a backup is read under its own names alone."""
    databases = [each for each in EMULATORS if each.name in ("firestore", "datastore")]
    with tempfile.TemporaryDirectory() as logs:
        emulators = GoogleEmulators(Path(logs), emulators=databases)
        await emulators.start()
        try:
            yield emulators.environment
        finally:
            await emulators.stop()


async def backup(folder: Path, environment: Mapping[str, str]) -> None:
    """Exports both databases of the local cloud."""
    settings = local(environment)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    counters, record = databases(settings)
    await counters.export(folder, COUNTERS)
    await record.export(folder, RECORD)


async def restore(
    folder: Path, environment: Mapping[str, str], *, dry_run: bool, beside: Beside = fresh_emulators
) -> Preview:
    """Replaces both databases of the local cloud, unless it is a dry run or the backup's own books do not balance."""
    settings = local(environment)
    there = environment_of_jobs(environment)
    async with beside() as hosts:
        looked_at = {**there, **hosts}
        await _take(*databases(read(Settings, looked_at)), folder)
        preview = await compare(there, looked_at)
    if preview.faults:
        raise CheckFailed("Nothing was replaced: in the backup, " + "; ".join(preview.faults))
    if not dry_run:
        counters, record = databases(settings)
        await counters.empty_native()
        await record.empty_record()
        await _take(counters, record, folder)
    return preview


async def compare(now: Mapping[str, str], then: Mapping[str, str]) -> Preview:
    """Reads the databases in use, and restored ones beside them, each under its environment; nothing is changed."""
    async with wired(now) as wiring:
        present = await _standings(wiring)
    async with wired(then) as wiring:
        restored = await _standings(wiring)
        verdicts = await wiring.audit().audit_all()
    faults = [f"{each.books.poll}: {'; '.join(each.faults)}" for each in verdicts if not each.exact]
    return Preview(differences(present, restored), faults)


async def compare_deployed(environment: Mapping[str, str], counters: str, record: str) -> Preview:
    """The same for a deployed copy, and the databases to which Google has restored its backups."""
    there = environment_of_jobs(environment)
    names = {"TURNOUT_FIRESTORE_DATABASE": counters, "TURNOUT_DATASTORE_DATABASE": record}
    return await compare(there, {**there, **names})


def local(environment: Mapping[str, str]) -> Settings:
    """The local cloud's settings; `CheckFailed` where a deployed copy is named."""
    settings = read(Settings, environment_of_jobs(environment))
    if not settings.firestore_emulator_host or not settings.datastore_emulator_host:
        raise CheckFailed(
            "A folder is a backup of the local cloud. A deployed copy is restored by Google: see Restore in "
            "terraform/README.md, and compare with --dry-run, --counters and --record."
        )
    return settings


def databases(settings: Settings) -> tuple[Database, Database]:
    """Both databases on the emulators."""
    return (
        Database(settings.firestore_emulator_host, settings.project, settings.firestore_database),
        Database(settings.datastore_emulator_host, settings.project, settings.datastore_database),
    )


async def _standings(wiring: Wiring) -> dict[str, Standing]:
    return await standings(wiring.polls(), wiring.counters(), wiring.tallies())


async def _take(counters: Database, record: Database, folder: Path) -> None:
    await counters.take(folder, COUNTERS)
    await record.take(folder, RECORD)
