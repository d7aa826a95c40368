"""The intake: who may vote how often, what is refused whole, and what a receipt says."""

import itertools
from datetime import timedelta
from typing import Any

import pytest

from tests.factories import DAY, NOON, FixedClock, hex_id, make_poll, make_settings
from turnout.base.errors import BatchRefused, ServiceUnavailable
from turnout.memory.queue import Mailbox, MemoryTopic
from turnout.memory.votes import MemoryPollStore
from turnout.votes.ballot import Ballot
from turnout.votes.bundle import decode
from turnout.votes.errors import ChoiceUnknown, KeyMissing, PollClosed, PollNotOpen, PollUnknown
from turnout.votes.intake import Receipt, assemble_intake
from turnout.votes.poll import OnePer, Poll
from turnout.votes.vote import Hasher

HASHER = Hasher(b"a pepper of this test")


class SlowPolls(MemoryPollStore):
    """Takes its time to answer."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__()
        self.seconds = 0.0
        self._clock = clock

    async def get(self, poll_id: str) -> Poll | None:
        self._clock.seconds += self.seconds
        return await super().get(poll_id)


class Scene:
    """An intake in memory."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FixedClock()
        self.polls = SlowPolls(self.clock)
        self.mailbox = Mailbox(clock=self.clock)
        numbers = itertools.count(1)
        self.intake = assemble_intake(
            MemoryTopic(self.mailbox),
            self.polls,
            HASHER,
            make_settings(**settings),
            clock=self.clock,
            chance=lambda: 0.5,
            new_id=lambda: hex_id(next(numbers)),
            new_vote_id=lambda: "drawn",
        )

    async def open(self, one_per: OnePer = OnePer.NONE, **changes: Any) -> "Scene":
        await self.polls.create(make_poll(one_per=one_per, **changes))
        return self

    @property
    def published(self) -> list[tuple[str, dict[int, int], tuple[tuple[bytes, int], ...]]]:
        bundles = [decode(message.data) for message in self.mailbox.lease(1_000, 600)]
        return [(bundle.poll, bundle.counts, bundle.keyed) for bundle in bundles]


async def scene(one_per: OnePer = OnePer.NONE, **changes: Any) -> Scene:
    return await Scene().open(one_per, **changes)


async def test_a_vote_is_in_the_queue_when_it_has_its_receipt() -> None:
    here = await scene()
    assert await here.intake.accept(Ballot("finals", "Bob")) == Receipt("drawn", "finals", "Bob", NOON)
    assert here.published == [("finals", {1: 1}, ())]


async def test_the_same_idempotency_key_gets_the_same_vote_id_and_another_key_another() -> None:
    here = await scene()
    first, again, other = [
        (await here.intake.accept(Ballot("finals", "Bob"), key)).vote_id for key in ("ann", "ann", "eve")
    ]
    assert first == again == HASHER.vote_id("finals", "ann", 0)
    assert other == HASHER.vote_id("finals", "eve", 0) != first


@pytest.mark.parametrize(
    ("one_per", "voter", "idempotency_key", "key"),
    [
        (OnePer.NONE, None, None, b""),
        (OnePer.NONE, "ann", None, b""),
        (OnePer.NONE, None, "again", HASHER.request_key("finals", "again", 0)),
        (OnePer.NONE, "ann", "again", HASHER.request_key("finals", "again", 0)),
        (OnePer.KEY, "ann", None, HASHER.voter_key("finals", "ann")),
        (OnePer.KEY, "ann", "again", HASHER.voter_key("finals", "ann")),
        (OnePer.KEY, None, "again", HASHER.request_key("finals", "again", 0)),
        (OnePer.VOTER, "ann", None, HASHER.voter_key("finals", "ann")),
        (OnePer.VOTER, "ann", "again", HASHER.voter_key("finals", "ann")),
    ],
    ids=str,
)
async def test_a_vote_bears_the_key_that_its_poll_asks_for(
    one_per: OnePer, voter: str | None, idempotency_key: str | None, key: bytes
) -> None:
    here = await scene(one_per)
    await here.intake.accept(Ballot("finals", "Ada", voter), idempotency_key)
    assert here.published == [("finals", {}, ((key, 0),)) if key else ("finals", {0: 1}, ())]


