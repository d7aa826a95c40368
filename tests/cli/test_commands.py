"""Commands against the local cloud and Google's emulators: what a person in a second terminal does."""

import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.cli.conftest import Shell, no_cloud
from tests.conftest import run_apart
from tests.deadlines import WAIT_SECONDS_MAX
from turnout.base.clock import SystemClock
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.queue.message import Outgoing
from turnout.votes.fold import Delta, Posting
from turnout.votes.poll import Poll

T = TypeVar("T")


@pytest.fixture
def poll() -> str:
    """A poll id that no other test has."""
    return f"poll-{secrets.token_hex(4)}"


@pytest.fixture
def core_shell(settings: Settings, tmp_path: Path) -> Shell:
    """A terminal whose environment names the emulators, with a project of this test's own."""
    return Shell(
        {
            **no_cloud(tmp_path),
            "GOOGLE_CLOUD_PROJECT": settings.project,
            "PUBSUB_EMULATOR_HOST": settings.pubsub_emulator_host,
            "FIRESTORE_EMULATOR_HOST": settings.firestore_emulator_host,
            "DATASTORE_EMULATOR_HOST": settings.datastore_emulator_host,
            "TURNOUT_ACK_DEADLINE_SECONDS": "10",
            "TURNOUT_COMMIT_ATTEMPT_SECONDS": "5",
        }
    )


def with_core(settings: Settings, act: Callable[[Wiring], Awaitable[T]]) -> T:
    async def acting() -> T:
        async with Wiring(settings) as wiring:
            return await act(wiring)

    return run_apart(acting())


def create_poll(settings: Settings, poll: str) -> None:
    at = SystemClock().now()
    stored = Poll(
        id=poll,
        title=poll,
        choices=("Ada", "Grace"),
        opens_at=at,
        closes_at=at.replace(year=2099),
        created_at=at,
    )
    with_core(settings, lambda wiring: wiring.polls().create(stored))


def put_in_queue(settings: Settings, data: bytes) -> None:
    with_core(
        settings,
        lambda wiring: wiring.topic().publish(
            [Outgoing(data, {"from": "a test"})], timeout_seconds=WAIT_SECONDS_MAX
        ),
    )


def test_a_vote_goes_its_way_by_commands_alone(cloud_shell: Shell, poll: str) -> None:
    assert "open" in cloud_shell.done("polls", "create", poll, "Ada", "Earl Grey", "--title", "Which?")
    assert poll in cloud_shell.done("polls", "list", "--limit", "1000")
    assert "Your vote for Earl Grey is accepted" in cloud_shell.done("vote", poll, "Earl Grey")
    for _ in range(2):
        cloud_shell.done("vote", poll, "Ada", "--idempotency-key", "mine")

    cloud_shell.done("drain", "--idle-seconds", "3")

    read = json.loads(cloud_shell.done("results", poll, "--json"))
    assert (read["votes"], read["duplicates"]) == (2, 1)
    shown = cloud_shell.done("results", poll)
    assert "Which?" in shown
    assert "2 votes · 1 duplicate ·" in shown
    assert poll in json.loads(cloud_shell.done("persist", "--json"))["persisted"]
    persisted = json.loads(cloud_shell.done("results", poll, "--persisted", "--json"))
    assert {row["choice"]: row["votes"] for row in persisted["choices"]} == {"Ada": 1, "Earl Grey": 1}
    (verdict,) = json.loads(cloud_shell.done("audit", poll, "--json"))
    assert verdict["exact"]
    assert "✓" in cloud_shell.done("audit", poll)


