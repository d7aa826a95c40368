"""Retrying as a value: attempts, waits and deadlines, in virtual time."""

import asyncio
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.virtual import LoopClock, VirtualLoop
from turnout.base.errors import OutcomeUnknown, ServiceUnavailable
from turnout.base.retry import RetryPolicy

policies = st.builds(
    RetryPolicy,
    first_seconds=st.floats(0.0, 5.0),
    max_seconds=st.floats(5.0, 60.0),
    attempts_max=st.one_of(st.none(), st.integers(1, 20)),
    deadline_seconds=st.one_of(st.none(), st.floats(0.1, 100.0)),
)


@given(policies, st.floats(0, 1, exclude_max=True))
def test_waits_double_up_to_the_longest_with_equal_jitter(policy: RetryPolicy, drawn: float) -> None:
    step = policy.first_seconds
    for wait in islice(policy.waits(lambda: drawn), 30):
        assert step / 2 <= wait <= step
        step = min(step * 2, policy.max_seconds)


class Service:
    """Fails so many times, each call taking its time."""

    def __init__(self, failures: int, call_seconds: float = 0.0) -> None:
        self.failures = failures
        self.call_seconds = call_seconds
        self.began_at: list[float] = []

    async def call(self) -> str:
        self.began_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.call_seconds)
        if len(self.began_at) <= self.failures:
            raise ServiceUnavailable("A service", f"call {len(self.began_at)} failed")
        return "done"


def tried(policy: RetryPolicy, service: Service, told: list[Exception]) -> str | Exception:
    """The result, or the fault, in virtual time; the waits have no jitter."""

    async def run() -> str:
        clock = LoopClock(asyncio.get_running_loop())
        return await policy.run(service.call, clock=clock, chance=lambda: 1.0, on_failure=told.append)

    loop = VirtualLoop(turns_max=100_000)
    try:
        return loop.run_until_complete(run())
    except ServiceUnavailable as fault:
        return fault
    finally:
        loop.close()


@given(policies, st.integers(0, 25), st.floats(0, 3))
def test_it_tries_again_until_it_succeeds_or_attempts_or_time_are_used_up(
    policy: RetryPolicy, failures: int, call_seconds: float
) -> None:
    service, told = Service(failures, call_seconds), list[Exception]()
    outcome = tried(policy, service, told)
    calls = len(service.began_at)
    assert policy.attempts_max is None or calls <= policy.attempts_max
    if policy.deadline_seconds is not None:
        assert all(began - service.began_at[0] < policy.deadline_seconds for began in service.began_at[1:])
    if outcome == "done":
        assert calls == failures + 1
    else:
        # It gave up for a reason: the attempts are used up, or the next one would have begun too late.
        assert calls <= failures
        waits = islice(policy.waits(lambda: 1.0), calls)
        next_at = sum(waits) + calls * call_seconds
        out_of_time = policy.deadline_seconds is not None and next_at >= policy.deadline_seconds - 1e-9
        assert calls == policy.attempts_max or out_of_time
        assert str(outcome).endswith(f"call {calls} failed")
    assert len(told) == calls - 1


def test_what_is_no_such_fault_is_not_tried_again() -> None:
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        raise ServiceUnavailable("A service", "it refused")

    async def run() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        policy = RetryPolicy(attempts_max=5)
        await policy.run(attempt, clock=clock, chance=lambda: 0.5, retry_on=OutcomeUnknown)

    loop = VirtualLoop(turns_max=1_000)
    with pytest.raises(ServiceUnavailable):
        loop.run_until_complete(run())
    loop.close()
    assert calls == 1
