"""What a running local cloud leaves for other terminals: a lock, and a file with its environment.

The lock tells whether the file is true: the kernel releases it however the local cloud ends.
"""

import contextlib
import fcntl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from emulators.errors import AlreadyRunning
from emulators.processes import ROOT

DEFAULT_FOLDER = ROOT / ".turnout"
STATE_FILE = "local.json"
LOCK_FILE = "local.lock"
#: Others hold the lock for a moment, to look.
LOCK_ATTEMPTS_MAX = 20
LOCK_WAIT_SECONDS = 0.02


class State(msgspec.Struct, frozen=True):
    """A running local cloud, as another process sees it."""

    base_url: str
    project: str
    #: What a process needs in its environment to work with it.
    environment: dict[str, str]
    #: Each function's own address, by its name.
    function_urls: dict[str, str]
    #: The process that holds it, and its parts, by name.
    holder_pid: int
    pids: dict[str, int]
    started_at: str


def running_cloud(folder: Path = DEFAULT_FOLDER) -> State | None:
    """The local cloud that runs on this state folder; None if none does, whatever a crashed one left behind."""
    try:
        with (folder / LOCK_FILE).open("rb") as lock:
            if _locked(lock, fcntl.LOCK_SH):
                return None
        return msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes this process the holder of a state folder; `AlreadyRunning` if another one is."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("ab") as lock:
        if not _lock_soon(lock):
            running = running_cloud(folder)
            raise AlreadyRunning(folder, running.base_url if running else "")
        (folder / STATE_FILE).unlink(missing_ok=True)
        try:
            yield
        finally:
            (folder / STATE_FILE).unlink(missing_ok=True)


def publish(folder: Path, state: State) -> None:
    """Writes the state in one step; it holds the pepper, so only the user may read it."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=STATE_FILE, delete=False) as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))
    Path(file.name).replace(folder / STATE_FILE)


def _lock_soon(lock: IO[bytes]) -> bool:
    for _ in range(LOCK_ATTEMPTS_MAX):
        if _locked(lock, fcntl.LOCK_EX):
            return True
        time.sleep(LOCK_WAIT_SECONDS)
    return False


def _locked(lock: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
