"""Backups of the local cloud, brought back: what is replaced is named first, and the books balance after."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.faults import CheckFailed
from cli.restore import Beside, Hosts, Preview, backup, compare_deployed, fresh_emulators, restore
from emulators.backups import BackupFailed
from emulators.google import EMULATORS, GoogleEmulators
from tests.cli.conftest import Shell, no_cloud
from tests.conftest import run_apart
from tests.deadlines import WAIT_SECONDS_MAX
from turnout.base.environment import read
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.queue.message import Outgoing
from turnout.votes.bundle import Bundle, encode
from turnout.votes.poll import NewPoll
from turnout.votes.restore import Difference, Standing

NOW_MS = 1_700_000_000_000


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """What the commands are told of the test's project in the emulators."""
    return {
        "GOOGLE_CLOUD_PROJECT": settings.project,
        "PUBSUB_EMULATOR_HOST": settings.pubsub_emulator_host,
        "FIRESTORE_EMULATOR_HOST": settings.firestore_emulator_host,
        "DATASTORE_EMULATOR_HOST": settings.datastore_emulator_host,
        "TURNOUT_FIRESTORE_DATABASE": settings.firestore_database,
        "TURNOUT_DATASTORE_DATABASE": settings.datastore_database,
    }


async def count(settings: Settings, poll: str, votes: int) -> None:
    """Has votes counted and persisted."""
    quick = settings.model_copy(update={"idle_seconds": 1.0})
    async with Wiring(quick) as wiring:
        bundle = Bundle(secrets.token_hex(16), poll, NOW_MS, {0: votes})
        await wiring.topic().publish([Outgoing(encode(bundle))], timeout_seconds=WAIT_SECONDS_MAX)
        await wiring.drain().run()
        await wiring.persistence().persist_all(datetime.now(UTC))


async def votes_of(settings: Settings, poll: str) -> tuple[int, int]:
    """What is counted, and what is persisted."""
    async with Wiring(settings) as wiring:
        found = await wiring.polls().get(poll)
        assert found is not None
        persisted = await wiring.tallies().get(poll)
        assert persisted is not None
        return (await wiring.counters().tally(found)).votes, persisted.votes


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleEmulators]:
    """The emulators in which a backup is looked at; for all tests of this module."""
    databases = [each for each in EMULATORS if each.name != "pubsub"]
    emulators = GoogleEmulators(tmp_path_factory.mktemp("beside"), emulators=databases)
    run_apart(emulators.start())
    yield emulators
    run_apart(emulators.stop())


@pytest.fixture
def beside(second: GoogleEmulators) -> Beside:
    """As fresh as those that the command starts."""

    @asynccontextmanager
    async def emptied() -> AsyncIterator[Hosts]:
        await second.reset()
        yield second.environment

    return emptied


async def test_a_restore_names_what_it_replaces_and_brings_the_backup_back(
    settings: Settings, environment: dict[str, str], beside: Beside, tmp_path: Path
) -> None:
    async with Wiring(settings) as wiring:
        await wiring.administration().create(NewPoll(id="finals", choices=["Ada", "Bob"]))
    await count(settings, "finals", 3)
    await backup(tmp_path / "backup", environment)
    await count(settings, "finals", 4)
    async with Wiring(settings) as wiring:
        await wiring.administration().create(NewPoll(id="later", choices=["Ada", "Bob"]))
    expected = Preview(
        [
            Difference("finals", now=Standing(7, 0, 7), then=Standing(3, 0, 3)),
            Difference("later", now=Standing(0, 0, None), then=None),
        ],
        [],
    )

    assert await restore(tmp_path / "backup", environment, dry_run=True, beside=beside) == expected
    assert await votes_of(settings, "finals") == (7, 7), "a dry run changes nothing"

    assert await restore(tmp_path / "backup", environment, dry_run=False, beside=beside) == expected
    assert await votes_of(settings, "finals") == (3, 3)
    async with Wiring(settings) as wiring:
        assert await wiring.polls().get("later") is None
        assert [verdict.exact for verdict in await wiring.audit().audit_all()] == [True]
        history = await wiring.tallies().history("finals", 10)
        assert [tally.votes for _, tally in history] == [3]
    assert await restore(tmp_path / "backup", environment, dry_run=True, beside=beside) == Preview([], [])


