"""The deadline that requests share: each has its own time, whoever else waits, in a loop whose time is virtual."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.http.deadline import TICKS, SharedDeadline
from tests.simulation.virtual import VirtualLoop

SECONDS_MAX = 10.0
#: What is found late is found at a tick, and a tick is so long.
TICK_SECONDS = SECONDS_MAX / TICKS


def run(play: Coroutine[Any, Any, None]) -> None:
    loop = VirtualLoop(turns_max=100_000)
    try:
        loop.run_until_complete(play)
    finally:
        loop.close()


async def ended(work: Awaitable[object]) -> tuple[str, float]:
    """How it ended, and when."""
    try:
        await work
    except TimeoutError:
        end = "late"
    except asyncio.CancelledError:
        end = "cancelled"
    else:
        end = "done"
    return end, asyncio.get_running_loop().time()


seconds = st.floats(0, 3 * SECONDS_MAX, allow_nan=False)


@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=10))
def test_each_wait_has_its_own_time(waits: list[tuple[float, float]]) -> None:
    deadline = SharedDeadline(SECONDS_MAX)

    async def wait(begin: float, lasts: float) -> None:
        await asyncio.sleep(begin)
        began = asyncio.get_running_loop().time()
        how, at = await ended(deadline.bound(asyncio.sleep(lasts)))
        took = at - began
        if lasts < SECONDS_MAX - TICK_SECONDS - 0.001:
            assert how == "done"
            assert took == pytest.approx(lasts, abs=0.001)
        if lasts > SECONDS_MAX + 0.001:
            assert how == "late"
        assert took <= SECONDS_MAX + 0.001

    async def play() -> None:
        async with asyncio.TaskGroup() as group:
            for begin, lasts in waits:
                group.create_task(wait(begin, lasts))

    run(play())
    assert not deadline._waiting
    assert not deadline._late


def test_its_timer_rests_when_nobody_waits() -> None:
    deadline = SharedDeadline(SECONDS_MAX)

    async def play() -> None:
        assert (await ended(deadline.bound(asyncio.sleep(1)))) == ("done", 1)
        await asyncio.sleep(2 * TICK_SECONDS)
        assert deadline._timer is None
        await asyncio.sleep(1_000)
        how, at = await ended(deadline.bound(asyncio.sleep(1_000)))
        assert how == "late"
        assert at == pytest.approx(1_001 + 2 * TICK_SECONDS + SECONDS_MAX)

    run(play())


def test_a_process_that_stood_still_goes_on_where_it_was() -> None:
    deadline = SharedDeadline(SECONDS_MAX)

    async def play() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        # The body lies in the socket by the time that the process runs again.
        waiting = asyncio.create_task(ended(deadline.bound(asyncio.sleep(SECONDS_MAX / 2))))
        await asyncio.sleep(0)
        loop._virtual.seconds += 100 * SECONDS_MAX
        how, _ = await waiting
        assert how == "done"

    run(play())


@pytest.mark.parametrize("after", [0.0, SECONDS_MAX / 2, 3 * SECONDS_MAX])
def test_a_cancellation_by_somebody_else_is_one(after: float) -> None:
    deadline = SharedDeadline(SECONDS_MAX)

    async def stubborn() -> None:
        """Takes its time to notice that it is too late."""
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(1_000)

    async def play() -> None:
        waiting = asyncio.create_task(ended(deadline.bound(stubborn())))
        await asyncio.sleep(after)
        waiting.cancel()
        how, _ = await waiting
        assert how == "cancelled"

    run(play())


def test_what_fails_fails_as_it_did() -> None:
    async def fail() -> None:
        raise LookupError("planted")

    async def play() -> None:
        with pytest.raises(LookupError, match="planted"):
            await SharedDeadline(SECONDS_MAX).bound(fail())

    run(play())
