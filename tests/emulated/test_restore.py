"""Backups of the local cloud, brought back: what is replaced is named first, and the books balance after."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.faults import CheckFailed
from cli.restore import Preview, backup, restore
from emulators.backups import BackupFailed
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
        await wiring.topic().publish([Outgoing(encode(bundle))], timeout_seconds=60)
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


async def test_a_restore_names_what_it_replaces_and_brings_the_backup_back(
    settings: Settings, environment: dict[str, str], tmp_path: Path
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

    assert await restore(tmp_path / "backup", environment, dry_run=True) == expected
    assert await votes_of(settings, "finals") == (7, 7), "a dry run changes nothing"

    assert await restore(tmp_path / "backup", environment, dry_run=False) == expected
    assert await votes_of(settings, "finals") == (3, 3)
    async with Wiring(settings) as wiring:
        assert await wiring.polls().get("later") is None
        assert [verdict.exact for verdict in await wiring.audit().audit_all()] == [True]
        history = await wiring.tallies().history("finals", 10)
        assert [tally.votes for _, tally in history] == [3]
    assert await restore(tmp_path / "backup", environment, dry_run=True) == Preview([], [])


async def test_a_backup_whose_books_do_not_balance_replaces_nothing(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    async with Wiring(settings) as wiring:
        await wiring.administration().create(NewPoll(id="finals", choices=["Ada", "Bob"]))
    await count(settings, "finals", 3)
    async with Wiring(settings) as wiring:
        tally = await wiring.tallies().get("finals")
        assert tally is not None
    await backup(tmp_path / "good", environment)
    # The record of one moment beside the counters of another: as a half-written backup would be.
    await restore(tmp_path / "good", environment, dry_run=True)
    await count(settings, "finals", 5)
    await backup(tmp_path / "later", environment)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "counters").symlink_to(tmp_path / "good" / "counters")
    (mixed / "record").symlink_to(tmp_path / "later" / "record")
    with pytest.raises(CheckFailed, match="Nothing was replaced"):
        await restore(mixed, environment, dry_run=False)
    assert await votes_of(settings, "finals") == (8, 8)


async def test_a_folder_without_a_backup_replaces_nothing(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    async with Wiring(settings) as wiring:
        await wiring.administration().create(NewPoll(id="finals", choices=["Ada", "Bob"]))
    await count(settings, "finals", 3)
    with pytest.raises(BackupFailed, match="There is no backup in"):
        await restore(tmp_path, environment, dry_run=False)
    assert await votes_of(settings, "finals") == (3, 3)


async def test_a_deployed_copy_is_not_restored_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="A deployed copy is restored by Google"):
        await restore(tmp_path, {"GOOGLE_CLOUD_PROJECT": "demo-project"}, dry_run=False)
