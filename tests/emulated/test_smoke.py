"""The script that tries a deployed copy, run against the local cloud."""

import shlex
import subprocess
import sys
from pathlib import Path

from emulators.stack import LocalCloud
from tests.deadlines import SCENARIO_SECONDS_MAX

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ROOT / "terraform" / "smoke"
TURNOUT = shlex.join([sys.executable, "-c", "from cli.main import app; app()"])


def smoke(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, SMOKE, "--turnout", TURNOUT],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=SCENARIO_SECONDS_MAX,
    )  # fmt: skip


def test_a_copy_is_tried_from_the_opening_of_a_poll_to_its_certification(local_cloud: LocalCloud) -> None:
    """As terraform prints it: each function has an address of its own, and there is no gateway."""
    environment = {name: value for name, value in local_cloud.environment.items() if name != "TURNOUT_URL"}
    environment |= {f"TURNOUT_{name.upper()}_URL": url for name, url in local_cloud.function_urls.items()}
    done = smoke(environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "smoke: done: every step was as it should be"


def test_a_copy_that_does_not_answer_fails_with_its_reason(local_cloud: LocalCloud) -> None:
    done = smoke({**local_cloud.environment, "TURNOUT_URL": "http://127.0.0.1:1"})
    assert done.returncode == 1
    assert "does not answer" in done.stderr
