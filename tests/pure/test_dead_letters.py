"""Dead letters: buried with their reason, looked at without harm, and sent again once."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.factories import NOON
from turnout.base.errors import OutcomeUnknown
from turnout.queue.dead_letters import (
    LEASE_MESSAGES_MAX,
    LEASE_WAIT_SECONDS,
    PUBLISH_SECONDS,
    REASON_BYTES_MAX,
    DeadLetterOffice,
    DeadLetterTopic,
)
from turnout.queue.message import Message, Outgoing


class Topic:
    """Keeps what is published; fails from the message on that it is told."""

    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.failing_at: int | None = None

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        assert timeout_seconds == PUBLISH_SECONDS == 10.0
        if len(self.published) == self.failing_at:
            raise OutcomeUnknown("Pub/Sub", "the answer was lost")
        self.published.extend(messages)


class Subscription:
    """Leases what it was given, answer by answer; then nothing."""

    def __init__(self, *answers: Sequence[Message]) -> None:
        self.answers = [list(answer) for answer in answers]
        self.asked_for: list[int] = []
        self.acknowledged: list[str] = []
        self.released: list[str] = []

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        assert wait_seconds == LEASE_WAIT_SECONDS == 1.0
        self.asked_for.append(messages_max)
        return self.answers.pop(0) if self.answers else []

    async def acknowledge(self, ack_ids: Sequence[str]) -> None:
        self.acknowledged.extend(ack_ids)

    async def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        raise AssertionError("no dead letter is held for long")

    async def release(self, ack_ids: Sequence[str]) -> None:
        assert ack_ids
        self.released.extend(ack_ids)


def letter(
    number: int, *, ack_id: str = "", minutes: int = 0, reason: str | None = "it cannot be read"
) -> Message:
    attributes = {"family": "votes", "message_id": f"original {number}"}
    return Message(
        ack_id=ack_id or f"ack {number}",
        id=f"id {number}",
        data=b"x" * number,
        attributes=attributes if reason is None else {**attributes, "reason": reason},
        published_at=NOON + timedelta(minutes=minutes),
    )


async def test_a_buried_message_keeps_its_data_and_attributes_and_gets_its_reason_and_id() -> None:
    topic = Topic()
    await DeadLetterTopic(topic).bury(Message("1", "id 1", b"data", {"family": "votes"}), "it cannot be read")
    assert topic.published == [
        Outgoing(b"data", {"family": "votes", "reason": "it cannot be read", "message_id": "id 1"})
    ]


async def test_a_reason_is_cut_between_characters_at_what_an_attribute_holds() -> None:
    topic = Topic()
    await DeadLetterTopic(topic).bury(Message("1", "id 1", b""), "x" + "€" * 1_000)
    reason = topic.published[0].attributes["reason"]
    assert reason == "x" + "€" * 333
    assert len(reason.encode()) == REASON_BYTES_MAX == 1_000
    await DeadLetterTopic(topic).bury(Message("1", "id 1", b""), "lone \ud800")
    assert topic.published[1].attributes["reason"] == "lone ?"


async def test_a_look_shows_the_oldest_first_and_leaves_everything_there() -> None:
    subscription = Subscription([letter(1, minutes=5), letter(2, minutes=3)], [letter(3, reason=None)])
    found = await DeadLetterOffice(subscription, Topic()).look(10)
    assert [(each.id, each.reason, each.size_bytes) for each in found] == [
        ("id 3", "no reason was given", 3),
        ("id 2", "it cannot be read", 2),
        ("id 1", "it cannot be read", 1),
    ]
    assert found[0].buried_at == NOON
    assert subscription.asked_for == [10, 8, 7, 7]
    assert (subscription.acknowledged, sorted(subscription.released)) == ([], ["ack 1", "ack 2", "ack 3"])


async def test_an_empty_answer_between_two_full_ones_does_not_end_a_look() -> None:
    subscription = Subscription([letter(1)], [], [letter(2)], [], [])
    assert len(await DeadLetterOffice(subscription, Topic()).look(10)) == 2
    assert len(subscription.asked_for) == 5


async def test_a_look_asks_for_no_more_than_its_limit_and_one_lease_holds() -> None:
    subscription = Subscription([letter(1), letter(2)])
    await DeadLetterOffice(subscription, Topic()).look(2)
    assert subscription.asked_for == [2]
    await DeadLetterOffice(empty := Subscription(), Topic()).look(5_000)
    assert empty.asked_for == [LEASE_MESSAGES_MAX, LEASE_MESSAGES_MAX] == [1_000, 1_000]


async def test_a_letter_whose_lease_ended_meanwhile_is_one_letter_with_its_new_lease() -> None:
    subscription = Subscription([letter(1, ack_id="old")], [letter(1, ack_id="new")])
    assert len(await DeadLetterOffice(subscription, Topic()).look(10)) == 1
    assert subscription.released == ["new"]


async def test_nothing_is_released_where_nothing_was_leased() -> None:
    subscription = Subscription()
    assert await DeadLetterOffice(subscription, Topic()).look(3) == []
    assert subscription.released == []


async def test_a_redriven_letter_is_the_message_that_was_buried_and_says_where_it_comes_from() -> None:
    subscription, topic = Subscription([letter(2)]), Topic()
    done = await DeadLetterOffice(subscription, topic).redrive(10)
    assert topic.published == [Outgoing(b"xx", {"family": "votes", "redriven_from": "id 2"})]
    assert (done.redriven, done.missing) == (("id 2",), ())
    assert (subscription.acknowledged, subscription.released) == (["ack 2"], [])


async def test_only_the_named_letters_are_redriven_and_those_that_are_not_there_are_told() -> None:
    subscription, topic = Subscription([letter(1), letter(2), letter(3)]), Topic()
    done = await DeadLetterOffice(subscription, topic).redrive(10, ["id 2", "id 9", "id 8"])
    assert (done.redriven, done.missing) == (("id 2",), ("id 8", "id 9"))
    assert subscription.acknowledged == ["ack 2"]
    assert sorted(subscription.released) == ["ack 1", "ack 3"]


async def test_a_redrive_that_fails_halfway_gives_back_what_it_has_not_sent() -> None:
    subscription, topic = Subscription([letter(1), letter(2), letter(3)]), Topic()
    topic.failing_at = 1
    with pytest.raises(OutcomeUnknown):
        await DeadLetterOffice(subscription, topic).redrive(10)
    assert subscription.acknowledged == ["ack 1"]
    assert sorted(subscription.released) == ["ack 2", "ack 3"]


async def test_a_lease_that_fails_gives_back_what_was_leased_before_it() -> None:
    class Failing(Subscription):
        async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
            if len(self.asked_for) == 1:
                raise OutcomeUnknown("Pub/Sub", "the answer was lost")
            return await super().lease(messages_max, wait_seconds=wait_seconds)

    subscription = Failing([letter(1)])
    with pytest.raises(OutcomeUnknown):
        await DeadLetterOffice(subscription, Topic()).look(10)
    assert subscription.released == ["ack 1"]
