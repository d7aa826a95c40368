"""A drain that is told to stop, at any time: it exits within 10 s, holds nothing, and the count stays exact."""

from tests.faults.proxy import Fault
from tests.faults.side_by_side import begins_early, side_by_side
from tests.faults.world import (
    ALREADY_EXISTS,
    DRAINS,
    LEDGER,
    OK,
    POLLS,
    RED,
    ModifyAckDeadlineRequest,
    Promise,
    World,
    messages_in,
)


@side_by_side
async def test_stopped_while_its_first_record_is_under_way(world: World) -> None:
    poll, promise = await world.publish_votes()
    record = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=DRAINS, calls=1_000)
    drain = world.start_drain_unawaited()
    await record.arrived()
    assert await drain.terminate() < 10.0
    assert world.pubsub.seen("Pull") == []
    await world.drain_now()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_stopped_while_it_reads_a_poll(world: World) -> None:
    poll, promise = await world.publish_votes()
    reading = world.firestore.plan("BatchGetDocuments", Fault.HOLD_CALL, containing=POLLS, calls=1_000)
    drain = await world.start_drain(lease_messages_max=3)
    call = await reading.arrived()
    assert await drain.terminate() < 10.0
    assert call.told is None
    await world.expect_released(3)
    await world.drain_now()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_stopped_while_the_queue_is_empty(world: World) -> None:
    poll = await world.open_poll()
    drain = await world.start_drain(idle_seconds=60.0)
    await world.pubsub.until(lambda: bool(world.pubsub.seen("Pull")), "a pull")
    assert await drain.terminate() < 3.0
    await world.publish([world.bundle(poll, {RED: 2})])
    await world.expect_released(1)
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(2, 0), duplicates=0, bundles=1))


@side_by_side
async def test_stopped_while_its_commit_is_under_way_it_finishes_and_acknowledges(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER)
    drain = await world.start_drain(lease_messages_max=3)
    call = await commit.arrived()
    drain.terminate_soon()
    commit.let_go()
    await drain.end()
    assert call.told is OK
    assert world.pubsub.seen("Acknowledge")[0].applied == 1
    await world.drain_now()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_stopped_while_its_commit_never_ends_it_releases_and_another_drain_counts_at_once(
    world: World,
) -> None:
    poll, promise = await world.publish_votes()
    commits = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER, calls=1_000)
    drain = await world.start_drain(lease_messages_max=3, commit_attempt_seconds=9.0)
    late = await commits.arrived()
    assert await drain.terminate() < 10.0
    releases = [
        ModifyAckDeadlineRequest.FromString(call.request) for call in world.pubsub.seen("ModifyAckDeadline")
    ]
    assert [release.ack_deadline_seconds for release in releases][-1] == 0
    await world.expect_released(3)
    await world.drain_now()
    await world.expect_exact(poll, promise)
    commits.let_go()
    await world.firestore.until(lambda: bool(late.codes), "the late commit to be answered")
    assert late.codes == [ALREADY_EXISTS]
    await world.expect_exact(poll, promise)


@side_by_side
async def test_stopped_while_firestore_fails_it_releases_and_another_drain_counts_at_once(
    world: World,
) -> None:
    poll, promise = await world.publish_votes()
    commits = world.firestore.plan("Commit", Fault.DROP_CALL, containing=LEDGER, calls=1_000)
    drain = await world.start_drain(lease_messages_max=3, commit_attempts_max=1_000, backoff_max_seconds=20.0)
    await commits.arrived(3)
    assert await drain.terminate() < 10.0
    assert [call.codes for call in commits.calls if call.codes] == []
    await world.expect_released(3)
    await world.drain_now()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_stopped_while_it_pauses_before_a_release_it_releases_at_once(world: World) -> None:
    poll, promise = await world.publish_votes()
    commits = world.firestore.plan("Commit", Fault.DROP_CALL, containing=LEDGER, calls=1_000)
    drain = await world.start_drain(
        lease_messages_max=3, commit_attempts_max=1, backoff_first_seconds=30.0, backoff_max_seconds=30.0
    )
    await commits.arrived()
    await world.pubsub.until(lambda: "are released" in drain.log or bool(commits.calls[0].told), "the pause")
    assert await drain.terminate() < 5.0
    await world.expect_released(3)
    await world.drain_now()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_stopped_while_its_acknowledgement_is_under_way(world: World) -> None:
    poll, promise = await world.publish_votes()
    acknowledgement = world.pubsub.plan("Acknowledge", Fault.HOLD_ANSWER, calls=10)
    drain = await world.start_drain()
    call = await acknowledgement.applied()
    assert await drain.terminate() < 10.0
    assert call.told is None
    await world.drain_to_the_end()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_stopped_while_a_lease_is_on_the_way_to_it(world: World) -> None:
    poll, promise = await world.publish_votes()
    pull = world.pubsub.plan("Pull", Fault.HOLD_ANSWER)
    drain = await world.start_drain(lease_messages_max=3)
    leased = await pull.applied()
    drain.terminate_soon()
    pull.let_go()
    await drain.end()
    assert messages_in(leased)
    await world.expect_released(3, counted=await world.bundles_counted(poll))
    await world.drain_now()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_stopped_while_the_service_is_away_it_still_ends_in_time(world: World) -> None:
    poll, promise = await world.publish_votes()
    commits = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER)
    drain = await world.start_drain(commit_attempts_max=1_000)
    await commits.arrived()
    await world.firestore.go_away()
    await world.pubsub.go_away()
    assert await drain.terminate() < 10.0
    await world.drain_to_the_end()
    await world.expect_exact(poll, promise)


@side_by_side
@begins_early
async def test_stopped_again_and_again_while_votes_flow(world: World) -> None:
    poll = await world.open_poll()
    seconds = []
    for number in range(6):
        await world.publish(
            [world.bundle(poll, {RED: 10}, [(f"{number}-{each}", RED)]) for each in range(40)]
        )
        commit = world.firestore.plan(
            "Commit", Fault.DELAY_CALL, containing=LEDGER, delay_seconds=0.05 * number
        )
        drain = await world.start_drain(lanes=4, lease_messages_max=5, idle_seconds=60.0)
        await commit.arrived()
        seconds.append(await drain.terminate())
    assert max(seconds) < 10.0
    assert 0 < await world.bundles_counted(poll) < 240
    await world.expect_released(240, counted=await world.bundles_counted(poll))
    await world.drain_now()
    await world.expect_exact(poll, Promise(counts=(2_640, 0), duplicates=0, bundles=240))