def test_a_poll_is_created_opened_closed_and_not_certified_too_early(cloud_shell: Shell, poll: str) -> None:
    times = ("--opens-at", "2098-01-01T00:00:00Z", "--closes-at", "2026-12-01T00:00:00+01:00")
    refused = cloud_shell("polls", "create", poll, "a", "b", *times)
    assert refused.exit_code == 3

    created = json.loads(cloud_shell.done("polls", "create", poll, "a", "b", "--one-per", "voter", "--json"))
    assert (created["state"], created["one_per"], created["choices"]) == ("open", "voter", ["a", "b"])
    assert "one per  voter" in cloud_shell.done("polls", "show", poll)
    assert "takes no vote from" in cloud_shell.done("polls", "close", poll)
    result = cloud_shell("polls", "certify", poll)
    assert result.exit_code == 3
    assert "cannot be certified yet" in result.stderr
    reopened = cloud_shell.done("polls", "open", poll, "--closes-at", created["closes_at"], "--json")
    assert json.loads(reopened)["closes_at"] == created["closes_at"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("vote", "POLL", "Nobody"), "has no choice 'Nobody'. (422)"),
        (("vote", "no-such-poll", "Ada"), "There is no poll 'no-such-poll'. (404)"),
        (("results", "no-such-poll"), "There is no poll 'no-such-poll'. (404)"),
        (("polls", "show", "a/b?c"), "(4"),
        (("polls", "create", "POLL", "Ada", "Grace"), "exists already"),
        (("polls", "create", "one-choice", "Ada"), "2 to 10,000 choices"),
        (("audit", "no-such-poll"), "There is no poll 'no-such-poll'."),
    ],
)
def test_what_turnout_refuses_is_one_clear_line_and_exit_code_3(
    cloud_shell: Shell, poll: str, words: tuple[str, ...], message: str
) -> None:
    cloud_shell.done("polls", "create", poll, "Ada", "Grace")
    result = cloud_shell(*(poll if word == "POLL" else word for word in words))
    assert result.exit_code == 3, result.output
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_audit_of_a_tampered_shard_fails_with_the_figures(
    core_shell: Shell, settings: Settings, poll: str
) -> None:
    create_poll(settings, poll)
    assert json.loads(core_shell.done("audit", "--json"))[0]["exact"]
    stolen = Posting(deltas=(Delta(poll, 3, {1: 17}, votes=17, bundles=1),))
    with_core(settings, lambda wiring: wiring.counters().commit(stolen))

    for words in ((), (poll,)):
        result = core_shell("audit", *words)
        assert result.exit_code == 1
        assert "✗" in result.stdout
        assert f"{poll}: the shards hold 17 votes, the ledger 0" in result.stderr
    (verdict,) = json.loads(core_shell("audit", "--json").stdout)
    assert not verdict["exact"]


def test_a_dead_letter_is_listed_with_its_reason_and_stays(core_shell: Shell, settings: Settings) -> None:
    put_in_queue(settings, b"no bundle")
    drained = core_shell.done("drain", "--idle-seconds", "3")
    assert "1 dead letter:" in drained

    (letter,) = json.loads(core_shell.done("dead-letters", "list", "--json"))
    assert letter["reason"].startswith("The data is not a bundle")
    assert letter["size_bytes"] == len(b"no bundle")
    shown = core_shell.done("dead-letters", "list")
    assert letter["id"] in shown
    assert "The data is not a bundle" in shown


def test_redriven_dead_letters_are_in_the_queue_again_and_no_longer_dead(
    core_shell: Shell, settings: Settings
) -> None:
    for data in (b"first", b"second"):
        put_in_queue(settings, data)
    core_shell.done("drain", "--idle-seconds", "3")
    letters = json.loads(core_shell.done("dead-letters", "list", "--json"))
    chosen = letters[0]["id"]
    assert len(letters) == 2

    one = json.loads(core_shell.done("dead-letters", "redrive", chosen, "--json"))
    assert one == {"redriven": [chosen], "missing": []}
    assert "Sent again: 1 dead letter." in core_shell.done("dead-letters", "redrive")
    assert "no dead letters" in core_shell.done("dead-letters", "list")

    again = json.loads(core_shell.done("drain", "--idle-seconds", "3", "--json"))
    assert again["dead_letters"] == 2


def test_a_dead_letter_that_is_not_there_cannot_be_redriven(core_shell: Shell, settings: Settings) -> None:
    result = core_shell("dead-letters", "redrive", "12345")
    assert result.exit_code == 1
    assert "Not among the dead letters: 12345." in result.stderr
