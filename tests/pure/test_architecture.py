"""Arrows run one way: who may know whom is a rule, and this is where it is held."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deadlines import COMMAND_SECONDS_MAX

ROOT = Path(__file__).parents[2]
CLIENTS = ("google", "grpc")
IDENTITY = ("google.auth", "google.oauth2")
#: Lines of an entry point: HTTP in, one call, HTTP out.
ENTRY_POINT_LINES_MAX = 200
#: Lines of any module: one idea.
MODULE_LINES_MAX = 400

#: Modules that a drain does without: Datastore's client, the high-level clients, and what serves HTTP.
NEVER_IN_A_DRAIN = (
    "google.cloud.datastore",
    "google.cloud.pubsub",
    "google.cloud.firestore_admin",
    "google.cloud.tasks",
    "google.cloud.storage",
    "turnout.gcp.datastore",
    "turnout.gcp.votes.tallies",
    "turnout.memory",
    "functions.",
    "emulators",
    "cli",
)
#: Of `rich` and `pygments`, which structlog loads where they are installed, nothing is deployed with a job.
NEVER_A_DRAINS_LIBRARY = {
    *("starlette", "functions_framework", "flask", "werkzeug", "uvicorn", "gunicorn", "cloudevents"),
    *("aiohttp", "httpx", "typer", "click", "croniter", "hypothesis", "pytest", "numpy"),
}
#: What google-cloud-firestore and -pubsub, grpc, pydantic and structlog load is some 950 modules with the extras installed.
DRAIN_MODULES_MAX = 1_050

#: Whom each room may know, beside itself. The rooms of the core know no entry point; families know the queue, and never
#: each other; what is Google's, or only in memory, is known to nobody but the wiring's callers.
ARROWS: dict[str, set[str]] = {
    "turnout.base": set(),
    "turnout.queue": {"turnout.base"},
    "turnout.votes": {"turnout.base", "turnout.queue"},
    "turnout.tasks": {"turnout.base", "turnout.queue"},
    "turnout.memory": {"turnout.base", "turnout.queue", "turnout.votes", "turnout.tasks"},
    "turnout.gcp": {"turnout.base", "turnout.queue"},
    "turnout.gcp.votes": {"turnout.base", "turnout.queue", "turnout.votes", "turnout.gcp"},
    "turnout.gcp.tasks": {"turnout.base", "turnout.queue", "turnout.tasks", "turnout.gcp"},
    "turnout.deployment": set(),
    "functions": {"functions.http", "functions.tasks", "functions.votes"},
    "functions.http": {"turnout.base", "turnout.queue"},
    "functions.votes": {
        "functions.http",
        "turnout.base",
        "turnout.votes",
        "turnout.gcp.votes",
    },
    "functions.tasks": {
        "functions.http",
        "turnout.base",
        "turnout.tasks",
        "turnout.gcp.tasks",
    },
    "jobs": {"turnout.base", "turnout.gcp", "turnout.gcp.tasks", "turnout.gcp.votes"},
    "emulators": {
        "turnout.base",
        "turnout.votes",
        "turnout.gcp",
        "turnout.gcp.tasks",
        "turnout.gcp.votes",
        "turnout.deployment",
    },
    "cli": {
        "emulators",
        "turnout.base",
        "turnout.queue",
        "turnout.votes",
        "turnout.gcp.tasks",
        "turnout.gcp.votes",
        "turnout.deployment",
    },
}
OWN = ("turnout", "functions", "jobs", "emulators", "cli", "tests", "benchmarks")
#: The rules of votes: frozen structs and pure functions, over nothing but each other.
DOMAIN = {"poll", "vote", "ballot", "bundle", "fold", "ledger", "tally", "errors"}
#: The rules of tasks, likewise.
TASK_DOMAIN = {"ids", "times", "retrying", "work", "task", "books", "errors"}
DOMAIN_KNOWS = {
    "turnout.base.chance",
    "turnout.base.errors",
    "turnout.base.clock",
    "turnout.base.strict_json",
    "turnout.queue.message",
    "turnout.queue.errors",
}
#: A module of one of Google's services knows how to reach it, and no other service.
SERVICES = ("pubsub", "firestore", "datastore", "cloud_tasks")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    name_of(path): path
    for folder in ("turnout", "functions", "jobs", "emulators", "cli")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
IN_THE_CLOUD = [name for name in MODULES if name.split(".")[0] in ("turnout", "functions", "jobs")]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (
                full if (full := f"{node.module}.{alias.name}") in MODULES else node.module
                for alias in node.names
            )


def room_of(module: str) -> str:
    """The room that a module lies in: the longest that its name begins with."""
    rooms = [room for room in ARROWS if module == room or module.startswith(f"{room}.")]
    return max(rooms, key=len, default=module.split(".", maxsplit=1)[0])


def arrows_of(module: str) -> set[str]:
    """The rooms that a module knows, but its own; a room's own name counts for its modules."""
    known = {room_of(found) for found in imports(MODULES[module]) if found.split(".")[0] in OWN}
    return known - {room_of(module)}


