"""A circuit breaker: when the queue fails again and again, callers get a quick, clear refusal."""

from enum import StrEnum

from turnout.base.clock import Clock


class BreakerState(StrEnum):
    """Closed: all pass. Open: none pass. Half-open: a few trials pass; their outcome decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Opens after `failures_max` failures in a row, for `open_seconds`; then lets `trials_max` calls pass at once."""

    def __init__(self, *, failures_max: int, open_seconds: float, trials_max: int, clock: Clock) -> None:
        self._failures_max = failures_max
        self._open_seconds = open_seconds
        self._trials_max = trials_max
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._trials = 0

    @property
    def state(self) -> BreakerState:
        """The state at this moment."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        if self._clock.monotonic() < self._opened_at + self._open_seconds:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    def refuses_for_seconds(self) -> float:
        """How long calls are refused from now; 0: a call may pass."""
        state = self.state
        if self._opened_at is None or state is BreakerState.CLOSED:
            return 0.0
        if state is BreakerState.OPEN:
            return self._opened_at + self._open_seconds - self._clock.monotonic()
        return 0.0 if self._trials < self._trials_max else self._open_seconds

    def begin(self) -> None:
        """A call begins; while half-open it is a trial."""
        if self._opened_at is not None:
            self._trials += 1

    def succeeded(self) -> None:
        """A call succeeded: the breaker closes."""
        self._failures = 0
        self._opened_at = None
        self._trials = 0

    def failed(self) -> None:
        """A call failed: enough in a row open the breaker; a failed trial opens it again."""
        self._failures += 1
        if self._failures >= self._failures_max:
            self._opened_at = self._clock.monotonic()
            self._trials = 0
