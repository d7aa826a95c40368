"""The batcher: batches grow with the load, and every caller gets the answer of its own flush."""

import asyncio
import gc
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.base.errors import ServiceUnavailable
from turnout.queue.batcher import Batcher, BatcherBounds
from turnout.queue.errors import QueueUnavailable

BOUNDS = BatcherBounds(enough_items=10, pending_items_max=1_000, flushes_in_flight_max=3)


class Numbers:
    """A batch of at most so many numbers."""

    def __init__(self, items_max: int = 100) -> None:
        self._items_max = items_max
        self._items: list[int] = []

    def fits(self, items: Sequence[int]) -> bool:
        return len(self._items) + len(items) <= self._items_max

    def add(self, items: Sequence[int]) -> None:
        self._items += items

    def pack(self) -> list[int]:
        return self._items


class Sink:
    """Holds every flush until the test lets it go, or fails it."""

    def __init__(self) -> None:
        self.flushed: list[list[int]] = []
        self.held: list[asyncio.Future[None]] = []
        self.in_flight = 0
        self.in_flight_max = 0

    async def flush(self, batch: list[int]) -> None:
        self.flushed.append(batch)
        self.held.append(asyncio.get_running_loop().create_future())
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight, self.in_flight_max)
        try:
            await self.held[-1]
        finally:
            self.in_flight -= 1

    def let_go(self) -> None:
        for held in self.held:
            if not held.done():
                held.set_result(None)

    async def until_empty(self, batcher: Batcher[int, list[int]]) -> None:
        while batcher.unconfirmed_items:
            self.let_go()
            await turn()


def batcher_into(
    sink: Sink, bounds: BatcherBounds = BOUNDS, batch_items_max: int = 100
) -> Batcher[int, list[int]]:
    return Batcher(partial(Numbers, batch_items_max), sink.flush, bounds)


