"""Dead letters over a queue in memory: looked at, sent again, and never lost on the way."""

from collections import deque
from collections.abc import Sequence

import pytest

from turnout.base.errors import ServiceUnavailable
from turnout.queue.dead_letters import DeadLetterOffice
from turnout.queue.message import Message, Outgoing


class Letters:
    """A subscription that hands out a few messages at a time, and remembers what became of them."""

    def __init__(self, number: int) -> None:
        self.waiting = deque(
            Message(f"ack_id {index}", str(index), b"data", {"reason": f"fault {index}"})
            for index in range(number)
        )
        self.leased: dict[str, Message] = {}
        self.leased_at_once_max = 0

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        assert wait_seconds > 0
        leased = [self.waiting.popleft() for _ in range(min(messages_max, 3, len(self.waiting)))]
        self.leased.update({message.ack_id: message for message in leased})
        self.leased_at_once_max = max(self.leased_at_once_max, len(self.leased))
        return leased

    async def acknowledge(self, ack_ids: Sequence[str]) -> None:
        for ack_id in ack_ids:
            del self.leased[ack_id]

    async def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        raise AssertionError("nothing here takes long")

    async def release(self, ack_ids: Sequence[str]) -> None:
        self.waiting.extend(self.leased.pop(ack_id) for ack_id in ack_ids)


class Topic:
    """The votes' topic; it fails once it has taken so many."""

    def __init__(self, takes: int = 1_000) -> None:
        self.takes = takes
        self.put_again: list[str] = []

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        assert timeout_seconds > 0
        for message in messages:
            if len(self.put_again) >= self.takes:
                raise ServiceUnavailable("Pub/Sub", "it is away")
            assert message.data == b"data"
            self.put_again.append(message.attributes["redriven_from"])


async def test_a_look_leaves_every_letter_where_it_is() -> None:
    letters = Letters(7)
    seen = await DeadLetterOffice(letters, Topic()).look(100)
    assert [letter.reason for letter in seen] == [f"fault {index}" for index in range(7)]
    assert len(letters.waiting) == 7
    assert not letters.leased


async def test_a_look_takes_no_more_than_its_limit() -> None:
    letters = Letters(10)
    assert len(await DeadLetterOffice(letters, Topic()).look(5)) == 5
    assert letters.leased_at_once_max == 5


async def test_all_letters_are_sent_again_and_deleted() -> None:
    letters, topic = Letters(7), Topic()
    report = await DeadLetterOffice(letters, topic).redrive(100)
    assert sorted(report.redriven) == sorted(topic.put_again) == [str(index) for index in range(7)]
    assert not letters.waiting
    assert not letters.leased


async def test_only_the_named_letters_are_sent_again() -> None:
    letters, topic = Letters(4), Topic()
    report = await DeadLetterOffice(letters, topic).redrive(100, ["2", "9"])
    assert report.redriven == ("2",)
    assert report.missing == ("9",)
    assert sorted(message.id for message in letters.waiting) == ["0", "1", "3"]


async def test_a_letter_that_cannot_be_sent_stays_a_dead_letter() -> None:
    letters = Letters(5)
    with pytest.raises(ServiceUnavailable):
        await DeadLetterOffice(letters, Topic(takes=2)).redrive(100)
    assert len(letters.waiting) == 3
    assert not letters.leased
