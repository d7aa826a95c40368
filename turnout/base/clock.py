"""The clock: the present as a moment that people read, and as seconds that only ever grow."""

import time
from datetime import UTC, datetime
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """What tells the time. Deadlines and ages are counted in `monotonic` seconds, facts are dated with `now`."""

    def now(self) -> datetime:
        """The present, in UTC; a machine's clock may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never less than before."""
        ...


class SystemClock:
    """The machine's own clock. Each vote asks it five times, so its answers come without a frame of Python's."""

    now = staticmethod(partial(datetime.now, UTC))
    monotonic = staticmethod(time.monotonic)


def moment(at: datetime) -> str:
    """A moment as RFC 3339 in UTC, as people and the HTTP API read it."""
    text = at.isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")
