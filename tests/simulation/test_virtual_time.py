"""Virtual time: nothing waits, and nothing hangs."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.simulation.virtual import Process, RunStuck, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop(turns_max=1_000)
    yield made
    made.close()


def test_a_day_passes_at_once(loop: VirtualLoop) -> None:
    began = time.monotonic()

    loop.run_until_complete(asyncio.sleep(86_400))

    assert loop.time() == pytest.approx(86_400)
    assert time.monotonic() - began < 3_600


def test_a_run_in_which_nothing_will_happen_is_stuck(loop: VirtualLoop) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RunStuck, match="never comes"):
        loop.run_until_complete(forever())
    end_all(loop)


def test_a_run_that_turns_without_an_end_is_stuck(loop: VirtualLoop) -> None:
    async def forever() -> None:
        while True:  # noqa: ASYNC110  # it is what must be caught
            await asyncio.sleep(0)

    with pytest.raises(RunStuck, match="1,000 turns"):
        loop.run_until_complete(forever())
    loop._virtual._turns = 0
    end_all(loop)


def test_a_killed_process_ends_with_all_its_tasks(loop: VirtualLoop) -> None:
    async def child() -> None:
        await asyncio.sleep(100)
        raise AssertionError("it outlived its process")

    async def parent() -> None:
        await asyncio.gather(asyncio.create_task(child()), asyncio.create_task(child()))

    async def scenario() -> None:
        process, other = Process("one"), Process("other")
        doomed, spared = process.start(parent()), other.start(asyncio.sleep(50, "done"))
        await asyncio.sleep(1)
        process.kill()
        await process.ended()
        assert doomed.cancelled()
        assert await spared == "done"

    loop.run_until_complete(scenario())
    assert loop.time() == pytest.approx(50)


def end_all(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
