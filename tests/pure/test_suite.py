"""The suite's own rules: what is missing is said in one line, nothing is left running, and waits are bounded in one place."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.deadlines import COMMAND_SECONDS_MAX, SCENARIO_SECONDS_MAX, TEST_SECONDS_MAX, WAIT_SECONDS_MAX
from tests.needs import PROGRAMS, need, program, summary
from tests.workers import GROUPS, group_of

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
THIS = Path(__file__).relative_to(ROOT)
#: A wait that ends at a figure of its own.
LITERAL_WAIT = re.compile(
    r"\b(?:timeout|wait|wait_for|timeout_seconds)[=(](?:[\w.()]+, )?(\d[\d_.]*)\)", re.ASCII
)
#: Shorter ones end on purpose, and a test says what has not happened by then.
WAIT_ON_PURPOSE_SECONDS_MAX = 1.0


def session(folder: Path, tests: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A session of pytest of its own, with what the suite's has."""
    path = folder / "test_them.py"
    path.write_text(textwrap.dedent(tests))
    plugins = ["-p", "tests.needs", "-p", "tests.leftovers", "-p", "no:randomly", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-c", os.devnull, f"--rootdir={folder}", str(path)],
        cwd=ROOT,
        env={"PATH": str(folder), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )


MISSING = """
    from tests.needs import miss, need, program

    def test_one(): program("chromium")
    def test_two(): need("wrk", "redis-server")
    def test_three(): need("wrk")
    def test_four(): miss("there is no moon")
    def test_five(): pass
"""


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    done = session(tmp_path, MISSING)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("skipped") == 3  # two lines and the count of all
    assert "\n3 skipped: install chromium redis-server wrk\n" in done.stdout
    assert "\n1 skipped: there is no moon\n" in done.stdout


def test_what_is_missing_fails_in_continuous_integration(tmp_path: Path) -> None:
    done = session(tmp_path, MISSING, CI="true")
    assert done.returncode == 1
    assert "4 failed, 1 passed" in done.stdout
    assert "install wrk redis-server" in done.stdout


def test_where_nothing_is_skipped_nothing_is_said() -> None:
    assert summary([]) == []


def test_only_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CI", raising=False)
    there = tmp_path / "wrk"
    there.write_text("#!/bin/sh\n")
    there.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program("wrk") == str(there)
    with pytest.raises(pytest.skip.Exception, match=r"^install redis-server$"):
        need("wrk", "redis-server")


def test_continuous_integration_installs_what_tests_need() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    # Terraform and gcloud have installers of their own.
    assert all(package in script for package in PROGRAMS if package not in {"terraform", "gcloud"})


def test_a_process_that_a_test_leaves_is_named_and_ended_and_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests import leftovers\nleftovers.END_SECONDS_MAX = 0.1\n")
    done = session(
        tmp_path,
        """
        import subprocess, sys
        from pathlib import Path

        def test_leaving():
            # The process has a parent no more when the test ends.
            subprocess.run([sys.executable, "-c", '''if True:
                import subprocess
                process = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
                print(process.pid)
            '''], check=True, stdout=Path(__file__).with_name("pid").open("w"))
        """,
    )
    assert done.returncode == 1, done.stdout
    pid = (tmp_path / "pid").read_text().strip()
    assert f"/bin/sleep 600 (process {pid}), started in" in done.stdout
    assert "test_them.py::test_leaving" in done.stdout
    assert not Path(f"/proc/{pid}").exists()


def test_every_group_has_tests_and_other_files_stand_alone() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in TESTS.rglob("test_*.py")]
    assert {group_of(f"{file}::test_it") for file in files} >= set(GROUPS)
    assert group_of("tests/pure/test_fold.py::test_it[a::b]") == "tests/pure/test_fold.py"


def test_the_fast_half_has_the_rules_the_contracts_in_memory_and_the_simulation(
    request: pytest.FixtureRequest,
) -> None:
    assert request.node.get_closest_marker("fast")
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "--collect-only", "-q", "-m", "fast", "tests/contracts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=True,
    ).stdout
    assert "[memory]" in listed
    assert "emulator" not in listed


def test_bounds_of_waits_nest() -> None:
    assert WAIT_SECONDS_MAX < COMMAND_SECONDS_MAX < SCENARIO_SECONDS_MAX < TEST_SECONDS_MAX


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix()
)
def test_waits_that_guard_against_hanging_have_their_bound_in_one_place(path: Path) -> None:
    found = [
        line.strip()
        for line in path.read_text().splitlines()
        for bound in LITERAL_WAIT.findall(line)
        if float(bound) > WAIT_ON_PURPOSE_SECONDS_MAX
    ]
    assert found == []
