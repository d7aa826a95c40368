"""Arrows run one way: who may know whom is a rule, and this is where it is held."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = ("google", "grpc")
IDENTITY = ("google.auth", "google.oauth2")
ENTRY_POINTS = ("cli", "functions", "jobs", "emulators", "tests", "benchmarks")
#: Lines of an entry point: HTTP in, one call, HTTP out.
ENTRY_POINT_LINES_MAX = 200
DOMAIN = {"poll", "vote", "ballot", "bundle", "fold", "ledger", "tally"}
MODULES = sorted(
    path for folder in ("turnout", "functions", "jobs", "cli") for path in (ROOT / folder).rglob("*.py")
)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_is_something_to_judge() -> None:
    assert len(MODULES) > 30


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_googles_clients_are_known_in_one_place(path: Path) -> None:
    allowed = path.parent.name == "gcp"
    # The command line asks for an identity token where the deployed functions are private.
    known = {
        found for found in imports(path) if found.split(".")[0] in CLIENTS and not found.startswith(IDENTITY)
    }
    assert allowed or not known, f"{name_of(path)} knows {known}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.is_relative_to(ROOT / "turnout")],
    ids=name_of,
)
def test_the_core_knows_no_entry_point(path: Path) -> None:
    assert not [found for found in imports(path) if found.split(".")[0] in ENTRY_POINTS]


@pytest.mark.parametrize("module", sorted(DOMAIN))
def test_the_domain_knows_nothing_but_itself(module: str) -> None:
    known = {
        found
        for found in imports(ROOT / "turnout" / "votes" / f"{module}.py")
        if found.startswith("turnout.")
    }
    rooms = {".".join(found.split(".")[1:3]) for found in known}
    assert rooms <= {"base.errors", "votes"} | {f"votes.{each}" for each in DOMAIN}


@pytest.mark.parametrize("adapter", ["pubsub", "firestore", "datastore"])
def test_adapters_do_not_know_each_other(adapter: str) -> None:
    known = {
        found.split(".")[2]
        for found in imports(ROOT / "turnout" / "gcp" / f"{adapter}.py")
        if found.startswith("turnout.gcp.")
    }
    assert known <= {"channels"}


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.relative_to(ROOT).parts[0] in ("functions", "jobs")],
    ids=name_of,
)
def test_entry_points_are_thin(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= ENTRY_POINT_LINES_MAX


def test_importing_opens_nothing_starts_nothing_and_reads_no_environment() -> None:
    names = [name_of(path) for path in MODULES if path.name != "__main__.py"]
    program = f"""
import importlib, os, socket, sys, threading
def refuse(*_, **__):
    raise AssertionError("a module opened a socket while it was imported")
socket.socket.connect = refuse
socket.socket.bind = refuse
for name in {names!r}:
    importlib.import_module(name)
assert threading.active_count() == 1, threading.enumerate()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
