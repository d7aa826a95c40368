"""`turnout tasks …` on the local cloud; nothing runs unless the test starts a worker."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from emulators.stack import LocalCloud
from tests.cli.conftest import Shell
from tests.conftest import run_apart


@pytest.fixture
def topic() -> str:
    return f"topic-{secrets.token_hex(6)}"


def read(shell: Shell, *words: str) -> Any:
    return json.loads(shell.done("tasks", *words, "--json"))


def test_a_task_is_added_listed_cancelled_and_redriven(cloud_shell: Shell, topic: str) -> None:
    added = read(cloud_shell, "add", topic, "echo", '{"a": 1}', "--delay", "1h", "--id", "order-7")
    task = str(added["id"])
    again = read(cloud_shell, "add", topic, "echo", '{"a": 1}', "--delay", "1h", "--id", "order-7")
    assert again == {"id": added["id"], "is_repeat": True}
    shown = read(cloud_shell, "show", task)
    assert (shown["state"], shown["payload"], shown["key"]) == ("scheduled", {"a": 1}, "order-7")
    assert task in cloud_shell.done("tasks", "list", topic)
    assert "cancelled" in cloud_shell.done("tasks", "cancel", task)
    assert "1 cancelled" in cloud_shell.done("tasks", "topic", topic)
    assert read(cloud_shell, "list", topic, "--state", "cancelled")["tasks"][0]["id"] == added["id"]
    assert read(cloud_shell, "redrive", task)["state"] == "queued"
    assert read(cloud_shell, "cancel", task)["state"] == "cancelled"
    assert read(cloud_shell, "retry", task)["state"] == "queued"
    refused = cloud_shell("tasks", "release", task)
    assert (refused.exit_code, "cannot be released" in refused.stderr) == (3, True)


def test_a_purge_counts_first(cloud_shell: Shell, topic: str) -> None:
    for number in range(3):
        cloud_shell.done("tasks", "add", topic, "echo", str(number), "--delay", "1h")
    assert f"turnout tasks purge {topic} --confirm 3" in cloud_shell.done("tasks", "purge", topic)
    refused = cloud_shell("tasks", "purge", topic, "--confirm", "2")
    assert (refused.exit_code, "nothing was purged" in refused.stderr) == (3, True)
    assert "3 tasks cancelled" in cloud_shell.done("tasks", "purge", topic, "--confirm", "3")
    assert read(cloud_shell, "redrive", "--topic", topic)["redriven"] == 0


def test_a_topic_is_paused_and_resumed(cloud_shell: Shell, topic: str) -> None:
    assert "is paused" in cloud_shell.done("tasks", "pause", topic)
    assert read(cloud_shell, "topic", topic)["is_paused"] is True
    assert "0 tasks woken" in cloud_shell.done("tasks", "resume", topic)
    assert read(cloud_shell, "topic", topic)["is_paused"] is False


@pytest.fixture
def worker(local_cloud: LocalCloud) -> Iterator[None]:
    """A worker for as long as the test takes: messages that others held may come late."""
    execution = local_cloud.start_job("work", settings={"TURNOUT_IDLE_SECONDS": "600"})
    yield
    run_apart(execution.stop())


@pytest.mark.usefixtures("worker")
def test_a_task_is_watched_to_its_end(cloud_shell: Shell, topic: str) -> None:
    good = str(read(cloud_shell, "add", topic, "area", '{"width": 3}')["id"])
    bad = str(read(cloud_shell, "add", topic, "hopeless", '"the card is stolen"')["id"])
    assert "succeeded" in cloud_shell.done("tasks", "watch", good)
    assert "30" in cloud_shell.done("tasks", "show", good)
    failed = cloud_shell("tasks", "watch", bad)
    assert failed.exit_code == 1
    assert "the card is stolen" in failed.stdout


def test_a_worker_runs_here_until_the_queue_is_idle(cloud_shell: Shell) -> None:
    assert "handled" in cloud_shell.done("tasks", "work", "--idle-seconds", "1")


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("show", "1"), 3, "There is no task 1"),
        (("add", "t", "nobody"), 3, "There is no handler 'nobody'"),
        (("add", "t", "http://10.0.0.1/"), 3, "not a public one"),
        (("redrive",), 2, "name a task"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    cloud_shell: Shell, words: tuple[str, ...], code: int, why: str
) -> None:
    done = cloud_shell("tasks", *words)
    assert (done.exit_code, why in done.stderr) == (code, True), done.stderr
