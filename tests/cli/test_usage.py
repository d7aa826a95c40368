"""What the command line says before it does anything: help, wrong usage, nowhere to go."""

import pytest

from tests.cli.conftest import Shell

COMMANDS = [
    ("up",),
    ("demo",),
    ("emulate",),
    ("polls", "create"),
    ("polls", "list"),
    ("polls", "show"),
    ("polls", "open"),
    ("polls", "close"),
    ("polls", "certify"),
    ("vote",),
    ("results",),
    ("drain",),
    ("persist",),
    ("audit",),
    ("backup",),
    ("restore",),
    ("doctor",),
    ("dead-letters", "list"),
    ("dead-letters", "redrive"),
]
OVER_HTTP = [
    ("polls", "list"),
    ("polls", "show", "finals"),
    ("polls", "create", "finals", "Ada", "Grace"),
    ("polls", "open", "finals"),
    ("polls", "close", "finals"),
    ("polls", "certify", "finals"),
    ("vote", "finals", "Ada"),
    ("results", "finals"),
    ("results", "finals", "--watch"),
    ("persist",),
]
ON_THE_CORE = [("drain",), ("audit",), ("dead-letters", "list"), ("dead-letters", "redrive")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(shell: Shell, command: tuple[str, ...]) -> None:
    said = shell.done(*command, "--help")
    assert "Examples:" in said
    assert f"turnout {' '.join(command)}" in said
    assert max(len(line) for line in said.splitlines()) <= 80


def test_the_help_names_every_command_and_the_exit_codes(shell: Shell) -> None:
    said = shell.done("--help") + shell.done("polls", "--help") + shell.done("dead-letters", "--help")
    for command in COMMANDS:
        assert f" {command[-1]} " in said
    assert "Exit codes" in said


@pytest.mark.parametrize("command", OVER_HTTP, ids=" ".join)
def test_without_a_turnout_a_command_says_how_to_get_one(shell: Shell, command: tuple[str, ...]) -> None:
    result = shell(*command)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert result.stderr == (
        "✗ No local cloud is running here: start one with `turnout up`, "
        "or set TURNOUT_URL for a deployed Turnout.\n"
    )


@pytest.mark.parametrize("command", ON_THE_CORE, ids=" ".join)
def test_without_a_project_a_command_says_how_to_get_one(shell: Shell, command: tuple[str, ...]) -> None:
    result = shell(*command)
    assert result.exit_code == 4
    assert "`turnout up`, or set GOOGLE_CLOUD_PROJECT" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("vote", "finals"),
        ("demo", "--votes", "0"),
        ("demo", "--votes", "many"),
        ("polls", "create", "finals", "a", "b", "--opens-at", "tomorrow"),
        ("polls", "create", "finals", "a", "b", "--one-per", "household"),
        ("results", "finals", "--watch", "--json"),
        ("up", "--port", "70000"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_exit_code_2(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell(*words).exit_code == 2


def test_an_address_that_nobody_listens_at_is_one_clear_line(shell: Shell) -> None:
    result = shell("polls", "list", TURNOUT_URL="http://127.0.0.1:1")
    assert result.exit_code == 4
    assert result.stderr.startswith("✗ Turnout at http://127.0.0.1:1 does not answer: ")
    assert result.stderr.count("\n") == 1


def test_settings_that_cannot_be_used_are_all_named(shell: Shell) -> None:
    result = shell("audit", GOOGLE_CLOUD_PROJECT="here", TURNOUT_LANES="none", TURNOUT_IDLE_SECONDS="-1")
    assert result.exit_code == 4
    assert "TURNOUT_LANES" in result.stderr
    assert "TURNOUT_IDLE_SECONDS" in result.stderr