async def turn() -> None:
    """Lets everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_lone_item_is_flushed_at_once_and_those_beside_it_come_along() -> None:
    sink = Sink()
    batcher = batcher_into(sink)
    for number in range(3):
        batcher.add([number])
    await turn()
    assert sink.flushed == [[0, 1, 2]]
    await sink.until_empty(batcher)


async def test_what_arrives_meanwhile_is_gathered_until_the_flush_returns() -> None:
    sink = Sink()
    batcher = batcher_into(sink)
    batcher.add([0])
    await turn()
    waiting = [batcher.add([number]) for number in range(1, 9)]
    await turn()
    assert sink.flushed == [[0]]
    sink.let_go()
    await turn()
    assert sink.flushed[1] == list(range(1, 9))
    assert not any(each.done() for each in waiting)
    sink.let_go()
    await asyncio.gather(*waiting)


async def test_a_batch_with_enough_does_not_wait() -> None:
    sink = Sink()
    batcher = batcher_into(sink)
    batcher.add([0])
    await turn()
    for number in range(25):
        batcher.add([number])
    await turn()
    assert [len(batch) for batch in sink.flushed] == [1, 10, 10]
    await sink.until_empty(batcher)


async def test_what_one_caller_adds_is_never_split_and_no_batch_exceeds_its_bound() -> None:
    sink = Sink()
    bounds = BatcherBounds(enough_items=10, pending_items_max=1_000, flushes_in_flight_max=1)
    batcher = batcher_into(sink, bounds, batch_items_max=10)
    for _ in range(4):
        batcher.add([7] * 4)
    await sink.until_empty(batcher)
    assert [len(batch) for batch in sink.flushed] == [8, 8]


async def test_a_failure_reaches_every_caller_of_its_flush_and_no_other() -> None:
    failing = True

    async def flush(_batch: list[int]) -> None:
        if failing:
            raise ServiceUnavailable("Pub/Sub", "it is away")

    batcher = Batcher(Numbers, flush, BOUNDS)
    answers = await asyncio.gather(*(batcher.add([1]) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ServiceUnavailable] * 5
    failing = False
    await batcher.add([1])
    assert batcher.unconfirmed_items == 0


async def test_a_failure_whose_callers_have_all_gone_is_nobodys() -> None:
    sink = Sink()
    batcher = batcher_into(sink)
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    confirmation = batcher.add([1])
    await turn()
    sink.held[0].set_exception(ServiceUnavailable("Pub/Sub", "it is away"))
    await batcher.settle()
    del confirmation
    gc.collect()
    assert told == []


async def test_a_mistake_in_packing_reaches_the_callers_and_the_loop() -> None:
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: unhandled.append(context["exception"])
    )

    class Mistaken(Numbers):
        def pack(self) -> list[int]:
            raise ZeroDivisionError

    batcher = Batcher(Mistaken, Sink().flush, BOUNDS)
    with pytest.raises(ZeroDivisionError):
        await batcher.add([1])
    await turn()
    assert [type(each) for each in unhandled] == [ZeroDivisionError]
    assert batcher.unconfirmed_items == 0


async def test_a_caller_that_goes_away_takes_no_answer_along() -> None:
    sink = Sink()
    batcher = batcher_into(sink)

    async def call() -> None:
        await batcher.add([1])

    leaver, stayer = asyncio.create_task(call()), asyncio.create_task(call())
    await turn()
    leaver.cancel()
    await turn()
    sink.let_go()
    await stayer
    with pytest.raises(asyncio.CancelledError):
        await leaver


async def test_who_is_in_a_hurry_leaves_by_a_shield() -> None:
    sink = Sink()
    batcher = batcher_into(sink)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.shield(batcher.add([1]))
    assert batcher.unconfirmed_items == 1
    await sink.until_empty(batcher)


async def test_beyond_its_buffer_it_refuses_and_holds_nothing_more() -> None:
    sink = Sink()
    bounds = BatcherBounds(enough_items=100, pending_items_max=100, flushes_in_flight_max=1)
    batcher = batcher_into(sink, bounds)
    batcher.add([1] * 60)
    with pytest.raises(QueueUnavailable) as refused:
        batcher.add([1] * 41)
    assert refused.value.retry_after_seconds >= 1
    batcher.add([1] * 40)
    assert batcher.unconfirmed_items == 100
    await sink.until_empty(batcher)
    batcher.add([1])
    await sink.until_empty(batcher)


async def test_a_closed_gate_takes_nothing_in() -> None:
    def gate() -> None:
        raise QueueUnavailable("It is closed.", retry_after_seconds=3.0)

    batcher = Batcher(Numbers, Sink().flush, BOUNDS, gate=gate)
    with pytest.raises(QueueUnavailable):
        batcher.add([1])
    assert batcher.unconfirmed_items == 0


bounds_of_any_size = st.builds(
    BatcherBounds,
    enough_items=st.integers(1, 12),
    pending_items_max=st.integers(5, 60),
    flushes_in_flight_max=st.integers(1, 3),
)


@given(
    bounds_of_any_size,
    st.integers(5, 12),
    st.lists(st.one_of(st.integers(1, 5), st.sampled_from(["turn", "answer", "fail"])), max_size=40),
)
async def test_every_item_taken_is_flushed_once_in_order_within_all_bounds(
    bounds: BatcherBounds, batch_items_max: int, steps: list[int | str]
) -> None:
    sink = Sink()
    batcher = batcher_into(sink, bounds, batch_items_max)
    taken: list[int] = []
    answers: list[asyncio.Future[None]] = []
    for step in steps:
        if isinstance(step, int):
            items = [len(taken) + number for number in range(step)]
            try:
                answers.append(batcher.add(items))
            except QueueUnavailable:
                assert batcher.unconfirmed_items + step > bounds.pending_items_max
            else:
                taken += items
        elif step == "turn":
            await turn()
        else:
            for held in [each for each in sink.held if not each.done()][:1]:
                if step == "fail":
                    held.set_exception(ServiceUnavailable("Pub/Sub", "it is away"))
                else:
                    held.set_result(None)
        assert batcher.unconfirmed_items <= bounds.pending_items_max
    await sink.until_empty(batcher)
    await batcher.settle()
    assert [item for batch in sink.flushed for item in batch] == taken
    assert all(len(batch) <= batch_items_max for batch in sink.flushed)
    assert sink.in_flight_max <= bounds.flushes_in_flight_max
    assert all(answer.done() for answer in answers)
    await asyncio.gather(*answers, return_exceptions=True)