async def test_after_a_disaster_everything_comes_back_and_the_audit_is_exact(
    settings: Settings, environment: dict[str, str], beside: Beside, tmp_path: Path
) -> None:
    """Into emulators that know nothing; votes are counted on after it."""
    async with Wiring(settings) as wiring:
        await wiring.administration().create(NewPoll(id="finals", choices=["Ada", "Bob"]))
    await count(settings, "finals", 3)
    await backup(tmp_path / "backup", environment)
    async with fresh_emulators() as hosts:
        elsewhere = {**environment, **hosts}
        report = await restore(tmp_path / "backup", elsewhere, dry_run=False, beside=beside)
        assert report == Preview([Difference("finals", now=None, then=Standing(3, 0, 3))], [])
        restored = read(Settings, elsewhere)
        assert await votes_of(restored, "finals") == (3, 3)
        async with Wiring(restored) as wiring:
            assert [verdict.exact for verdict in await wiring.audit().audit_all()] == [True]
        await count(restored.model_copy(update={"ack_deadline_seconds": 10}), "finals", 2)
        assert await votes_of(restored, "finals") == (5, 5)


async def test_a_backup_whose_books_do_not_balance_replaces_nothing(
    settings: Settings, environment: dict[str, str], beside: Beside, tmp_path: Path
) -> None:
    """The record of one moment beside the counters of an earlier one, as a backup taken in between would be."""
    async with Wiring(settings) as wiring:
        await wiring.administration().create(NewPoll(id="finals", choices=["Ada", "Bob"]))
    await count(settings, "finals", 3)
    await backup(tmp_path / "good", environment)
    await count(settings, "finals", 5)
    await backup(tmp_path / "later", environment)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "counters").symlink_to(tmp_path / "good" / "counters")
    (mixed / "record").symlink_to(tmp_path / "later" / "record")
    with pytest.raises(CheckFailed, match="Nothing was replaced: in the backup, finals: the persisted tally"):
        await restore(mixed, environment, dry_run=False, beside=beside)
    assert await votes_of(settings, "finals") == (8, 8)


async def test_databases_that_google_restored_are_compared_by_name(
    settings: Settings, environment: dict[str, str]
) -> None:
    async with Wiring(settings) as wiring:
        await wiring.administration().create(NewPoll(id="finals", choices=["Ada", "Bob"]))
    found = await compare_deployed(environment, "counters-check", "record-check")
    assert found == Preview([Difference("finals", now=Standing(0, 0, None), then=None)], [])


async def test_a_folder_without_a_backup_replaces_nothing(
    settings: Settings, environment: dict[str, str], beside: Beside, tmp_path: Path
) -> None:
    async with Wiring(settings) as wiring:
        await wiring.administration().create(NewPoll(id="finals", choices=["Ada", "Bob"]))
    await count(settings, "finals", 3)
    with pytest.raises(BackupFailed, match="There is no backup in"):
        await restore(tmp_path, environment, dry_run=False, beside=beside)
    assert await votes_of(settings, "finals") == (3, 3)


async def test_a_deployed_copy_is_not_restored_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="A deployed copy is restored by Google"):
        await restore(tmp_path, {"GOOGLE_CLOUD_PROJECT": "demo-project"}, dry_run=False)


def test_the_commands_say_what_they_did_and_what_a_restore_would_replace(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    async def prepared() -> None:
        async with Wiring(settings) as wiring:
            await wiring.administration().create(NewPoll(id="finals", choices=["Ada", "Bob"]))

    run_apart(prepared())
    shell = Shell({**no_cloud(tmp_path), **environment})
    assert shell.done("backup", str(tmp_path / "backup")).startswith("✓ Both databases are in")
    assert (tmp_path / "backup" / "counters").is_dir()
    names = ("--counters", "counters-check", "--record", "record-check")
    assert shell.done("restore", "--dry-run", *names) == (
        "finals: is lost, 0 votes (0 duplicates, none persisted)\n"
    )
    assert '"poll": "finals"' in shell.done("restore", "--dry-run", *names, "--json")
    for unclear in (("restore",), ("restore", *names), ("restore", str(tmp_path), "--dry-run", *names)):
        assert shell(*unclear).exit_code == 2
