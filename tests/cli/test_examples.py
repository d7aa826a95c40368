"""Every command that the documents and the help texts show is one that the command line understands."""

import re
import shlex
from collections.abc import Iterator

import pytest

from emulators.processes import ROOT
from tests.cli.conftest import Shell
from tests.cli.test_usage import COMMANDS

DOCUMENTS = ("README.md", "docs/tutorial.md")
#: These would start a local cloud, or stand-ins, and go on; tests of processes run them.
STARTERS = ("up", "demo", "emulate")


def shown_in_documents() -> Iterator[str]:
    for document in DOCUMENTS:
        for line in (ROOT / document).read_text(encoding="utf-8").splitlines():
            if line.startswith("$ turnout "):
                yield line.removeprefix("$ turnout ")


def test_the_documents_show_commands() -> None:
    assert len(list(shown_in_documents())) > 10


@pytest.mark.parametrize("example", sorted(set(shown_in_documents())))
def test_a_command_in_the_documents_is_understood(shell: Shell, example: str) -> None:
    # Understood, and then there is no Turnout to ask: not 2, which is wrong usage.
    assert shell(*shlex.split(example, comments=True)).exit_code == 4


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[0] not in STARTERS], ids=" ".join)
def test_the_examples_in_the_help_are_understood(shell: Shell, command: tuple[str, ...]) -> None:
    said = re.sub(r"\s+", " ", shell.done(*command, "--help").partition("Examples:")[2])
    examples = [each.strip() for each in said.split("turnout ")[1:]]
    assert examples
    for example in examples:
        assert shell(*shlex.split(example)).exit_code == 4, example


def test_the_links_of_the_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        path = ROOT / document
        links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
        assert links
        for link in links:
            assert link.startswith("https://") or (path.parent / link).exists(), f"{document}: {link}"
