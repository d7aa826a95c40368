"""`make` sets up what a command needs, once, and says what is missing; with a Python of these tests' own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from emulators.processes import ROOT
from tests.deadlines import COMMAND_SECONDS_MAX
from tests.needs import miss

TOOLS = ("make", "sh", "sed", "touch", "mkdir", "cp", "rm", "find", "cat")

PYTHON = """#!/bin/sh
echo "$0 $*" >> "$CALLS"
case "$*" in
  *version_info*) exit {old};;
  *ensurepip*) exit {without_venv};;
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python;;
  *"pip install"*) exit "${{PIP_FAILS:-0}}";;
esac
"""


class WorkingCopy:
    """A folder with the Makefile, where nothing but a few tools and one Python is on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "path"
        self.path.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            if found is None:
                miss(f"{tool} is not installed")
            (self.path / tool).symlink_to(found)
        for name in ("requirements-dev.txt", "pyproject.toml"):
            (folder / name).write_text("")
        shutil.copy(ROOT / "Makefile", folder)

    def python(self, name: str, *, old: bool = False, without_venv: bool = False) -> None:
        script = self.path / name
        script.write_text(PYTHON.format(old=int(old), without_venv=int(without_venv)))
        script.chmod(0o755)

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        told = {"PATH": str(self.path), "CALLS": str(self.folder / "calls"), **environment}
        return subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env=told,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def calls(self) -> str:
        calls = self.folder / "calls"
        return calls.read_text() if calls.exists() else ""


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy(tmp_path)


def test_make_alone_tells_what_there_is(copy: WorkingCopy) -> None:
    said = copy.make().stdout
    assert all(
        f"  {target} " in said
        for target in ("up", "demo", "test", "test-fast", "check", "bench", "simulate", "clean")
    )


def test_without_a_python_it_says_so(copy: WorkingCopy) -> None:
    copy.python("python3", old=True)
    said = copy.make("venv")
    assert said.returncode
    assert "Turnout needs Python 3.11 or newer" in said.stderr


def test_a_python_without_ensurepip_is_named(copy: WorkingCopy) -> None:
    copy.python("python3.12", without_venv=True)
    said = copy.make("venv")
    assert said.returncode
    assert "apt install python3.12-venv" in said.stderr


def test_the_newest_python_is_taken(copy: WorkingCopy) -> None:
    for name in ("python3", "python3.11", "python3.13"):
        copy.python(name)
    assert copy.make("venv").returncode == 0
    assert f"{copy.path}/python3.13 -m venv .venv" in copy.calls()


def test_nothing_is_installed_twice_until_the_lock_changes(copy: WorkingCopy) -> None:
    copy.python("python3.11")
    assert copy.make("venv").returncode == 0
    assert copy.calls().count("--require-hashes -r requirements-dev.txt") == 1
    assert copy.calls().count("--no-deps --no-build-isolation -e .") == 1
    assert copy.make("venv").returncode == 0
    assert copy.calls().count("--require-hashes") == 1
    stamp = (copy.folder / ".venv" / ".installed").stat().st_mtime
    os.utime(copy.folder / "requirements-dev.txt", (stamp + 5, stamp + 5))
    assert copy.make("venv").returncode == 0
    assert copy.calls().count("--require-hashes") == 2
    assert copy.calls().count("-m venv .venv") == 1


def test_an_installation_that_failed_is_done_again(copy: WorkingCopy) -> None:
    copy.python("python3.11")
    assert copy.make("venv", PIP_FAILS="1").returncode
    assert copy.make("venv").returncode == 0
    assert (copy.folder / ".venv" / ".installed").exists()
