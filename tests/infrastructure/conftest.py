"""Terraform, run on a copy of the sources: nothing is left in the tree, and no lock file is made in it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deadlines import COMMAND_SECONDS_MAX
from tests.infrastructure.deployed import Deployed

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SOURCES = ("functions", "jobs", "turnout", "terraform")


class Terraform:
    """Terraform in one folder; every command that fails ends the test with what it printed."""

    def __init__(self, program: str, folder: Path) -> None:
        self.folder = folder
        self._program = program

    def run(self, *arguments: str, chdir: str = "terraform") -> str:
        done = subprocess.run(
            [self._program, f"-chdir={self.folder / chdir}", *arguments],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
            env={**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "TF_CLI_ARGS": ""},
        )
        if done.returncode:
            pytest.fail(f"terraform {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}", pytrace=False)
        return done.stdout

    def init(self, chdir: str = "terraform") -> None:
        self.run("init", "-backend=false", "-input=false", "-no-color", chdir=chdir)

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
    given = os.environ.get("TERRAFORM", "terraform")
    program = shutil.which(given)
    if program is not None:
        return program
    why = (
        f"{given} is not on PATH: install terraform 1.9 or newer, or name it in TERRAFORM, to test terraform/"
    )
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, and {why}", pytrace=False)
    pytest.skip(why)


def copy_sources(folder: Path) -> Path:
    """The sources that the module deploys, and the module, as a clone has them."""
    for name in SOURCES:
        shutil.copytree(
            ROOT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__", ".terraform*", "build", "*.tfstate*"),
        )
    shutil.copy(ROOT / "requirements.txt", folder)
    return folder


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform in a copy of the module, initialised."""
    program = terraform_program()
    terraform = Terraform(program, copy_sources(tmp_path_factory.mktemp("terraform")))
    terraform.init()
    return terraform


@pytest.fixture(scope="session")
def deployed(terraform: Terraform) -> Deployed:
    """What an apply with nothing but a project, and one owner of polls, deploys."""
    return terraform.apply_on_mocks(HERE / "deployed.tftest.hcl")["deployed"]


@pytest.fixture(scope="session")
def variations(terraform: Terraform) -> dict[str, Deployed]:
    """What the runs of `variations.tftest.hcl` deploy."""
    return terraform.apply_on_mocks(HERE / "variations.tftest.hcl")
