"""The audit: every sum is compared with the one that it must equal, and each difference is named with its figures."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.factories import NOON, FixedClock, make_poll, make_settings
from tests.simulation.virtual import LoopClock, VirtualLoop
from turnout.base.errors import ServiceUnavailable
from turnout.memory.votes import MemoryCounters, MemoryPollStore, MemoryTallies
from turnout.votes.audit import READS_AGAIN, Audit, Verdict, ledger_may_have_expired
from turnout.votes.errors import PollUnknown
from turnout.votes.fold import Delta, Posting
from turnout.votes.ledger import BundleEntry, bundle_prefix
from turnout.votes.poll import Poll
from turnout.votes.tally import Tally

POLL = make_poll()
PERSISTED = Tally(poll=POLL.id, counts=(2, 1, 0), votes=3, duplicates=1, as_of=NOON)
SLOT = NOON + timedelta(minutes=1)


class Counters(MemoryCounters):
    """Fails as often as it is told, and knows how many read it at once."""

    failures = 0
    reading = 0
    reading_most = 0

    async def tally(self, poll: Poll) -> Tally:
        self.reading += 1
        self.reading_most = max(self.reading_most, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        if self.failures:
            self.failures -= 1
            raise ServiceUnavailable("Firestore", "it is away")
        return await super().tally(poll)


class Scene:
    """Books that balance at three votes and a duplicate."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FixedClock()
        self.polls = MemoryPollStore()
        self.counters = Counters(clock=self.clock)
        self.tallies = MemoryTallies()
        self.audit = Audit(
            self.polls,
            self.counters,
            self.tallies,
            make_settings(**settings),
            clock=self.clock,
            chance=lambda: 0.0,
        )

    async def count(self, poll: Poll = POLL) -> None:
        await self.polls.create(poll)
        entry = BundleEntry(bundle_prefix(poll.id) + "0" * 32, poll.id, 3, 1, 0, NOON)
        delta = Delta(poll.id, 1, {0: 2, 1: 1}, votes=3, duplicates=1, bundles=1)
        await self.counters.commit(Posting(bundles=(entry,), deltas=(delta,)))

    async def verdict(self, persisted: Tally | None = None) -> Verdict:
        await self.count()
        if persisted is not None:
            await self.tallies.put(persisted, POLL, SLOT)
        return await self.audit.audit(POLL.id)


async def test_books_that_balance_and_a_tally_that_agrees_are_exact() -> None:
    verdict = await Scene().verdict(PERSISTED)
    assert verdict.exact
    assert verdict.faults == ()
    assert verdict.persisted == PERSISTED
    assert verdict.books.shards.votes == 3
    assert not verdict.ledger_expired


async def test_a_poll_that_was_never_persisted_is_audited_by_its_books() -> None:
    assert (await Scene().verdict()).exact


async def test_a_poll_that_does_not_exist_is_not_audited() -> None:
    with pytest.raises(PollUnknown):
        await Scene().audit.audit("nowhere")


CERTIFIED = {"certified_at": NOON}


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"counts": (1, 1, 0), "votes": 2}, []),
        ({"counts": (1, 2, 0)}, ["has a choice with more votes"]),
        ({"counts": (2, 2, 0), "votes": 4}, ["has a choice with more votes", "holds 4 votes, the shards 3"]),
        ({"counts": (2, 0, 0)}, ["add up to 2 votes, its total says 3"]),
        (CERTIFIED, []),
        ({"counts": (1, 1, 0), "votes": 2, **CERTIFIED}, ["2 votes were certified, but the shards hold 3"]),
    ],
)
async def test_a_persisted_tally_may_be_behind_the_shards_and_never_ahead(
    changes: dict[str, Any], faults: Sequence[str]
) -> None:
    verdict = await Scene().verdict(msgspec.structs.replace(PERSISTED, **changes))
    assert len(verdict.faults) == len(faults)
    assert all(said in found for said, found in zip(faults, verdict.faults, strict=True))
    assert verdict.exact is not bool(faults)


@pytest.mark.parametrize("field", ["votes", "duplicates", "bundles"])
async def test_a_shard_that_was_changed_is_found(field: str) -> None:
    scene = Scene()
    await scene.count()
    shard = scene.counters.shard(POLL.id, 1)
    setattr(shard, field, getattr(shard, field) + 1)
    assert any(field in fault for fault in (await scene.audit.audit(POLL.id)).faults)


async def test_every_poll_is_audited_so_many_at_once_and_in_their_order() -> None:
    scene = Scene(persist_in_flight_max=2)
    for number in range(6):
        await scene.count(make_poll(id=f"poll-{number}", created_at=NOON - timedelta(minutes=number)))
    verdicts = await scene.audit.audit_all()
    assert [verdict.books.poll for verdict in verdicts] == [f"poll-{number}" for number in range(6)]
    assert all(verdict.exact for verdict in verdicts)
    assert scene.counters.reading_most == 2


def in_virtual_time(scene: Scene, *, everything: bool) -> float:
    """The seconds that an audit takes, the fault of a poll included."""
    loop = VirtualLoop(turns_max=100_000)
    scene.audit._clock = LoopClock(loop)

    async def audit() -> None:
        await scene.count()
        await (scene.audit.audit_all() if everything else scene.audit.audit(POLL.id))

    try:
        loop.run_until_complete(audit())
        return loop.time()
    finally:
        loop.close()


@pytest.mark.parametrize("everything", [True, False])
def test_an_audit_whose_reads_fail_begins_again_twice(everything: bool) -> None:  # noqa: FBT001
    scene = Scene()
    scene.counters.failures = 2
    assert in_virtual_time(scene, everything=everything) > 0
    scene = Scene()
    scene.counters.failures = 3
    with pytest.raises(ServiceUnavailable):
        in_virtual_time(scene, everything=everything)


def test_reads_are_tried_again_within_seconds() -> None:
    assert (READS_AGAIN.first_seconds, READS_AGAIN.max_seconds, READS_AGAIN.attempts_max) == (0.2, 2.0, 3)


async def test_a_ledger_that_may_have_expired_is_not_held_against_the_shards() -> None:
    scene = Scene(poll_days_max=10, message_retention_days=1)
    await scene.count()
    scene.counters.shard(POLL.id, 1).duplicates += 1
    # Ten days of a poll, a message twice in the queue and once among the dead, and a margin: the day's beginning.
    expiry = NOON.replace(hour=0) + timedelta(days=10 + 2 * 1 + 7 + 7)
    scene.clock.seconds = (expiry - NOON).total_seconds()
    assert ledger_may_have_expired(
        POLL, scene.clock.now(), make_settings(poll_days_max=10, message_retention_days=1)
    )
    verdict = await scene.audit.audit(POLL.id)
    assert verdict.exact
    assert verdict.ledger_expired
    scene.clock.seconds -= 1
    assert not (await scene.audit.audit(POLL.id)).exact
