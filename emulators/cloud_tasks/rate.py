"""How fast a queue dispatches: its token bucket, the service's throttle, and the slow start of what was idle."""

import math
from collections import deque

from emulators.cloud_tasks.limits import SECOND_US

#: A token that lacks less than this is whole: refilling adds fractions.
_WHOLE = 1 - 1e-9


def burst_size(dispatches_per_second: float) -> int:
    """The tokens that a queue's bucket holds.

    The service chooses it by the rate. 500/s shows 100; the rest of the curve is ours: a fifth of the rate, and at least 10.
    """
    return max(10, math.ceil(dispatches_per_second / 5))


class TokenBucket:
    """Tokens that come at a rate, up to a number; it starts full. Moments are microseconds."""

    __slots__ = ("_at_us", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now_us: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at_us = now_us

    def change(self, rate: float, burst: float, now_us: int) -> None:
        """Another rate from now on; what is in the bucket stays, as far as it fits."""
        self._refill(now_us)
        self._rate = rate
        self._burst = burst
        self._tokens = min(self._tokens, burst)

    def take(self, now_us: int) -> None:
        """Takes one token, which `ready_us` has promised."""
        self._refill(now_us)
        self._tokens -= 1

    def ready_us(self, now_us: int) -> int:
        """The moment from which a token can be taken; now, if one is there."""
        self._refill(now_us)
        if self._tokens >= _WHOLE:
            return now_us
        return now_us + max(1, math.ceil((1 - self._tokens) / self._rate * SECOND_US))

    def _refill(self, now_us: int) -> None:
        if now_us > self._at_us:
            self._tokens = min(self._burst, self._tokens + (now_us - self._at_us) * self._rate / SECOND_US)
        self._at_us = now_us


class Throttle:
    """Slows a queue whose target is overloaded; the user's settings stay as they are.

    The service does so after 429, 503 and a high rate of errors (reference of HttpRequest), and says no figures. Ours: each
    such moment halves the rate, at most once a second and at most six times; each second with a success, and each ten
    seconds without a sign of overload, doubles it again. A high rate of errors is more than half of the last twenty
    answers, once there are ten within a minute.
    """

    LEVEL_MAX = 6
    STEP_US = SECOND_US
    RECOVERY_US = 10 * SECOND_US
    WINDOW_US = 60 * SECOND_US
    ANSWERS_MAX = 20
    ANSWERS_MIN = 10

    __slots__ = ("_answers", "_changed_us", "_level")

    def __init__(self) -> None:
        self._level = 0
        self._changed_us = 0
        self._answers: deque[tuple[int, bool]] = deque(maxlen=self.ANSWERS_MAX)

    def note(self, now_us: int, *, failed: bool, overloaded: bool) -> None:
        """Takes an answer into account."""
        self._recover(now_us)
        self._answers.append((now_us, failed))
        if overloaded or (failed and self._mostly_errors(now_us)):
            if self._level == 0 or now_us - self._changed_us >= self.STEP_US:
                self._level = min(self.LEVEL_MAX, self._level + 1)
                self._changed_us = now_us
        elif not failed and self._level and now_us - self._changed_us >= self.STEP_US:
            self._level -= 1
            self._changed_us = now_us

    def factor(self, now_us: int) -> float:
        """What is left of the queue's rate: 1, 1/2, 1/4 and so on."""
        self._recover(now_us)
        return float(0.5**self._level)

    def _recover(self, now_us: int) -> None:
        while self._level and now_us - self._changed_us >= self.RECOVERY_US:
            self._level -= 1
            self._changed_us += self.RECOVERY_US

    def _mostly_errors(self, now_us: int) -> bool:
        recent = [failed for at_us, failed in self._answers if now_us - at_us < self.WINDOW_US]
        return len(recent) >= self.ANSWERS_MIN and sum(recent) * 2 > len(recent)


class RampUp:
    """500/50/5: the queues of a location that was idle start at 500 dispatches a second, and grow by half every five minutes.

    Source: https://cloud.google.com/tasks/docs/manage-cloud-task-scaling, "a maximum of 500 operations per second to a cold
    queue or queue group, then increasing traffic by 50% every 5 minutes". A single queue never reaches it: its own limit is
    500/s. The service's groups are unknown, so all queues of a location are one; it is cold after five idle minutes.
    """

    RATE = 500.0
    GROWTH = 1.5
    PERIOD_US = 300 * SECOND_US
    #: 500 · 1.5^40 is beyond anything.
    STAGES_MAX = 40

    __slots__ = ("_bucket", "_last_us", "_stage", "_started_us")

    def __init__(self, now_us: int) -> None:
        self._bucket = TokenBucket(self.RATE, self.RATE, now_us)
        self._started_us = now_us
        self._last_us = now_us
        self._stage = 0

    def ready_us(self, now_us: int) -> int:
        """The moment from which the location may dispatch again."""
        self._grow(now_us)
        return self._bucket.ready_us(now_us)

    def take(self, now_us: int) -> None:
        """Counts one dispatch."""
        self._grow(now_us)
        self._bucket.take(now_us)
        self._last_us = now_us

    def _grow(self, now_us: int) -> None:
        if now_us - self._last_us > self.PERIOD_US:
            self._started_us = self._last_us = now_us
        stage = min(self.STAGES_MAX, (now_us - self._started_us) // self.PERIOD_US)
        if stage != self._stage:
            self._stage = stage
            rate = self.RATE * self.GROWTH**stage
            self._bucket.change(rate, rate, now_us)
