"""When a failed task is attempted again, and when no more."""

from dataclasses import dataclass
from typing import Any

from emulators.cloud_tasks.limits import SECOND_US

#: Ours: a target that asks for more patience than this is asked again all the same.
RETRY_AFTER_US_MAX = 3600 * SECOND_US


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry configuration; times in microseconds. `attempts_max` -1 and `duration_us` 0 mean no limit."""

    attempts_max: int
    duration_us: int
    backoff_min_us: int
    backoff_max_us: int
    doublings_max: int

    def delay_us(self, failures: int) -> int:
        """The delay after the n-th failure: doubling, then linear, then constant.

        Source: RetryConfig.max_doublings (10 s, 300 s, 3 → 10, 20, 40, 80, 160, 240, 300, 300, … seconds).
        """
        doublings = min(failures - 1, self.doublings_max)
        # Doubling further changes nothing, and would make a number of as many digits as there are failures.
        if doublings > self.backoff_max_us.bit_length():
            return self.backoff_max_us if self.backoff_min_us else 0
        linear_steps = max(0, failures - 1 - self.doublings_max)
        return min(self.backoff_max_us, (self.backoff_min_us << doublings) * (1 + linear_steps))

    def is_over(self, attempts: int, first_attempt_us: int, next_attempt_us: int) -> bool:
        """Whether no further attempt is made: both limits are reached, of those that are set.

        Source: RetryConfig.max_attempts, "stops retrying only when max_attempts and max_retry_duration are both satisfied".
        """
        if self.attempts_max <= 0 and self.duration_us == 0:
            return False
        attempts_reached = self.attempts_max <= 0 or attempts >= self.attempts_max
        duration_reached = self.duration_us == 0 or next_attempt_us - first_attempt_us >= self.duration_us
        return attempts_reached and duration_reached


def retry_of(config: Any) -> Retry:
    """The rules in a RetryConfig message whose defaults are filled in."""
    return Retry(
        attempts_max=config.max_attempts,
        duration_us=config.max_retry_duration.ToMicroseconds(),
        backoff_min_us=config.min_backoff.ToMicroseconds(),
        backoff_max_us=config.max_backoff.ToMicroseconds(),
        doublings_max=config.max_doublings,
    )
