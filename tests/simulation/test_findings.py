"""What the simulation, or the thought it took to write it, found in the core: each stays mended."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from pydantic import SecretStr

from turnout.base.breaker import Breaker
from turnout.base.errors import AlreadyCounted, PollChanged, ServiceUnavailable
from turnout.memory import (
    MemoryCounters,
    MemoryDeadLetters,
    MemoryDrainLog,
    MemoryPolls,
    MemoryPublisher,
    MemoryQueue,
    MemoryTallies,
    Topic,
)
from turnout.queue.batcher import Bundler
from turnout.queue.drained import why_not_drained
from turnout.queue.leases import Holdings
from turnout.votes.ballot import Ballot
from turnout.votes.bundle import Bundle, encode
from turnout.votes.fold import Posting
from turnout.votes.handler import Lane, Progress
from turnout.votes.intake import Intake
from turnout.votes.persistence import Persistence
from turnout.votes.poll import Poll
from turnout.votes.poll_cache import PollCache
from turnout.votes.ports import DrainRecord
from turnout.votes.settings import Settings
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


def noon() -> datetime:
    return NOON


def drain_record(name: str, *, started: float, seen: float, **moments: float) -> DrainRecord:
    """A record, with moments in seconds before noon."""
    ago = {field: NOON - timedelta(seconds=seconds) for field, seconds in moments.items()}
    return DrainRecord(
        id=name,
        started_at=NOON - timedelta(seconds=started),
        seen_at=NOON - timedelta(seconds=seen),
        **ago,
    )


def persistence(polls: MemoryPolls, drain_log: MemoryDrainLog, tallies: MemoryTallies) -> Persistence:
    return Persistence(polls, MemoryCounters(clock=noon), drain_log, tallies, SETTINGS, clock=noon)


async def a_log_of_a_drained_queue() -> MemoryDrainLog:
    drain_log = MemoryDrainLog()
    await drain_log.record(drain_record("drain-1", started=40, seen=10, ended_at=10, empty_at=15))
    return drain_log


def test_drains_that_start_every_minute_and_find_nothing_do_not_delay_certification() -> None:
    records = [drain_record("drain-1", started=40, seen=10, ended_at=10, empty_at=15)]

    assert why_not_drained(POLL, records, SETTINGS) == ""


def test_a_drain_that_runs_does_not_hide_that_an_earlier_one_saw_the_queue_empty() -> None:
    records = [
        drain_record("drain-1", started=40, seen=30, ended_at=30, empty_at=35),
        drain_record("drain-2", started=20, seen=1, empty_at=3),
    ]

    assert why_not_drained(POLL, records, SETTINGS) == ""


def test_a_lease_that_may_be_lost_delays_certification() -> None:
    records = [drain_record("drain-1", started=400, seen=10, ended_at=10, leased_at=70, empty_at=15)]

    assert why_not_drained(POLL, records, SETTINGS) == "leases may still be under way"


def test_an_answer_that_was_under_way_when_the_queue_looked_empty_is_waited_for() -> None:
    records = [
        drain_record("drain-1", started=400, seen=10, ended_at=10, empty_at=15),
        drain_record("drain-2", started=400, seen=14),
    ]

    assert why_not_drained(POLL, records, SETTINGS) == "leases may still be under way"


async def test_a_list_of_polls_that_fails_is_one_fault() -> None:
    class Unlistable(MemoryPolls):
        async def list(self, limit: int) -> AsyncIterator[Poll]:
            if limit:
                raise ServiceUnavailable("polls", "away")
            yield POLL

    with pytest.raises(ServiceUnavailable):
        await persistence(Unlistable(), MemoryDrainLog(), MemoryTallies()).persist_all(NOON)


async def test_a_poll_that_is_opened_again_meanwhile_gets_no_certified_tally() -> None:
    class OpenedAgain(MemoryPolls):
        async def replace(self, old: Poll, new: Poll) -> None:
            raise PollChanged(old.id)

    polls, tallies = OpenedAgain(), MemoryTallies()
    await polls.create(POLL)

    with pytest.raises(PollChanged):
        await persistence(polls, await a_log_of_a_drained_queue(), tallies).certify(POLL.id)

    assert await tallies.get(POLL.id) is None


async def test_a_certification_that_was_cut_off_is_finished_by_the_next_run() -> None:
    polls, tallies = MemoryPolls(), MemoryTallies()
    await polls.create(msgspec.structs.replace(POLL, certified_at=NOON))

    report = await persistence(polls, MemoryDrainLog(), tallies).persist_all(NOON)

    tally = await tallies.get(POLL.id)
    assert report.certified == (POLL.id,)
    assert tally is not None
    assert tally.certified_at == NOON


async def test_a_poll_that_was_read_too_slowly_admits_no_vote() -> None:
    seconds = [0.0]

    class Slow(MemoryPolls):
        async def get(self, poll_id: str) -> Poll | None:
            found = await super().get(poll_id)
            seconds[0] += SETTINGS.poll_cache_seconds
            return found

    def monotonic() -> float:
        return seconds[0]

    polls = Slow()
    await polls.create(msgspec.structs.replace(POLL, closes_at=NOON + timedelta(hours=1)))
    topic = Topic(monotonic=monotonic, clock=noon)
    breaker = Breaker(failures_max=5, open_seconds=1, trials_max=1, monotonic=monotonic)
    bundler = Bundler(
        MemoryPublisher(topic), breaker, SETTINGS, clock=noon, new_id=lambda: "0" * 32, chance=lambda: 0.5
    )
    cache = PollCache(polls, seconds=SETTINGS.poll_cache_seconds, polls_max=10, monotonic=monotonic)
    intake = Intake(cache, bundler, Hasher(b"a pepper for tests"), clock=noon, new_vote_id=lambda: "id")

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

    def monotonic() -> float:
        return 0.0

    polls = MemoryPolls()
    await polls.create(POLL)
    topic = Topic(monotonic=monotonic, clock=noon)
    topic.put(encode(Bundle("0" * 32, "finals", 0, {0: 1})))
    queue = MemoryQueue(topic, ack_deadline_seconds=60, monotonic=monotonic)
    lane = Lane(
        0,
        counters=Contradicting(clock=noon),
        polls=PollCache(polls, seconds=5, polls_max=10, monotonic=monotonic),
        dead_letters=MemoryDeadLetters(topic),
        holdings=Holdings(queue, ack_deadline_seconds=60, lease_seconds_max=300, monotonic=monotonic),
        progress=Progress(),
        settings=SETTINGS,
        clock=noon,
        chance=lambda: 0.5,
    )

    with pytest.raises(ServiceUnavailable):
        await lane.count_lease(await queue.lease(10, wait_seconds=0))

    assert len(topic) == 1
