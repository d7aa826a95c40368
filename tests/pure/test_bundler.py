"""The bundler: bundles grow with the load, and every caller gets the answer of its own publish."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from tests.factories import NOON, hex_id, make_settings
from turnout.base.breaker import Breaker
from turnout.base.errors import OutcomeUnknown, QueueUnavailable
from turnout.queue.batcher import Bundler
from turnout.votes.bundle import Bundle
from turnout.votes.settings import Settings
from turnout.votes.vote import Vote

VOTE = Vote("finals", 0)


class HeldPublisher:
    """Holds every publish until the test lets it go, or fails it."""

    def __init__(self) -> None:
        self.published: list[list[Bundle]] = []
        self.held: list[asyncio.Future[None]] = []

    async def publish(self, bundles: Sequence[Bundle], *, timeout_seconds: float) -> None:
        assert timeout_seconds > 0
        self.published.append(list(bundles))
        self.held.append(asyncio.get_running_loop().create_future())
        await self.held[-1]


class FailingPublisher(HeldPublisher):
    """Fails so many publishes, then takes them."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def publish(self, bundles: Sequence[Bundle], *, timeout_seconds: float) -> None:
        self.published.append(list(bundles))
        if len(self.published) <= self.failures:
            raise OutcomeUnknown("Pub/Sub", "the answer was lost")


def make_bundler(publisher: HeldPublisher, settings: Settings | None = None) -> Bundler:
    settings = settings or make_settings(backoff_first_seconds=0.001, backoff_max_seconds=0.001)
    ids = iter(range(1_000_000))
    return Bundler(
        publisher,
        Breaker(
            failures_max=settings.breaker_failures_max,
            open_seconds=settings.breaker_open_seconds,
            trials_max=settings.breaker_trials_max,
            monotonic=asyncio.get_running_loop().time,
        ),
        settings,
        clock=lambda: NOON,
        new_id=lambda: hex_id(next(ids)),
        chance=random.Random(1).random,
    )


async def turn() -> None:
    """Lets everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_lone_vote_is_sent_at_once_and_those_beside_it_come_along() -> None:
    publisher = HeldPublisher()
    bundler = make_bundler(publisher)
    for _ in range(3):
        bundler.add([VOTE])
    await turn()
    assert [bundle.votes for bundle in publisher.published[0]] == [3]
    publisher.held[0].set_result(None)
    await bundler.settle()


async def test_what_arrives_meanwhile_is_gathered_until_the_publish_returns() -> None:
    publisher = HeldPublisher()
    bundler = make_bundler(publisher)
    bundler.add([VOTE])
    await turn()
    waiting = [bundler.add([VOTE]) for _ in range(40)]
    await turn()
    assert len(publisher.published) == 1
    publisher.held[0].set_result(None)
    await turn()
    assert [bundle.votes for bundle in publisher.published[1]] == [40]
    assert not any(each.done() for each in waiting)
    publisher.held[1].set_result(None)
    await asyncio.gather(*waiting)


async def test_a_full_bundle_does_not_wait() -> None:
    publisher = HeldPublisher()
    bundler = make_bundler(publisher, make_settings(bundle_votes_max=10))
    bundler.add([VOTE])
    await turn()
    for _ in range(25):
        bundler.add([VOTE])
    await turn()
    assert [sum(bundle.votes for bundle in sent) for sent in publisher.published] == [1, 10, 10]
    while not all(held.done() for held in publisher.held):
        for held in publisher.held:
            if not held.done():
                held.set_result(None)
        await turn()
    await bundler.settle()
    assert bundler.unconfirmed_votes == 0


async def test_the_votes_of_a_request_are_published_together_one_bundle_a_poll() -> None:
    publisher = FailingPublisher(0)
    bundler = make_bundler(publisher, make_settings(bundle_votes_max=500))
    await bundler.add([Vote("finals", 0)] * 700 + [Vote("semis", 1)] * 300)
    (sent,) = publisher.published
    assert [(bundle.poll, bundle.votes) for bundle in sent] == [
        ("finals", 500),
        ("finals", 200),
        ("semis", 300),
    ]


async def test_a_lost_answer_is_answered_by_the_very_same_bundles() -> None:
    publisher = FailingPublisher(2)
    await make_bundler(publisher).add([VOTE])
    first, second, third = publisher.published
    assert first == second == third


async def test_a_failure_reaches_every_caller_of_its_publish_and_no_other() -> None:
    settings = make_settings(
        publish_deadline_seconds=0.01, publish_attempt_seconds=0.01, breaker_failures_max=1_000
    )
    publisher = FailingPublisher(10_000)
    bundler = make_bundler(publisher, settings)
    answers = await asyncio.gather(*(bundler.add([VOTE]) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [QueueUnavailable] * 5
    publisher.failures = 0
    await bundler.add([VOTE])
    assert bundler.unconfirmed_votes == 0


async def test_a_caller_that_goes_away_takes_no_answer_along() -> None:
    publisher = HeldPublisher()
    bundler = make_bundler(publisher)

    async def call() -> None:
        await bundler.add([VOTE])

    leaver, stayer = asyncio.create_task(call()), asyncio.create_task(call())
    await turn()
    leaver.cancel()
    await turn()
    publisher.held[0].set_result(None)
    await stayer
    with pytest.raises(asyncio.CancelledError):
        await leaver


async def test_beyond_its_buffer_it_refuses_and_holds_nothing_more() -> None:
    publisher = HeldPublisher()
    settings = make_settings(pending_votes_max=100, request_votes_max=100, publishes_in_flight_max=1)
    bundler = make_bundler(publisher, settings)
    bundler.add([VOTE] * 60)
    with pytest.raises(QueueUnavailable) as refused:
        bundler.add([VOTE] * 41)
    assert refused.value.retry_after_seconds >= 1
    bundler.add([VOTE] * 40)
    assert bundler.unconfirmed_votes == 100
    await turn()
    while bundler.unconfirmed_votes:
        publisher.held[-1].set_result(None)
        await turn()
    bundler.add([VOTE])
    await turn()
    publisher.held[-1].set_result(None)
    await bundler.settle()


async def test_an_open_breaker_refuses_at_once_and_closes_after_a_trial() -> None:
    settings = make_settings(
        publish_deadline_seconds=0.01,
        publish_attempt_seconds=0.01,
        breaker_failures_max=1,
        breaker_open_seconds=0.05,
        backoff_first_seconds=0.03,
        backoff_max_seconds=0.03,
    )
    publisher = FailingPublisher(1)
    bundler = make_bundler(publisher, settings)
    with pytest.raises(QueueUnavailable):
        await bundler.add([VOTE])
    with pytest.raises(QueueUnavailable):
        bundler.add([VOTE])
    assert len(publisher.published) == 1
    while True:
        try:
            await bundler.add([VOTE])
            break
        except QueueUnavailable as refused:
            await asyncio.sleep(min(refused.retry_after_seconds, 0.05))
    assert len(publisher.published) == 2
