"""Faults between a vote's POST and its safety in the queue: a 2xx is a promise, and everything else is not."""

import asyncio
from http import HTTPStatus

import aiohttp
import pytest

from tests.faults.proxy import Fault
from tests.faults.side_by_side import side_by_side
from tests.faults.world import BLUE, OK, RED, UNAVAILABLE, Promise, World, accepted

VOTES = b"/topics/votes"


@side_by_side
async def test_a_publisher_told_unavailable_after_its_publish_went_through_counts_once(world: World) -> None:
    poll = await world.open_poll()
    publish = world.pubsub.plan("Publish", Fault.LOSE_ANSWER, containing=VOTES)
    function = await world.start_vote_function()
    status, _ = await function.vote(poll, BLUE)
    assert accepted(status)
    first, second = world.pubsub.seen("Publish", VOTES)
    assert (first.codes, first.told) == ([OK], UNAVAILABLE)
    assert (second.codes, second.told) == ([OK], OK)
    assert publish.calls == [first]
    assert second.request == first.request
    after = await world.drain_now()
    assert (after.progress.messages, after.progress.bundles) == (2, 1)
    await world.expect_exact(poll, Promise(counts=(0, 1), duplicates=0, bundles=1))


@side_by_side
async def test_a_publish_that_the_network_doubles_counts_once(world: World) -> None:
    poll = await world.open_poll()
    world.pubsub.plan("Publish", Fault.DOUBLE_CALL, containing=VOTES)
    function = await world.start_vote_function()
    status, _ = await function.vote(poll)
    assert accepted(status)
    assert world.pubsub.seen("Publish", VOTES)[0].codes == [OK, OK]
    after = await world.drain_now()
    assert (after.progress.messages, after.progress.bundles) == (2, 1)
    await world.expect_exact(poll, Promise(counts=(1, 0), duplicates=0, bundles=1))


@side_by_side
async def test_a_publish_that_never_arrives_is_made_again(world: World) -> None:
    poll = await world.open_poll()
    publish = world.pubsub.plan("Publish", Fault.DROP_CALL, containing=VOTES, calls=2)
    function = await world.start_vote_function()
    status, _ = await function.vote(poll)
    assert accepted(status)
    assert [call.told for call in publish.calls] == [UNAVAILABLE, UNAVAILABLE]
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(1, 0), duplicates=0, bundles=1))


@side_by_side
async def test_a_vote_that_was_not_confirmed_and_is_sent_again_with_its_key_counts_once(world: World) -> None:
    poll = await world.open_poll()
    lost = world.pubsub.plan("Publish", Fault.LOSE_ANSWER, containing=VOTES, calls=1_000)
    function = await world.start_vote_function(
        publish_deadline_seconds=1.0, publish_attempt_seconds=0.5, breaker_failures_max=1_000
    )
    status, headers = await function.vote(poll, key="ann-1")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert int(headers["Retry-After"]) >= 1
    # The last attempt may have been given up before its answer was lost, or before it was forwarded.
    assert (1, UNAVAILABLE) in {(call.applied, call.told) for call in lost.calls}
    assert {call.told for call in lost.calls} <= {UNAVAILABLE, None}
    lost.stop()
    status, _ = await function.vote(poll, key="ann-1")
    assert accepted(status)
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(1, 0), duplicates=1, bundles=2))


@side_by_side
async def test_a_function_killed_before_its_publish_has_promised_nothing(world: World) -> None:
    poll = await world.open_poll()
    publish = world.pubsub.plan("Publish", Fault.HOLD_CALL, containing=VOTES)
    function = await world.start_vote_function()
    voting = asyncio.create_task(function.vote(poll, key="ann-1"))
    call = await publish.arrived()
    await function.kill()
    with pytest.raises(aiohttp.ClientError):
        await voting
    assert (call.codes, call.told) == ([], None)
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(0, 0), duplicates=0, bundles=0))


@side_by_side
async def test_a_vote_whose_function_was_killed_after_its_publish_is_sent_again_and_counts_once(
    world: World,
) -> None:
    poll = await world.open_poll()
    publish = world.pubsub.plan("Publish", Fault.HOLD_ANSWER, containing=VOTES)
    function = await world.start_vote_function()
    voting = asyncio.create_task(function.vote(poll, key="ann-1"))
    call = await publish.applied()
    await function.kill()
    with pytest.raises(aiohttp.ClientError):
        await voting
    assert (call.applied, call.told) == (1, None)
    another = await world.start_vote_function()
    status, _ = await another.vote(poll, key="ann-1")
    assert accepted(status)
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(1, 0), duplicates=1, bundles=2))


@side_by_side
async def test_a_function_told_to_stop_answers_the_requests_that_it_has(world: World) -> None:
    poll = await world.open_poll()
    publish = world.pubsub.plan("Publish", Fault.HOLD_ANSWER, containing=VOTES)
    function = await world.start_vote_function()
    voters = [asyncio.create_task(function.vote(poll, RED)) for _ in range(30)]
    await publish.applied()
    stopping = asyncio.create_task(function.terminate())
    await world.until_refused(function)
    assert not any(voter.done() for voter in voters)
    publish.let_go()
    statuses = [status for status, _ in await asyncio.gather(*voters)]
    assert statuses == [HTTPStatus.ACCEPTED] * 30
    await stopping
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(30, 0), duplicates=0))
