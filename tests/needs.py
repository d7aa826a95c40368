"""What tests need beyond Python's packages. Where it is missing, they are skipped, and one line says what to install.

Continuous integration has everything: there, what is missing fails the tests that need it.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import pytest

#: The packages that may be missing, and the programs that each may be called by.
PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "gcloud": ("gcloud",),
    "redis-server": ("redis-server",),
    "terraform": ("terraform",),
    "wrk": ("wrk",),
}
INSTALL = "install "


def program(package: str) -> str:
    """The path of a package's program; without it the test is skipped."""
    found = _found(package)
    if found is None:
        miss(INSTALL + package)
    return found


def need(*packages: str) -> None:
    """Skips the test unless all of these packages are installed."""
    missing = [package for package in packages if _found(package) is None]
    if missing:
        miss(INSTALL + " ".join(missing))


def miss(why: str) -> NoReturn:
    """Skips the test for what this machine has not; fails it in continuous integration, where it would hide untested code."""
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, and this test lacks what it needs: {why}", pytrace=False)
    pytest.skip(why)


def summary(reasons: Iterable[str]) -> list[str]:
    """What was skipped: a line for all that an installation mends, and a line for each other reason."""
    packages: set[str] = set()
    counts: Counter[str] = Counter()
    for reason in reasons:
        if reason.startswith(INSTALL):
            packages.update(reason.removeprefix(INSTALL).split())
            counts[INSTALL] += 1
        else:
            counts[reason] += 1
    names = {INSTALL: INSTALL + " ".join(sorted(packages))}
    return [f"{count} skipped: {names.get(reason, reason)}" for reason, count in counts.most_common()]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what was skipped, in as few lines as there are reasons."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in skipped]
    if reasons:
        terminalreporter.ensure_newline()
        for line in summary(reasons):
            terminalreporter.line(line)


def _found(package: str) -> str | None:
    return next((path for name in PROGRAMS[package] if (path := shutil.which(name))), None)