def test_there_is_something_to_judge() -> None:
    assert len(MODULES) > 80
    assert {room_of(module) for module in MODULES} <= set(ARROWS) | {"turnout"}


@pytest.mark.parametrize("module", MODULES)
def test_a_room_knows_only_whom_it_may(module: str) -> None:
    allowed = ARROWS.get(room_of(module), set())
    assert arrows_of(module) <= allowed, f"{module} knows {arrows_of(module) - allowed}"


def test_every_arrow_that_is_allowed_is_there() -> None:
    drawn = {(room_of(module), known) for module in MODULES for known in arrows_of(module)}
    assert {(room, known) for room, rooms in ARROWS.items() for known in rooms} == drawn


def test_arrows_make_no_circle() -> None:
    seen: list[str] = []
    while rest := [room for room in ARROWS if room not in seen]:
        free = [room for room in rest if ARROWS[room] <= set(seen)]
        assert free, f"a circle among {rest}"
        seen += free


@pytest.mark.parametrize("module", [name for name in IN_THE_CLOUD if room_of(name) != "turnout.gcp"])
def test_a_verb_knows_no_client_of_google(module: str) -> None:
    known = {found for found in imports(MODULES[module]) if found.split(".")[0] in CLIENTS}
    assert module.startswith("turnout.gcp.") or not known, f"{module} knows {known}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("cli.")])
def test_the_command_line_knows_googles_identity_alone(module: str) -> None:
    # It asks for an identity token where the deployed functions are private.
    found = {each for each in imports(MODULES[module]) if each.split(".")[0] in CLIENTS}
    assert all(each.startswith(IDENTITY) for each in found), f"{module} knows {found}"


def test_a_verb_that_knew_google_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule itself is tried: a verb with such an import fails it."""
    verb = tmp_path / "intake.py"
    verb.write_text(
        "from turnout.gcp.pubsub import PubsubTopic\n"
        + MODULES["turnout.votes.intake"].read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    monkeypatch.setitem(MODULES, "turnout.votes.intake", verb)
    with pytest.raises(AssertionError, match=r"turnout\.votes\.intake knows \{'turnout\.gcp'\}"):
        test_a_room_knows_only_whom_it_may("turnout.votes.intake")


@pytest.mark.parametrize(
    ("family", "module"),
    [*(("votes", each) for each in sorted(DOMAIN)), *(("tasks", each) for each in sorted(TASK_DOMAIN))],
)
def test_the_domain_knows_nothing_but_itself(family: str, module: str) -> None:
    known = {
        found for found in imports(MODULES[f"turnout.{family}.{module}"]) if found.startswith("turnout.")
    }
    domain = {"votes": DOMAIN, "tasks": TASK_DOMAIN}[family]
    assert known <= DOMAIN_KNOWS | {f"turnout.{family}.{each}" for each in domain}


@pytest.mark.parametrize("service", SERVICES)
def test_services_do_not_know_each_other(service: str) -> None:
    known = {
        found for found in imports(MODULES[f"turnout.gcp.{service}"]) if found.startswith("turnout.gcp.")
    }
    assert known == {"turnout.gcp.channels"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] in ("functions", "jobs")])
def test_entry_points_are_thin(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= ENTRY_POINT_LINES_MAX


@pytest.mark.parametrize("module", IN_THE_CLOUD)
def test_a_module_is_short(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MODULE_LINES_MAX


def test_importing_opens_nothing_starts_nothing_and_reads_no_environment() -> None:
    names = [name for name in MODULES if not name.endswith("__main__") and name.split(".")[0] != "emulators"]
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
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_drain_loads_no_more_than_it_needs() -> None:
    """Each start of a job pays for every module. They are counted, since seconds depend on the machine."""
    program = "import jobs.drain, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=True,
    )
    loaded = set(done.stdout.split())
    tops = {name.split(".")[0] for name in loaded}
    assert "jobs.drain" in loaded
    unwanted = {name for name in loaded if name.startswith(NEVER_IN_A_DRAIN)}
    assert not unwanted, f"a drain loads {sorted(unwanted)}: whoever imports it may do so where it is used"
    assert not tops & NEVER_A_DRAINS_LIBRARY, "a drain serves no HTTP and has no terminal"
    assert len(loaded) <= DRAIN_MODULES_MAX, f"a drain loads {len(loaded)} modules"
