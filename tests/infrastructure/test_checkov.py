"""What checkov says of the module and its examples: nothing is left open, and what is waived has its reason beside it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import COMMAND_SECONDS_MAX
from tests.infrastructure.conftest import ROOT
from tests.needs import miss

REASON_CHARACTERS_MIN = 20


def checkov_program() -> str:
    """checkov, as `make test` installs it; without it the test is skipped."""
    found = shutil.which("checkov", path=f"{Path(sys.prefix) / 'checkov' / 'bin'}:{os.environ['PATH']}")
    if found is None:
        miss("checkov is not installed, as `make test` does")
    return found


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    program = checkov_program()
    folder = tmp_path_factory.mktemp("checkov") / "terraform"
    shutil.copytree(ROOT / "terraform", folder, ignore=shutil.ignore_patterns(".terraform*", "build"))
    done = subprocess.run(
        [
            program,
            "--directory",
            str(folder),
            "--framework",
            "terraform",
            "--output",
            "json",
            "--skip-download",
        ],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.stdout, done.stderr
    results: dict[str, Any] = json.loads(done.stdout)["results"]
    return results


def test_no_check_fails(findings: dict[str, Any]) -> None:
    failed = [(each["check_id"], each["check_name"], each["resource"]) for each in findings["failed_checks"]]
    assert failed == []
    assert findings["passed_checks"]
    assert not findings["parsing_errors"]


def test_every_waived_check_has_its_reason(findings: dict[str, Any]) -> None:
    assert findings["skipped_checks"]
    for each in findings["skipped_checks"]:
        reason = each["check_result"]["suppress_comment"]
        assert len(reason) >= REASON_CHARACTERS_MIN, f"{each['check_id']} at {each['resource']}"
