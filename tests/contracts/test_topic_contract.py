"""The contract of the topic, its subscription and the dead-letter topic."""

import asyncio

from tests.contracts.services import Services, a_bundle, lease_all
from turnout.votes.bundle import decode


async def test_what_is_published_is_leased_byte_for_byte(services: Services) -> None:
    bundles = [a_bundle(number) for number in range(20)]
    await services.publisher.publish(bundles, timeout_seconds=5)

    leased = await lease_all(services.queue, 20)

    by_id = {bundle.id: bundle for bundle in (decode(message.data) for message in leased)}
    assert by_id == {bundle.id: bundle for bundle in bundles}
    assert len({message.receipt for message in leased}) == 20
    assert len({message.id for message in leased}) == 20
    assert all(message.published_at is not None for message in leased)


async def test_a_lease_of_an_empty_queue_comes_back_empty_in_time(services: Services) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    assert await services.queue.lease(10, wait_seconds=1.5) == []

    assert loop.time() - began < 10


async def test_a_lease_takes_no_more_than_asked_for(services: Services) -> None:
    await services.publisher.publish([a_bundle(number) for number in range(5)], timeout_seconds=5)

    assert 1 <= len(await services.queue.lease(2, wait_seconds=5)) <= 2


async def test_a_lease_that_waits_gets_what_is_published_meanwhile(services: Services) -> None:
    waiting = asyncio.create_task(services.queue.lease(10, wait_seconds=10))
    await asyncio.sleep(0.2)
    await services.publisher.publish([a_bundle(1)], timeout_seconds=5)

    leased = await waiting

    assert [decode(message.data) for message in leased] == [a_bundle(1)]


async def test_a_leased_message_is_not_leased_again(services: Services) -> None:
    await services.publisher.publish([a_bundle(1)], timeout_seconds=5)
    await lease_all(services.queue, 1)

    assert await services.queue.lease(10, wait_seconds=1.5) == []


async def test_an_acknowledged_message_never_comes_back(services: Services) -> None:
    await services.publisher.publish([a_bundle(1), a_bundle(2)], timeout_seconds=5)
    first, second = await lease_all(services.queue, 2)
    await services.queue.acknowledge([first.receipt])
    await services.queue.release([first.receipt, second.receipt])

    again = await lease_all(services.queue, 1)

    assert [message.id for message in again] == [second.id]
    assert await services.queue.lease(10, wait_seconds=1.5) == []


async def test_a_released_message_is_leased_at_once_under_another_receipt(services: Services) -> None:
    await services.publisher.publish([a_bundle(1)], timeout_seconds=5)
    (first,) = await lease_all(services.queue, 1)

    await services.queue.release([first.receipt])

    (again,) = await lease_all(services.queue, 1)
    assert (again.id, again.data) == (first.id, first.data)
    assert again.receipt != first.receipt


async def test_a_message_whose_lease_ends_comes_back(services: Services) -> None:
    await services.publisher.publish([a_bundle(1)], timeout_seconds=5)
    (first,) = await lease_all(services.queue, 1)
    # One second is the shortest lease that both know.
    await services.queue.extend([first.receipt], 1)

    (again,) = await lease_all(services.queue, 1)

    assert again.id == first.id
    assert again.receipt != first.receipt


async def test_an_extended_lease_outlives_its_first_deadline(services: Services) -> None:
    await services.publisher.publish([a_bundle(1)], timeout_seconds=5)
    (first,) = await lease_all(services.queue, 1)
    await services.queue.extend([first.receipt], 1)
    await services.queue.extend([first.receipt], 60)

    assert await services.queue.lease(10, wait_seconds=3) == []

    await services.queue.acknowledge([first.receipt])


async def test_an_ended_lease_is_acknowledged_extended_and_released_without_fault(services: Services) -> None:
    await services.publisher.publish([a_bundle(1)], timeout_seconds=5)
    (first,) = await lease_all(services.queue, 1)
    await services.queue.acknowledge([first.receipt])

    await services.queue.acknowledge([first.receipt])
    await services.queue.extend([first.receipt], 10)
    await services.queue.release([first.receipt])

    assert await services.queue.lease(10, wait_seconds=1.5) == []


async def test_bundles_published_twice_come_as_two_messages(services: Services) -> None:
    for _ in range(2):
        await services.publisher.publish([a_bundle(1)], timeout_seconds=5)

    leased = await lease_all(services.queue, 2)

    assert [decode(message.data) for message in leased] == [a_bundle(1)] * 2
    assert len({message.id for message in leased}) == 2


async def test_a_buried_message_keeps_its_data_and_tells_the_reason(services: Services) -> None:
    await services.publisher.publish([a_bundle(1)], timeout_seconds=5)
    (message,) = await lease_all(services.queue, 1)

    await services.dead_letters.bury(message, "Poll finals does not exist: „weg“ 🏆.")

    (letter,) = await lease_all(services.dead_queue, 1)
    assert letter.data == message.data
    assert letter.attributes["reason"] == "Poll finals does not exist: „weg“ 🏆."
    assert letter.attributes["message_id"] == message.id


async def test_an_endless_reason_does_not_stop_a_burial(services: Services) -> None:
    await services.publisher.publish([a_bundle(1)], timeout_seconds=5)
    (message,) = await lease_all(services.queue, 1)

    await services.dead_letters.bury(message, "größer " * 1_000)

    (letter,) = await lease_all(services.dead_queue, 1)
    assert letter.attributes["reason"].startswith("größer größer ")
