"""Publishing: the very same messages until they are confirmed, behind a breaker, within a deadline."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.factories import FixedClock, hex_id, make_settings
from turnout.base.clock import SystemClock
from turnout.base.errors import OutcomeUnknown
from turnout.queue.errors import QueueUnavailable
from turnout.queue.message import Outgoing
from turnout.queue.publishing import Publishing
from turnout.votes.bundle import decode
from turnout.votes.intake import VoteBatcher, vote_batcher
from turnout.votes.vote import Vote

MESSAGES = [Outgoing(b"one"), Outgoing(b"two")]


class FailingTopic:
    """Fails so many publishes, then takes them."""

    def __init__(self, failures: int, clock: FixedClock | None = None, seconds: float = 0.0) -> None:
        self.failures = failures
        self.published: list[list[Outgoing]] = []
        self.timeouts: list[float] = []
        self._clock = clock
        self._seconds = seconds

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        self.published.append(list(messages))
        self.timeouts.append(timeout_seconds)
        if self._clock is not None:
            self._clock.seconds += self._seconds
        if len(self.published) <= self.failures:
            raise OutcomeUnknown("Pub/Sub", "the answer was lost")


def publishing_to(topic: FailingTopic, clock: FixedClock | None = None, **settings: Any) -> Publishing:
    quick: dict[str, Any] = {"backoff_first_seconds": 0.001, "backoff_max_seconds": 0.001, **settings}
    return Publishing(topic, make_settings(**quick), clock=clock or SystemClock(), chance=lambda: 0.5)


async def test_a_lost_answer_is_answered_by_the_very_same_messages() -> None:
    topic = FailingTopic(2)
    await publishing_to(topic).publish(MESSAGES)
    assert topic.published == [MESSAGES] * 3


async def test_no_attempt_is_given_more_time_than_is_left() -> None:
    clock = FixedClock()
    topic = FailingTopic(100, clock, seconds=3.0)
    publishing = publishing_to(topic, clock, publish_deadline_seconds=10.0, publish_attempt_seconds=5.0)
    with pytest.raises(QueueUnavailable, match="did not confirm"):
        await publishing.publish(MESSAGES)
    assert topic.timeouts == [5.0, 5.0, 4.0, 1.0]


async def test_an_open_breaker_refuses_at_once_and_closes_after_a_trial() -> None:
    clock = FixedClock()
    topic = FailingTopic(1, clock, seconds=2.0)
    publishing = publishing_to(
        topic,
        clock,
        publish_deadline_seconds=1.0,
        publish_attempt_seconds=1.0,
        breaker_failures_max=1,
        breaker_open_seconds=5.0,
    )
    publishing.expect_open()
    with pytest.raises(QueueUnavailable):
        await publishing.publish(MESSAGES)
    clock.seconds += 1.0
    with pytest.raises(QueueUnavailable, match="does not answer") as refused:
        publishing.expect_open()
    assert refused.value.retry_after_seconds == pytest.approx(4.0)
    clock.seconds += 4.0
    publishing.expect_open()
    await publishing.publish(MESSAGES)
    publishing.expect_open()


def votes_into(topic: FailingTopic, **settings: Any) -> VoteBatcher:
    ids = iter(range(1_000_000))
    return vote_batcher(
        topic,
        make_settings(**settings),
        clock=SystemClock(),
        chance=lambda: 0.5,
        new_id=lambda: hex_id(next(ids)),
    )


async def test_the_votes_of_a_request_are_published_together_one_bundle_a_poll() -> None:
    topic = FailingTopic(0)
    batcher = votes_into(topic, bundle_votes_max=500)
    await batcher.add([Vote("finals", 0)] * 700 + [Vote("semis", 1)] * 300)
    (sent,) = topic.published
    bundles = [decode(message.data) for message in sent]
    assert [(bundle.poll, bundle.votes) for bundle in bundles] == [
        ("finals", 500),
        ("finals", 200),
        ("semis", 300),
    ]


async def test_bundles_keep_their_ids_over_all_attempts() -> None:
    topic = FailingTopic(2)
    await votes_into(topic, backoff_first_seconds=0.001, backoff_max_seconds=0.001).add([Vote("finals", 0)])
    first, second, third = topic.published
    assert first == second == third


async def test_votes_of_a_thousand_polls_fit_into_one_request() -> None:
    topic = FailingTopic(0)
    batcher = votes_into(topic, publishes_in_flight_max=1)
    answers = [batcher.add([Vote(f"poll-{number}", 0)]) for number in range(2_500)]
    await asyncio.gather(*answers)
    sizes = [len(sent) for sent in topic.published]
    assert sum(sizes) == 2_500
    assert 900 < max(sizes) <= 1_000
