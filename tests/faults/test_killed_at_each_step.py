"""A drain killed with SIGKILL at a step of the counting, and another one after it: exact."""

from tests.faults.proxy import Fault
from tests.faults.side_by_side import side_by_side
from tests.faults.world import ALREADY_EXISTS, LEDGER, OK, ModifyAckDeadlineRequest, World, messages_in


@side_by_side
async def test_killed_while_its_lease_is_on_the_way(world: World) -> None:
    poll, promise = await world.publish_votes()
    pull = world.pubsub.plan("Pull", Fault.HOLD_ANSWER)
    drain = await world.start_drain()
    leased = await pull.applied()
    await drain.kill()
    assert messages_in(leased)
    assert leased.told is None
    assert await world.votes_counted(poll) == 0
    after = await world.drain_to_the_end()
    assert after.progress.bundles == 3
    await world.expect_exact(poll, promise)


@side_by_side
async def test_killed_before_its_commit(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER)
    drain = await world.start_drain()
    call = await commit.arrived()
    await drain.kill()
    assert (call.codes, call.told) == ([], None)
    assert await world.votes_counted(poll) == 0
    after = await world.drain_to_the_end()
    assert (after.progress.bundles, after.progress.conflicts) == (3, 0)
    await world.expect_exact(poll, promise)


@side_by_side
async def test_killed_after_its_commit(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.HOLD_ANSWER, containing=LEDGER)
    drain = await world.start_drain()
    call = await commit.applied()
    await drain.kill()
    assert (call.applied, call.told) == (1, None)
    assert await world.votes_counted(poll) > 0
    assert world.pubsub.seen("Acknowledge") == []
    after = await world.drain_to_the_end()
    assert after.progress.conflicts > 0
    await world.expect_exact(poll, promise)


@side_by_side
async def test_killed_before_its_acknowledgement(world: World) -> None:
    poll, promise = await world.publish_votes()
    acknowledgement = world.pubsub.plan("Acknowledge", Fault.HOLD_CALL)
    drain = await world.start_drain()
    call = await acknowledgement.arrived()
    await drain.kill()
    assert (call.codes, call.told) == ([], None)
    assert world.firestore.seen("Commit", LEDGER)[0].told is OK
    after = await world.drain_to_the_end()
    assert after.progress.conflicts > 0
    await world.expect_exact(poll, promise)


@side_by_side
async def test_killed_after_its_acknowledgement(world: World) -> None:
    poll, promise = await world.publish_votes()
    acknowledgement = world.pubsub.plan("Acknowledge", Fault.HOLD_ANSWER)
    drain = await world.start_drain()
    call = await acknowledgement.applied()
    await drain.kill()
    assert (call.applied, call.told) == (1, None)
    after = await world.drain_to_the_end()
    assert after.progress.conflicts == 0
    await world.expect_exact(poll, promise)


@side_by_side
async def test_killed_while_it_looks_up_what_was_counted(world: World) -> None:
    poll, promise = await world.publish_votes()
    world.firestore.plan("Commit", Fault.LOSE_ANSWER, containing=LEDGER)
    lookup = world.firestore.plan("BatchGetDocuments", Fault.HOLD_ANSWER, containing=LEDGER)
    drain = await world.start_drain()
    call = await lookup.applied()
    await drain.kill()
    first, second = world.firestore.seen("Commit", LEDGER)
    assert (first.codes, second.codes, call.told) == ([OK], [ALREADY_EXISTS], None)
    await world.drain_to_the_end()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_killed_and_its_commit_arrives_after_another_drain_has_counted(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER)
    drain = await world.start_drain()
    late = await commit.arrived()
    await drain.kill()
    await world.drain_to_the_end()
    await world.expect_exact(poll, promise)
    commit.let_go()
    await world.firestore.until(lambda: bool(late.codes), "the late commit to be answered")
    assert late.codes == [ALREADY_EXISTS]
    await world.expect_exact(poll, promise)


@side_by_side
async def test_killed_and_its_commit_arrives_before_another_drain_counts(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER)
    drain = await world.start_drain()
    late = await commit.arrived()
    await drain.kill()
    assert await world.votes_counted(poll) == 0
    commit.let_go()
    await commit.applied()
    assert (late.codes, late.told) == ([OK], None)
    after = await world.drain_to_the_end()
    assert after.progress.conflicts > 0
    await world.expect_exact(poll, promise)


@side_by_side
async def test_killed_while_it_shuts_down(world: World) -> None:
    poll, promise = await world.publish_votes()
    world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER)
    release = world.pubsub.plan("ModifyAckDeadline", Fault.HOLD_CALL)
    drain = await world.start_drain(lease_messages_max=3, shutdown_seconds=2.5)
    await world.firestore.until(lambda: bool(world.firestore.seen("Commit", LEDGER)), "the commit to arrive")
    drain.terminate_soon()
    call = await release.arrived()
    await drain.kill()
    assert ModifyAckDeadlineRequest.FromString(call.request).ack_deadline_seconds == 0
    assert (call.codes, call.told) == ([], None)
    await world.drain_to_the_end()
    await world.expect_exact(poll, promise)
