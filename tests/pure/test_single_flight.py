"""Single flight: one read at a time, shared by all; nothing older than asked for; bounded."""

import asyncio

import pytest

from tests.factories import FixedClock
from turnout.base.errors import ServiceUnavailable
from turnout.base.single_flight import SingleFlight


class Store:
    """Reads that the test lets go; each returns its own number."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.held: dict[str, asyncio.Future[None]] = {}
        self.holds = False
        self.failing = False

    async def read(self, key: str) -> int:
        self.reads.append(key)
        if self.holds:
            self.held[key] = asyncio.get_running_loop().create_future()
            await self.held[key]
        if self.failing:
            raise ServiceUnavailable("A store", "it is away")
        return len(self.reads)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


async def test_many_who_ask_meanwhile_share_one_read(store: Store, clock: FixedClock) -> None:
    flight = SingleFlight(store.read, keys_max=10, clock=clock)
    store.holds = True
    asking = [asyncio.create_task(flight.get("a", age_seconds_max=5.0)) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking[0].cancel()  # one goes away, and takes nobody's read along
    store.held["a"].set_result(None)
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers[:1]] == [asyncio.CancelledError]
    assert answers[1:] == [1] * 19
    assert store.reads == ["a"]


async def test_a_reading_is_used_until_its_age_is_reached(store: Store, clock: FixedClock) -> None:
    flight = SingleFlight(store.read, keys_max=10, clock=clock)
    assert await flight.get("a", age_seconds_max=5.0) == 1
    clock.seconds = 4.9
    assert await flight.get("a", age_seconds_max=5.0) == 1
    clock.seconds = 5.0
    assert await flight.get("a", age_seconds_max=5.0) == 2
    assert await flight.get("a", age_seconds_max=0.0) == 3


async def test_a_reading_is_as_old_as_the_beginning_of_its_read(store: Store, clock: FixedClock) -> None:
    flight = SingleFlight(store.read, keys_max=10, clock=clock)
    store.holds = True
    reading = flight.begin("a")
    await asyncio.sleep(0)
    clock.seconds = 3.0
    store.held["a"].set_result(None)
    await reading
    last = flight.last("a")
    assert last is not None
    assert (last.began_at, flight.age_seconds(last)) == (0.0, 3.0)


async def test_every_caller_gets_the_fault_and_the_next_read_is_a_new_one(
    store: Store, clock: FixedClock
) -> None:
    flight = SingleFlight(store.read, keys_max=10, clock=clock)
    store.failing = True
    answers = await asyncio.gather(*(flight.refresh("a") for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ServiceUnavailable] * 3
    assert store.reads == ["a"]
    assert flight.last("a") is None
    store.failing = False
    assert await flight.refresh("a") == 2


async def test_a_failed_read_leaves_what_was_read_before(store: Store, clock: FixedClock) -> None:
    flight = SingleFlight(store.read, keys_max=10, clock=clock)
    await flight.get("a", age_seconds_max=5.0)
    store.failing = True
    with pytest.raises(ServiceUnavailable):
        await flight.refresh("a")
    assert await flight.get("a", age_seconds_max=5.0) == 1


async def test_those_read_longest_ago_are_forgotten_first(store: Store, clock: FixedClock) -> None:
    flight = SingleFlight(store.read, keys_max=2, clock=clock)
    for key in ("a", "b", "a", "c"):
        await flight.refresh(key)
    assert flight.last("b") is None
    assert flight.last("a") is not None
    assert flight.last("c") is not None
