"""The last attempts, for whoever looks at them in the browser; they are kept in memory alone."""

from collections import deque

import msgspec

from emulators.cloud_tasks.limits import ATTEMPTS_KEPT


class FinishedAttempt(msgspec.Struct, frozen=True):
    """One attempt and how it ended; moments in microseconds since 1970."""

    queue: str
    task: str
    #: 1 is the first.
    number: int
    method: str
    url: str
    dispatch_us: int
    response_us: int
    #: HTTP's status; 0 if there was no answer.
    status: int
    #: Why there was no answer.
    fault: str


class Attempts:
    """A bounded number of the last attempts."""

    def __init__(self, attempts_max: int = ATTEMPTS_KEPT) -> None:
        self._kept: deque[FinishedAttempt] = deque(maxlen=attempts_max)

    def note(self, attempt: FinishedAttempt) -> None:
        """Keeps an attempt that has ended."""
        self._kept.append(attempt)

    def latest(self, queue: str = "") -> list[FinishedAttempt]:
        """The last ones, of a queue or of all, the newest first."""
        return [each for each in reversed(self._kept) if not queue or each.queue == queue]
