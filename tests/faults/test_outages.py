"""A service is away while votes flow, and comes back: callers are told so, and nothing is lost."""

import asyncio
import time
from http import HTTPStatus

import pytest

from tests.deadlines import WAIT_SECONDS_MAX
from tests.faults.proxy import Fault, Proxy
from tests.faults.running import Function
from tests.faults.side_by_side import begins_early, side_by_side
from tests.faults.world import LEDGER, OK, RED, Promise, World, accepted
from turnout.votes.poll import Poll

VOTERS = 40
BREAKER_OPEN_SECONDS = 1.0
#: What the function is told: an outage shows soon.
IMPATIENT = {
    "publish_deadline_seconds": 1.0,
    "publish_attempt_seconds": 0.5,
    "breaker_failures_max": 3,
    "breaker_open_seconds": BREAKER_OPEN_SECONDS,
}


async def vote_until_accepted(
    function: Function, poll: Poll, voter: int, refused: asyncio.Queue[int]
) -> None:
    """Does what a client should: the same vote again, under the same key, when Retry-After says."""
    while True:
        status, headers = await function.vote(poll, RED, key=f"voter-{voter}")
        if accepted(status):
            return
        assert status == HTTPStatus.SERVICE_UNAVAILABLE
        refused.put_nowait(voter)
        await asyncio.sleep(int(headers["Retry-After"]))


@side_by_side
async def test_pubsub_is_away_while_votes_flow_and_the_breaker_opens_and_closes(world: World) -> None:
    poll = await world.open_poll()
    function = await world.start_vote_function(**IMPATIENT)
    await vote_until_accepted(function, poll, VOTERS, asyncio.Queue())
    await world.pubsub.go_away()
    published = len(world.pubsub.seen("Publish"))
    refused: asyncio.Queue[int] = asyncio.Queue()
    async with asyncio.timeout(WAIT_SECONDS_MAX), asyncio.TaskGroup() as voters:
        for voter in range(VOTERS):
            voters.create_task(vote_until_accepted(function, poll, voter, refused))
        await until_each_was_refused(refused)
        await until_refused_at_once(function, poll)
        assert len(world.pubsub.seen("Publish")) == published
        await world.pubsub.come_back()
    await vote_until_accepted(function, poll, VOTERS + 1, refused)
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(VOTERS + 2, 0)))


async def until_refused_at_once(function: Function, poll: Poll) -> None:
    """Asks until the open breaker refuses at once: nobody waits for a publish that will not come.

    A publish that is tried takes its whole deadline here; a busy machine can make any one refusal slow, but not all.
    """
    while True:
        began_at = time.monotonic()
        status, document, headers = await function.post(
            "/vote", {"poll": poll.id, "choice": "red"}, key="probe"
        )
        took_seconds = time.monotonic() - began_at
        assert status == HTTPStatus.SERVICE_UNAVAILABLE
        assert int(headers["Retry-After"]) >= 1
        by_the_breaker = "The queue does not answer" in document["detail"]
        if by_the_breaker and took_seconds < IMPATIENT["publish_deadline_seconds"] / 2:
            return


async def until_each_was_refused(refused: asyncio.Queue[int]) -> None:
    """Waits until each voter was refused at least once."""
    voters: set[int] = set()
    while len(voters) < VOTERS:
        voters.add(await refused.get())


async def vote_until_refused(function: Function, poll: Poll) -> None:
    """Casts the same vote, under the same key, until it is refused for the first time."""
    while accepted((await function.vote(poll, RED, key="voter-0"))[0]):
        pass


@side_by_side
async def test_firestore_is_away_while_votes_flow(world: World) -> None:
    poll = await world.open_poll()
    function = await world.start_vote_function(poll_cache_seconds=0.2)
    assert accepted((await function.vote(poll))[0])
    await world.firestore.go_away()
    polls_read = len(world.firestore.seen("BatchGetDocuments"))
    refused: asyncio.Queue[int] = asyncio.Queue()
    async with asyncio.timeout(WAIT_SECONDS_MAX), asyncio.TaskGroup() as voters:
        # What an instance has read of a poll, it trusts for a while; then it refuses.
        await vote_until_refused(function, poll)
        for voter in range(VOTERS):
            voters.create_task(vote_until_accepted(function, poll, voter, refused))
        await until_each_was_refused(refused)
        assert len(world.firestore.seen("BatchGetDocuments")) == polls_read
        await world.firestore.come_back()
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(VOTERS + 1, 0)))


@side_by_side
@begins_early
async def test_firestore_is_away_while_votes_are_counted(world: World) -> None:
    await drain_through_an_outage(world, world.firestore)


@side_by_side
@begins_early
async def test_pubsub_is_away_while_votes_are_counted(world: World) -> None:
    await drain_through_an_outage(world, world.pubsub)


async def drain_through_an_outage(world: World, away: Proxy) -> None:
    """The service goes away in the middle of a commit that was applied, and is back some failed attempts later."""
    poll = await world.open_poll()
    await world.publish([world.bundle(poll, {RED: 10}, [(f"voter-{each}", RED)]) for each in range(30)])
    commit = world.firestore.plan("Commit", Fault.HOLD_ANSWER, containing=LEDGER)
    drain = await world.start_drain(lanes=2, lease_messages_max=5, idle_seconds=6.0)
    held = await commit.applied()
    await away.go_away()
    commit.let_go()
    await drain.until_logged("is unavailable")
    counted = await world.bundles_counted(poll)
    assert held.codes == [OK]
    assert counted < 30
    await away.come_back()
    await drain.end()
    await world.drain_to_the_end()
    await world.expect_exact(poll, Promise(counts=(330, 0), duplicates=0, bundles=30))


@side_by_side
async def test_a_drain_that_finds_firestore_away_ends_with_a_fault_and_the_next_one_counts(
    world: World,
) -> None:
    poll, promise = await world.publish_votes()
    await world.firestore.go_away()
    drain = await world.start_drain(commit_attempts_max=2)
    with pytest.raises(AssertionError, match="job failed"):
        await drain.end()
    assert world.pubsub.seen("Pull") == []
    await world.firestore.come_back()
    drain = await world.start_drain()
    await drain.end()
    await world.expect_exact(poll, promise)
