"""When a failed attempt is made again.

The documentation promises that the wait grows linearly by `min_backoff · 2^max_doublings` after the doublings. What was
recorded of the service on 2026-10-05 (github.com/t-k/fireemu, conformance/scheduled-delivery) grows by two seconds:
4, 8, 16, 18 s with two doublings; 4, 8, 10, 12, 14 s with one; 2, 4, 8, 16, 18 s with three. What it does is followed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

RETRY_COUNT_MAX = 5
#: Recorded: a zero or nothing in a retry configuration is kept as these.
MIN_BACKOFF = timedelta(seconds=5)
MAX_BACKOFF = timedelta(hours=1)
MAX_DOUBLINGS = 5
LINEAR_STEP = timedelta(seconds=2)
NO_LIMIT = timedelta(0)


@dataclass(frozen=True)
class Retries:
    """A job's retry configuration, with the defaults filled in."""

    count: int = 0
    #: From the first attempt's start; zero sets no limit.
    duration: timedelta = NO_LIMIT
    min_backoff: timedelta = MIN_BACKOFF
    max_backoff: timedelta = MAX_BACKOFF
    max_doublings: int = MAX_DOUBLINGS

    def wait_after(self, failures: int) -> timedelta:
        """How long after the `failures`-th failure the next attempt begins."""
        doubled = self.min_backoff * (1 << min(failures - 1, self.max_doublings))
        steps = max(0, failures - 1 - self.max_doublings)
        return min(self.max_backoff, doubled + steps * LINEAR_STEP)

    def next_attempt(self, failures: int, first_began: datetime, failed: datetime) -> datetime | None:
        """When the next attempt begins; None if this was the last one.

        With a count and a duration, both must be used up (recorded: four attempts with a count of 3 and 20 s, the
        fourth at 23.7 s). A duration alone ends before the attempt that would be past it.
        """
        at = failed + self.wait_after(failures)
        within_count = failures <= self.count
        within_duration = self.duration > NO_LIMIT and at - first_began <= self.duration
        return at if within_count or within_duration else None
