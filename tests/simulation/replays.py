"""That a seed gives the same run again: here, and in a shell that exports other things."""

import hashlib
import os
import subprocess
import sys

from emulators.processes import ROOT
from tests.deadlines import COMMAND_SECONDS_MAX
from tests.simulation.families import RUNS

#: What must not matter: hashes, settings of the families, the time zone and the language.
ODD_SHELL = {
    "PYTHONHASHSEED": "7",
    "TURNOUT_LANES": "3",
    "TURNOUT_SHUTDOWN_SECONDS": "1",
    "TURNOUT_IDLE_SECONDS": "1",
    "TURNOUT_ACK_DEADLINE_SECONDS": "600",
    "TURNOUT_POLL_DAYS_MAX": "1",
    "GOOGLE_CLOUD_PROJECT": "another",
    "TZ": "Pacific/Chatham",
    "LANG": "tr_TR.UTF-8",
}


def digest(family: str, seeds: int) -> str:
    """What all events of so many seeds come to."""
    events = [RUNS[family](seed).events for seed in range(seeds)]
    return hashlib.sha256(repr(events).encode()).hexdigest()


def digest_in_a_shell(family: str, seeds: int, exports: dict[str, str]) -> str:
    """The same, in a process with these variables beside the shell's own."""
    code = f"from tests.simulation.replays import digest; print(digest({family!r}, {seeds}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **exports},
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_SECONDS_MAX,
    )
    return done.stdout.strip()
