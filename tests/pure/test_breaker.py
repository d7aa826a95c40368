"""The circuit breaker, held against the simplest description of what it should do."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.factories import FixedClock
from turnout.base.breaker import Breaker, BreakerState

FAILURES_MAX = 3
OPEN_SECONDS = 5.0
ROUNDING = 1e-9


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin, succeed and fail while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FixedClock()
        self.failures = 0
        self.opened_at: float | None = None
        self.trials = 0
        self.breaker = Breaker(
            failures_max=FAILURES_MAX, open_seconds=OPEN_SECONDS, trials_max=1, clock=self.clock
        )

    @rule(seconds=st.floats(0, 7))
    def time_passes(self, seconds: float) -> None:
        self.clock.seconds += seconds

    @precondition(lambda self: self.breaker.refuses_for_seconds() == 0)
    @rule()
    def a_call_begins(self) -> None:
        self.breaker.begin()
        self.trials += self.opened_at is not None

    @rule()
    def a_call_succeeds(self) -> None:
        self.breaker.succeeded()
        self.failures, self.opened_at, self.trials = 0, None, 0

    @rule()
    def a_call_fails(self) -> None:
        self.breaker.failed()
        self.failures += 1
        if self.failures >= FAILURES_MAX:
            self.opened_at, self.trials = self.clock.seconds, 0

    @invariant()
    def it_refuses_only_while_it_should(self) -> None:
        if self.opened_at is None:
            expected = BreakerState.CLOSED
        elif self.clock.seconds < self.opened_at + OPEN_SECONDS:
            expected = BreakerState.OPEN
        else:
            expected = BreakerState.HALF_OPEN
        assert self.breaker.state is expected
        refused = self.breaker.refuses_for_seconds()
        assert 0 <= refused <= OPEN_SECONDS + ROUNDING
        passes = expected is BreakerState.CLOSED or (expected is BreakerState.HALF_OPEN and self.trials < 1)
        assert (refused == 0) is passes


TestBreaker = BreakerMachine.TestCase
