"""What the simulation, or the thought it took to write it, found in the core: each stays mended."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from pydantic import SecretStr

from tests.factories import FixedClock
from turnout.base.errors import ServiceUnavailable
from turnout.gcp.votes.settings import Settings
from turnout.memory.queue import Mailbox, MemoryConsumerLog, MemorySubscription, MemoryTopic
from turnout.memory.votes import MemoryCounters, MemoryPollStore, MemoryTallies
from turnout.queue.dead_letters import DeadLetterTopic
from turnout.queue.drained import why_not_drained
from turnout.queue.leases import Leases
from turnout.queue.message import Outgoing
from turnout.queue.ports import ConsumerRecord
from turnout.queue.progress import ConsumerProgress
from turnout.votes.ballot import Ballot
from turnout.votes.bundle import Bundle, encode
from turnout.votes.errors import AlreadyCounted, PollChanged
from turnout.votes.fold import Posting
from turnout.votes.handler import Counted, VoteHandler
from turnout.votes.intake import assemble_intake
from turnout.votes.persistence import Persistence
from turnout.votes.poll import Poll
from turnout.votes.poll_cache import PollCache
from turnout.votes.vote import Hasher

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SETTINGS = Settings(
    project="simulation",
    pepper=SecretStr("a pepper for tests"),
    backoff_first_seconds=0.001,
    backoff_max_seconds=0.002,
    commit_attempts_max=3,
)
POLL = Poll(
    id="finals",
    title="Finals",
    choices=("yes", "no"),
    opens_at=NOON - timedelta(hours=2),
    closes_at=NOON - timedelta(hours=1),
    created_at=NOON - timedelta(hours=2),
)


CLOCK = FixedClock()


def drain_record(name: str, *, started: float, seen: float, **moments: float) -> ConsumerRecord:
    """A record, with moments in seconds before noon."""
    ago = {field: NOON - timedelta(seconds=seconds) for field, seconds in moments.items()}
    return ConsumerRecord(
        id=name,
        started_at=NOON - timedelta(seconds=started),
        seen_at=NOON - timedelta(seconds=seen),
        **ago,
    )


def persistence(
    polls: MemoryPollStore, consumer_log: MemoryConsumerLog, tallies: MemoryTallies
) -> Persistence:
    return Persistence(polls, MemoryCounters(clock=CLOCK), consumer_log, tallies, SETTINGS, clock=CLOCK)


async def a_log_of_a_drained_queue() -> MemoryConsumerLog:
    consumer_log = MemoryConsumerLog()
    await consumer_log.record(drain_record("drain-1", started=40, seen=10, ended_at=10, empty_at=15))
    return consumer_log


def test_drains_that_start_every_minute_and_find_nothing_do_not_delay_certification() -> None:
    records = [drain_record("drain-1", started=40, seen=10, ended_at=10, empty_at=15)]

    assert why_not_drained(POLL.closes_at, records, SETTINGS) == ""


def test_a_drain_that_runs_does_not_hide_that_an_earlier_one_saw_the_queue_empty() -> None:
    records = [
        drain_record("drain-1", started=40, seen=30, ended_at=30, empty_at=35),
        drain_record("drain-2", started=20, seen=1, empty_at=3),
    ]

    assert why_not_drained(POLL.closes_at, records, SETTINGS) == ""


def test_a_lease_that_may_be_lost_delays_certification() -> None:
    records = [drain_record("drain-1", started=400, seen=10, ended_at=10, leased_at=70, empty_at=15)]

    assert why_not_drained(POLL.closes_at, records, SETTINGS) == "leases may still be under way"


def test_an_answer_that_was_under_way_when_the_queue_looked_empty_is_waited_for() -> None:
    records = [
        drain_record("drain-1", started=400, seen=10, ended_at=10, empty_at=15),
        drain_record("drain-2", started=400, seen=14),
    ]

    assert why_not_drained(POLL.closes_at, records, SETTINGS) == "leases may still be under way"


async def test_a_list_of_polls_that_fails_is_one_fault() -> None:
    class Unlistable(MemoryPollStore):
        async def list(self, limit: int) -> AsyncIterator[Poll]:
            if limit:
                raise ServiceUnavailable("polls", "away")
            yield POLL

    with pytest.raises(ServiceUnavailable):
        await persistence(Unlistable(), MemoryConsumerLog(), MemoryTallies()).persist_all(NOON)


async def test_a_poll_that_is_opened_again_meanwhile_gets_no_certified_tally() -> None:
    class OpenedAgain(MemoryPollStore):
        async def replace(self, old: Poll, new: Poll) -> None:
            raise PollChanged(old.id)

    polls, tallies = OpenedAgain(), MemoryTallies()
    await polls.create(POLL)

    with pytest.raises(PollChanged):
        await persistence(polls, await a_log_of_a_drained_queue(), tallies).certify(POLL.id)

    assert await tallies.get(POLL.id) is None


async def test_a_certification_that_was_cut_off_is_finished_by_the_next_run() -> None:
    polls, tallies = MemoryPollStore(), MemoryTallies()
    await polls.create(msgspec.structs.replace(POLL, certified_at=NOON))

    report = await persistence(polls, MemoryConsumerLog(), tallies).persist_all(NOON)

    tally = await tallies.get(POLL.id)
    assert report.certified == (POLL.id,)
    assert tally is not None
    assert tally.certified_at == NOON


async def test_a_poll_that_was_read_too_slowly_admits_no_vote() -> None:
    clock = FixedClock()

    class Slow(MemoryPollStore):
        async def get(self, poll_id: str) -> Poll | None:
            found = await super().get(poll_id)
            clock.seconds += SETTINGS.poll_cache_seconds
            return found

    polls = Slow()
    await polls.create(msgspec.structs.replace(POLL, closes_at=NOON + timedelta(hours=1)))
    topic = Mailbox(clock=clock)
    intake = assemble_intake(
        MemoryTopic(topic),
        polls,
        Hasher(b"a pepper for tests"),
        SETTINGS,
        clock=clock,
        chance=lambda: 0.5,
        new_id=lambda: "0" * 32,
        new_vote_id=lambda: "id",
    )

    with pytest.raises(ServiceUnavailable):
        await intake.accept(Ballot("finals", "yes"))
    with pytest.raises(ServiceUnavailable):
        await intake.accept_all([Ballot("finals", "yes")])

    assert len(topic) == 0


async def test_a_ledger_that_contradicts_itself_does_not_hold_a_lane_for_ever() -> None:
    class Contradicting(MemoryCounters):
        async def commit(self, posting: Posting) -> None:
            raise AlreadyCounted("A ledger entry exists.")

        async def existing(self, names: Sequence[str]) -> set[str]:
            return set()

    polls = MemoryPollStore()
    await polls.create(POLL)
    mailbox = Mailbox(clock=CLOCK)
    mailbox.put(Outgoing(encode(Bundle("0" * 32, "finals", 0, {0: 1}))))
    subscription = MemorySubscription(mailbox, ack_deadline_seconds=60, clock=CLOCK)
    leases = Leases(
        subscription,
        DeadLetterTopic(MemoryTopic(mailbox)),
        ConsumerProgress(),
        ack_deadline_seconds=60,
        lease_seconds_max=300,
        clock=CLOCK,
    )
    handler = VoteHandler(
        0,
        counters=Contradicting(clock=CLOCK),
        polls=PollCache(polls, SETTINGS, clock=CLOCK),
        counted=Counted(),
        settings=SETTINGS,
        clock=CLOCK,
        chance=lambda: 0.5,
    )
    messages = await subscription.lease(10, wait_seconds=0)
    leases.take(messages)

    with pytest.raises(ServiceUnavailable):
        await handler.handle(messages, leases)

    assert len(mailbox) == 1
    assert len(leases) == 1
