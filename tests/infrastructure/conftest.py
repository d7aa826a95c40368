"""Terraform, run on a copy of the sources: nothing is left in the tree, and no lock file is made in it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import needs
from tests.deadlines import COMMAND_SECONDS_MAX
from tests.infrastructure.deployed import Deployed
from tests.infrastructure.providers import PROPERTY, providers
from tests.infrastructure.terraform_offline.provider import World
from tests.infrastructure.terraform_offline.serving import serving

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SOURCES = ("functions", "jobs", "turnout", "terraform")
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", ".terraform*", "build", "*.tfstate*")


@pytest.fixture(autouse=True)
def note_providers(request: pytest.FixtureRequest) -> None:
    """Lets the summary say which providers Terraform had."""
    if "terraform" in request.fixturenames:
        request.node.user_properties.append((PROPERTY, providers()))


class Terraform:
    """Terraform in one folder, with the real providers or the stand-ins.

    `stand_ins` has it use them in any case: for what calls no mock and must call no cloud. `environment` is what its
    commands see beside the environment, `refusal` and `now` are what the stand-ins are told.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stand_ins: bool = False,
        environment: Mapping[str, str] | None = None,
        refusal: Callable[[str, dict[str, Any]], str] = lambda *_: "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folder = folder
        self._program = terraform_program()
        self._stand_ins = stand_ins or providers() == "offline"
        # Terraform lives for seconds: collecting garbage four times less often takes a quarter off them.
        self._environment = {
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_ARGS": "",
            "GOGC": "400",
        }
        self._environment |= environment or {}
        self._refusal = refusal
        self._now = now

    def run(self, *arguments: str, chdir: str = "terraform", given: str = "") -> str:
        """What a command prints; one that fails ends the test with it. `given` is what it reads."""
        done = self.attempt(*arguments, chdir=chdir, given=given)
        if done.returncode:
            pytest.fail(f"terraform {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}", pytrace=False)
        return done.stdout

    def attempt(
        self, *arguments: str, chdir: str = "terraform", given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """A command that may fail."""
        with self._providers(self.folder / chdir) as variables:
            return subprocess.run(
                [self._program, f"-chdir={self.folder / chdir}", *arguments],
                input=given,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS_MAX,
                check=False,
                env={**os.environ, **self._environment, **variables},
            )

    @contextmanager
    def _providers(self, chdir: Path) -> Iterator[Mapping[str, str]]:
        if not self._stand_ins:
            yield {}
            return
        world = World(folder=chdir, sources=self.folder, now=self._now, refusal=self._refusal)
        with serving(world) as variables:
            yield variables

    def graph(self, chdir: str = "terraform") -> dict[str, set[str]]:
        """What each resource waits for, directly: the edges of Terraform's own graph between resources."""
        waits: dict[str, set[str]] = {}
        for line in self.run("graph", chdir=chdir).splitlines():
            if match := re.fullmatch(r'\s*"([^"]+)"(?: -> "([^"]+)"| \[.*)?;', line):
                waits.setdefault(match[1], set()).update({match[2]} - {None})
        return waits

    def init(self, chdir: str = "terraform") -> None:
        self.run("init", "-backend=false", "-input=false", "-no-color", chdir=chdir)

    def planned(self, chdir: str) -> Deployed:
        """What a plan would deploy; what only an apply knows is missing."""
        self.init(chdir)
        self.run("plan", "-out=next", chdir=chdir)
        return Deployed.of_state(json.loads(self.run("show", "-json", "next", chdir=chdir))["planned_values"])

    def apply_on_mocks(self, test_file: Path, chdir: str = "terraform") -> dict[str, Deployed]:
        """What is deployed, by run, after a file of tests was applied on a mocked provider."""
        tests = self.folder / chdir / "tests"
        tests.mkdir(exist_ok=True)
        shutil.copy(test_file, tests)
        out = self.run("test", "-json", "-verbose", f"-filter=tests/{test_file.name}", chdir=chdir)
        events = [json.loads(line) for line in out.splitlines()]
        return {
            event["@testrun"]: Deployed.of_state(event["test_state"])
            for event in events
            if event["type"] == "test_state"
        }


def terraform_program() -> str:
    """What `TERRAFORM` names, or terraform; without either the tests are skipped, and fail in CI."""
    given = os.environ.get("TERRAFORM")
    return (given and shutil.which(given)) or needs.program("terraform")


def copy_sources(folder: Path) -> Path:
    """The sources that the module deploys, and the module, as a clone has them."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=LEFT_BEHIND)
    shutil.copy(ROOT / "requirements.txt", folder)
    return folder


def copy_module(folder: Path) -> Path:
    """The module, with two files in the place of the sources: all of them take Terraform twice as long as all the rest."""
    shutil.copytree(ROOT / "terraform", folder / "terraform", ignore=LEFT_BEHIND)
    (folder / "functions").mkdir()
    shutil.copy(ROOT / "functions" / "main.py", folder / "functions")
    shutil.copy(ROOT / "requirements.txt", folder)
    return folder


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform in a copy of the module, initialised."""
    terraform = Terraform(copy_module(tmp_path_factory.mktemp("terraform")))
    terraform.init()
    return terraform


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform in a copy of the module and all sources, initialised."""
    terraform = Terraform(copy_sources(tmp_path_factory.mktemp("checkout")))
    terraform.init()
    return terraform


@pytest.fixture(scope="session")
def deployed(checkout: Terraform) -> Deployed:
    """What an apply with nothing but a project, and one owner of polls, deploys."""
    return checkout.apply_on_mocks(HERE / "deployed.tftest.hcl")["deployed"]


@pytest.fixture(scope="session")
def variations(terraform: Terraform) -> dict[str, Deployed]:
    """What the runs of `variations.tftest.hcl` deploy."""
    return terraform.apply_on_mocks(HERE / "variations.tftest.hcl")
