"""What the tests left running: nothing may outlive the session, and what does is named, ended and makes the run fail."""

import contextlib
import ctypes
import sys

import psutil
import pytest

#: Linux's prctl(2): whoever loses its parent below this process becomes this process's child, so none is lost sight of.
SET_CHILD_SUBREAPER = 36
#: What was told to end may take this long; nothing waits unless something is left.
END_SECONDS_MAX = 20.0
STARTED_IN = "PYTEST_CURRENT_TEST"
#: Python's own, which ends with the process that it belongs to.
RESOURCE_TRACKER = "from multiprocessing.resource_tracker import main"


def adopt_orphans() -> None:
    """Makes this process the parent of all orphans below it; elsewhere than on Linux an orphan stays unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def leftovers() -> list[str]:
    """The processes below this one that do not end by themselves, each with the test that started it; they are killed."""
    _, left = psutil.wait_procs(_running(), timeout=END_SECONDS_MAX)
    said = [_named(process) for process in left]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left)
    return said


class Leftovers:
    """Looks, once all workers have ended, whether anything of the session still runs."""

    def __init__(self) -> None:
        self._said: list[str] = []
        adopt_orphans()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Makes the run fail for what is left."""
        self._said = leftovers()
        if self._said and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Names what was left."""
        if self._said:
            terminalreporter.section("left running", red=True)
            for line in self._said:
                terminalreporter.line(line)


def pytest_configure(config: pytest.Config) -> None:
    """Watches from the one process that all others of the session are below."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Leftovers())


def _running() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if _runs(each)]


def _runs(process: psutil.Process) -> bool:
    try:
        ended = process.status() == psutil.STATUS_ZOMBIE
        return not ended and RESOURCE_TRACKER not in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _named(process: psutil.Process) -> str:
    try:
        with process.oneshot():
            test = process.environ().get(STARTED_IN, "a test that is not known")
            return f"{' '.join(process.cmdline())[:200]} (process {process.pid}), started in {test}"
    except psutil.Error:
        return f"process {process.pid}, which cannot be looked into"
