"""The contract of the topic, its subscription and the dead-letter topic."""

import asyncio

import pytest

from tests.contracts.services import Services, lease_all
from tests.deadlines import WAIT_SECONDS_MAX
from turnout.queue.dead_letters import DeadLetterOffice, DeadLetterTopic
from turnout.queue.message import PUBLISH_BYTES_MAX, PUBLISH_MESSAGES_MAX, Outgoing


def a_message(number: int) -> Outgoing:
    return Outgoing(b"message %d" % number, {"kind": "test"})


async def test_what_is_published_is_leased_byte_for_byte(services: Services) -> None:
    messages = [
        Outgoing(bytes(range(number)), {"number": str(number), "größe": "„ü“ 🏆"}) for number in range(20)
    ]
    await services.topic.publish(messages, timeout_seconds=WAIT_SECONDS_MAX)

    leased = await lease_all(services.subscription, 20)

    found = {message.attributes["number"]: Outgoing(message.data, message.attributes) for message in leased}
    assert found == {message.attributes["number"]: message for message in messages}
    assert len({message.ack_id for message in leased}) == 20
    assert len({message.id for message in leased}) == 20
    assert all(message.published_at is not None for message in leased)


async def test_a_lease_of_an_empty_queue_comes_back_empty_in_time(services: Services) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    assert await services.subscription.lease(10, wait_seconds=1.5) == []

    assert loop.time() - began < 10


async def test_a_lease_takes_no_more_than_asked_for(services: Services) -> None:
    await services.topic.publish([a_message(number) for number in range(5)], timeout_seconds=WAIT_SECONDS_MAX)

    assert 1 <= len(await services.subscription.lease(2, wait_seconds=5)) <= 2


async def test_a_lease_that_waits_gets_what_is_published_meanwhile(services: Services) -> None:
    waiting = asyncio.create_task(services.subscription.lease(10, wait_seconds=10))
    await asyncio.sleep(0.2)
    await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)

    leased = await waiting

    assert [message.data for message in leased] == [a_message(1).data]


async def test_a_leased_message_is_not_leased_again(services: Services) -> None:
    await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)
    await lease_all(services.subscription, 1)

    assert await services.subscription.lease(10, wait_seconds=1.5) == []


async def test_an_acknowledged_message_never_comes_back(services: Services) -> None:
    await services.topic.publish([a_message(1), a_message(2)], timeout_seconds=WAIT_SECONDS_MAX)
    first, second = await lease_all(services.subscription, 2)
    await services.subscription.acknowledge([first.ack_id])
    await services.subscription.release([first.ack_id, second.ack_id])

    again = await lease_all(services.subscription, 1)

    assert [message.id for message in again] == [second.id]
    assert await services.subscription.lease(10, wait_seconds=1.5) == []


async def test_a_released_message_is_leased_at_once_under_another_ack_id(services: Services) -> None:
    await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)
    (first,) = await lease_all(services.subscription, 1)

    await services.subscription.release([first.ack_id])

    (again,) = await lease_all(services.subscription, 1)
    assert (again.id, again.data) == (first.id, first.data)
    assert again.ack_id != first.ack_id


async def test_a_message_whose_lease_ends_comes_back(services: Services) -> None:
    await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)
    (first,) = await lease_all(services.subscription, 1)
    # One second is the shortest lease that both know.
    await services.subscription.extend([first.ack_id], 1)

    (again,) = await lease_all(services.subscription, 1)

    assert again.id == first.id
    assert again.ack_id != first.ack_id


async def test_an_extended_lease_outlives_its_first_deadline(services: Services) -> None:
    await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)
    (first,) = await lease_all(services.subscription, 1)
    await services.subscription.extend([first.ack_id], 1)
    await services.subscription.extend([first.ack_id], 60)

    assert await services.subscription.lease(10, wait_seconds=3) == []

    await services.subscription.acknowledge([first.ack_id])


async def test_an_ended_lease_is_acknowledged_extended_and_released_without_fault(services: Services) -> None:
    await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)
    (first,) = await lease_all(services.subscription, 1)
    await services.subscription.acknowledge([first.ack_id])

    await services.subscription.acknowledge([first.ack_id])
    await services.subscription.extend([first.ack_id], 10)
    await services.subscription.release([first.ack_id])

    assert await services.subscription.lease(10, wait_seconds=1.5) == []


async def test_messages_published_twice_come_as_two_messages(services: Services) -> None:
    for _ in range(2):
        await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)

    leased = await lease_all(services.subscription, 2)

    assert [message.data for message in leased] == [a_message(1).data] * 2
    assert len({message.id for message in leased}) == 2


async def test_a_buried_message_keeps_its_data_and_tells_the_reason(services: Services) -> None:
    await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)
    (message,) = await lease_all(services.subscription, 1)

    await DeadLetterTopic(services.dead_letter_topic).bury(message, "Poll finals does not exist: „weg“ 🏆.")

    (letter,) = await lease_all(services.dead_letter_subscription, 1)
    assert letter.data == message.data
    assert letter.attributes["reason"] == "Poll finals does not exist: „weg“ 🏆."
    assert letter.attributes["message_id"] == message.id


async def test_an_endless_reason_does_not_stop_a_burial(services: Services) -> None:
    await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)
    (message,) = await lease_all(services.subscription, 1)

    await DeadLetterTopic(services.dead_letter_topic).bury(message, "größer " * 1_000)

    (letter,) = await lease_all(services.dead_letter_subscription, 1)
    assert letter.attributes["reason"].startswith("größer größer ")


async def test_a_message_that_is_redriven_is_the_one_that_was_buried(services: Services) -> None:
    await services.topic.publish([a_message(1)], timeout_seconds=WAIT_SECONDS_MAX)
    (message,) = await lease_all(services.subscription, 1)
    await DeadLetterTopic(services.dead_letter_topic).bury(message, "the cause is mended now")
    await services.subscription.acknowledge([message.ack_id])

    office = DeadLetterOffice(services.dead_letter_subscription, services.topic)
    (letter_id,) = (await office.redrive(10)).redriven

    (again,) = await lease_all(services.subscription, 1)
    assert again.data == message.data
    assert again.attributes == {"kind": "test", "redriven_from": letter_id}
    assert await office.look(10) == []


@pytest.mark.parametrize(
    "messages",
    [
        [Outgoing(b"x")] * (PUBLISH_MESSAGES_MAX + 1),
        [Outgoing(b"x" * (PUBLISH_BYTES_MAX // 4))] * 4,
        [Outgoing(b"x" * (PUBLISH_BYTES_MAX + 1))],
    ],
    ids=["too many", "too large together", "one too large"],
)
async def test_what_does_not_fit_into_one_request_is_refused_whole(
    services: Services, messages: list[Outgoing]
) -> None:
    with pytest.raises(ValueError, match="one publish takes"):
        await services.topic.publish(messages, timeout_seconds=WAIT_SECONDS_MAX)

    assert await services.subscription.lease(10, wait_seconds=1.5) == []


async def test_as_many_messages_as_one_request_takes_are_published_in_one(services: Services) -> None:
    await services.topic.publish(
        [a_message(number) for number in range(PUBLISH_MESSAGES_MAX)], timeout_seconds=WAIT_SECONDS_MAX
    )

    found: set[bytes] = set()
    for _ in range(100):
        found |= {message.data for message in await services.subscription.lease(1_000, wait_seconds=2)}
        if len(found) == PUBLISH_MESSAGES_MAX:
            break
    assert len(found) == PUBLISH_MESSAGES_MAX