@pytest.mark.parametrize(
    ("one_per", "idempotency_key", "field"),
    [
        (OnePer.KEY, None, "Idempotency-Key"),
        (OnePer.VOTER, None, "/voter"),
        (OnePer.VOTER, "again", "/voter"),
    ],
)
async def test_a_vote_without_the_key_that_its_poll_asks_for_is_refused(
    one_per: OnePer, idempotency_key: str | None, field: str
) -> None:
    here = await scene(one_per)
    with pytest.raises(KeyMissing) as fault:
        await here.intake.accept(Ballot("finals", "Ada"), idempotency_key)
    assert fault.value.field == field
    assert here.published == []


@pytest.mark.parametrize(
    ("ballot", "moment", "fault"),
    [
        (Ballot("finals", "Zoe"), 0.0, ChoiceUnknown),
        (Ballot("others", "Ada"), 0.0, PollUnknown),
        (Ballot("finals", "Ada"), -0.001, PollNotOpen),
        (Ballot("finals", "Ada"), DAY.total_seconds(), PollClosed),
    ],
)
async def test_what_cannot_be_counted_is_refused(
    ballot: Ballot, moment: float, fault: type[Exception]
) -> None:
    here = await scene()
    here.clock.seconds = moment
    with pytest.raises(fault):
        await here.intake.accept(ballot)
    with pytest.raises(BatchRefused) as refused:
        await here.intake.accept_all([ballot])
    assert {index: type(each) for index, each in refused.value.faults.items()} == {0: fault}
    assert here.published == []


async def test_a_batch_is_taken_whole_with_a_receipt_for_each_in_order() -> None:
    here = await scene()
    await here.open(id="semis")
    ballots = [Ballot("finals", "Bob"), Ballot("semis", "Eve"), Ballot("finals", "Bob")]
    receipts = await here.intake.accept_all(ballots)
    assert [(each.poll, each.choice, each.accepted_at) for each in receipts] == [
        ("finals", "Bob", NOON),
        ("semis", "Eve", NOON),
        ("finals", "Bob", NOON),
    ]
    assert sorted(here.published) == [("finals", {1: 2}, ()), ("semis", {2: 1}, ())]


async def test_a_batch_under_one_idempotency_key_has_a_key_for_each_of_its_votes() -> None:
    here = await scene(OnePer.KEY)
    receipts = await here.intake.accept_all([Ballot("finals", "Ada")] * 3, "ann")
    assert [each.vote_id for each in receipts] == [HASHER.vote_id("finals", "ann", n) for n in range(3)]
    ((_, _, keys),) = here.published
    assert keys == tuple((HASHER.request_key("finals", "ann", n), 0) for n in range(3))


async def test_a_batch_with_faults_is_refused_whole_and_names_each() -> None:
    here = await scene()
    ballots = [Ballot("finals", "Ada"), Ballot("finals", "Zoe"), Ballot("no-poll", "Ada")]
    with pytest.raises(BatchRefused) as refused:
        await here.intake.accept_all(ballots)
    assert {index: type(fault) for index, fault in refused.value.faults.items()} == {
        1: ChoiceUnknown,
        2: PollUnknown,
    }
    assert here.published == []


@pytest.mark.parametrize("seconds", [4.999, 5.0])
async def test_a_poll_that_was_read_too_slowly_to_be_judged_by_promises_nothing(seconds: float) -> None:
    """It may have been closed by hand since: a close counts on nobody's knowing the poll for longer than 5 s."""
    here = await Scene(poll_cache_seconds=5.0).open(opens_at=NOON - timedelta(hours=1))
    here.polls.seconds = seconds
    if seconds < 5.0:
        await here.intake.accept(Ballot("finals", "Ada"))
        return
    with pytest.raises(ServiceUnavailable, match="too slowly"):
        await here.intake.accept(Ballot("finals", "Ada"))
    with pytest.raises(ServiceUnavailable, match="too slowly"):
        await here.intake.accept_all([Ballot("finals", "Ada")])
    assert here.published == []
