"""One mutant, tried: the tests run on a copy of the checkout that has the mistake, in a process of its own.

That process is forked from one which has read all libraries already, and none of our code: it begins at once.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.deadlines import COMMAND_SECONDS_MAX
from tests.mutation.mutants import Mutant

OURS = ("benchmarks", "emulators", "functions", "jobs", "tests", "turnout")
#: A mutant may need so many times the processor time of the code as it is; more of it is a loop that never ends.
CPU_FACTOR = 3.0
CPU_MARGIN_SECONDS = 20.0
#: No test waits longer than this without using the processor at all.
STILL_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.05
FIRST_SECOND = 1_000_000_000
#: All passed, or none was chosen.
PASSED = (0, 5)
QUIET = [
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    "-x",
    "-q",
    "-n0",
    "-p",
    "no:schemathesis",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "--tb=line",
    "--no-header",
]


class Copy:
    """A copy of the checkout, in which one mutant after the other lives."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        self._root = root
        self._second = FIRST_SECOND
        shutil.rmtree(folder, ignore_errors=True)
        files = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=root,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for name in filter(None, files.split("\0")):
            if (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)

    def become(self, mutant: Mutant) -> None:
        """Makes the mistake."""
        self._write(mutant, mutant.code())

    def recover(self, mutant: Mutant) -> None:
        """Undoes it."""
        self._write(mutant, (self._root / mutant.path).read_text())

    def _write(self, mutant: Mutant, code: str) -> None:
        path = self.folder / mutant.path
        path.write_text(code)
        # Python knows compiled code by its source's second and size: each version here has a second of its own.
        self._second += 1
        os.utime(path, (self._second, self._second))


class Tests:
    """The tests that a mutant is tried on: first those that import what it is in, for they tell soonest; then all others."""

    def __init__(
        self, options: Sequence[str], paths: Sequence[str], *, cpu_seconds: float | None = None
    ) -> None:
        self._options = [*QUIET, *options]
        self.paths = list(paths)
        self._cpu_seconds_max = (
            int(cpu_seconds * CPU_FACTOR + CPU_MARGIN_SECONDS) if cpu_seconds else resource.RLIM_INFINITY
        )

    def pass_with(self, mutant: Mutant, copy: Copy) -> tuple[bool, str]:
        """Whether all tests pass on a copy with this mutant, and what they printed."""
        near = self._near(mutant, copy)
        if near:
            passed, output = self.run(copy, near)
            if not passed:
                return False, output
        return self.run(copy, [*(f"--ignore={path}" for path in near), *self.paths])

    def run(self, copy: Copy, what: Sequence[str]) -> tuple[bool, str]:
        """Whether some tests pass, and what they printed."""
        output = copy.folder / "output"
        child = os.fork()
        if not child:
            self._be_pytest([*self._options, *what], copy, output)
        code = _code_of(child)
        _end_group(child)
        return code in PASSED, output.read_text(errors="replace")

    def _near(self, mutant: Mutant, copy: Copy) -> list[str]:
        module = mutant.path.removesuffix(".py").replace("/", ".")
        return [
            path.relative_to(copy.folder).as_posix()
            for folder in self.paths
            for path in sorted((copy.folder / folder).rglob("test_*.py"))
            if f"{module} " in path.read_text()
        ]

    def _be_pytest(self, arguments: list[str], copy: Copy, output: Path) -> None:
        code = 1
        try:
            os.setpgid(0, 0)
            with output.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_seconds_max, self._cpu_seconds_max))
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(copy.folder)
            sys.dont_write_bytecode = False
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            sys.path[0] = str(copy.folder)
            for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
                del sys.modules[name]
            import pytest  # noqa: PLC0415  # after the fork's own path is set

            code = int(pytest.main(arguments))
        except BaseException:  # noqa: BLE001  # this process knows no caller
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            sys.stdout.flush()
            os._exit(code)


def read_libraries(root: Path, options: Sequence[str]) -> None:
    """Imports what the tests import, but for our own code."""
    code = (
        "import sys, pytest; before = set(sys.modules);"
        f"pytest.main(['--collect-only', '-q', *{[*QUIET, *options]!r}]);"
        "print('\\n'.join(['', 'MODULES', *sorted(set(sys.modules) - before)]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=True,
    ).stdout
    for name in said.partition("\nMODULES\n")[2].split():
        if name.partition(".")[0] not in {*OURS, "__editable__", "conftest", "test"}:
            try:
                __import__(name)
            except ImportError:
                continue


def cpu_seconds_of(tests: Tests, copy: Copy) -> float:
    """The processor time that tests take on the code as it is; they must pass."""
    before = _children_seconds()
    passed, output = tests.run(copy, tests.paths)
    if not passed:
        raise SystemExit(f"The tests fail without any mutant:\n{output[-4_000:]}")
    return _children_seconds() - before


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _code_of(child: int) -> int:
    """How a child ended; one that does nothing for long waits for what a mutant has left out, and is killed."""
    process = psutil.Process(child)
    busy_seconds, busy_at = 0.0, time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        used = process.cpu_times()
        now_seconds = used.user + used.system + used.children_user + used.children_system
        if now_seconds > busy_seconds:
            busy_seconds, busy_at = now_seconds, time.monotonic()
        elif time.monotonic() - busy_at > STILL_SECONDS_MAX:
            os.kill(child, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)


def _end_group(group: int) -> None:
    """Ends what a mutant's tests left running."""
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group:
                process.kill()
        except (ProcessLookupError, psutil.Error):
            continue
    time.sleep(0)
