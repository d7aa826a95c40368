"""A step of the counting fails, or its answer is lost, and the drain lives on: exact."""

from tests.faults.proxy import Fault
from tests.faults.side_by_side import begins_early, side_by_side
from tests.faults.world import (
    ACK_DEADLINE_SECONDS,
    ALREADY_EXISTS,
    DRAINS,
    LEDGER,
    OK,
    POLLS,
    UNAVAILABLE,
    Promise,
    World,
    messages_in,
)

#: Attempts of one commit in these tests.
ATTEMPTS = 3


@side_by_side
async def test_a_lease_whose_answer_is_lost_comes_back(world: World) -> None:
    poll, promise = await world.publish_votes()
    pull = world.pubsub.plan("Pull", Fault.LOSE_ANSWER)
    drain = await world.start_drain()
    leased = await pull.applied()
    await drain.end()
    assert (bool(messages_in(leased)), leased.told) == (True, UNAVAILABLE)
    await world.drain_to_the_end()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_a_poll_that_cannot_be_read_is_read_again(world: World) -> None:
    poll, promise = await world.publish_votes()
    reading = world.firestore.plan("BatchGetDocuments", Fault.DROP_CALL, containing=POLLS, calls=2)
    drain = await world.start_drain()
    await drain.end()
    assert [call.told for call in reading.calls] == [UNAVAILABLE, UNAVAILABLE]
    await world.expect_exact(poll, promise)


@side_by_side
async def test_a_commit_that_never_arrives_is_made_again(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.DROP_CALL, containing=LEDGER)
    drain = await world.start_drain()
    await drain.end()
    assert (commit.calls[0].codes, commit.calls[0].told) == ([], UNAVAILABLE)
    assert world.firestore.seen("Commit", LEDGER)[1].request == commit.calls[0].request
    await world.expect_exact(poll, promise)


@side_by_side
async def test_a_commit_whose_answer_is_lost_counts_once(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.LOSE_ANSWER, containing=LEDGER)
    drain = await world.start_drain()
    await drain.end()
    assert (commit.calls[0].codes, commit.calls[0].told) == ([OK], UNAVAILABLE)
    again = world.firestore.seen("Commit", LEDGER)[1]
    assert again.request == commit.calls[0].request
    assert again.codes == [ALREADY_EXISTS]
    await world.expect_exact(poll, promise)


@side_by_side
async def test_a_commit_whose_every_answer_is_lost_is_released_and_counts_once(world: World) -> None:
    poll, promise = await world.publish_votes()
    commits = world.firestore.plan("Commit", Fault.LOSE_ANSWER, containing=LEDGER, calls=ATTEMPTS)
    drain = await world.start_drain(commit_attempts_max=ATTEMPTS)
    await drain.end()
    assert [call.codes for call in commits.calls] == [[OK], [ALREADY_EXISTS], [ALREADY_EXISTS]]
    assert {call.told for call in commits.calls} == {UNAVAILABLE}
    assert len(world.pubsub.seen("ModifyAckDeadline")) >= 1
    await world.expect_exact(poll, promise)


@side_by_side
async def test_a_commit_that_the_network_doubles_counts_once(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.DOUBLE_CALL, containing=LEDGER)
    drain = await world.start_drain()
    await drain.end()
    assert (commit.calls[0].codes, commit.calls[0].told) == ([OK, ALREADY_EXISTS], ALREADY_EXISTS)
    await world.expect_exact(poll, promise)


@side_by_side
async def test_a_commit_that_is_too_slow_and_arrives_after_its_repetition_counts_once(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER)
    drain = await world.start_drain(commit_attempt_seconds=1.0)
    await drain.end()
    late = commit.calls[0]
    assert (late.codes, late.abandoned) == ([], True)
    await world.expect_exact(poll, promise)
    commit.let_go()
    await world.firestore.until(lambda: bool(late.codes), "the late commit to be answered")
    assert late.codes == [ALREADY_EXISTS]
    await world.expect_exact(poll, promise)


@side_by_side
async def test_a_commit_that_is_too_slow_and_was_applied_counts_once(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.HOLD_ANSWER, containing=LEDGER)
    drain = await world.start_drain(commit_attempt_seconds=1.0)
    await drain.end()
    assert (commit.calls[0].codes, commit.calls[0].abandoned) == ([OK], True)
    await world.expect_exact(poll, promise)


@side_by_side
async def test_a_lookup_that_fails_after_a_conflict_is_made_again(world: World) -> None:
    poll, promise = await world.publish_votes()
    commit = world.firestore.plan("Commit", Fault.LOSE_ANSWER, containing=LEDGER)
    lookup = world.firestore.plan("BatchGetDocuments", Fault.DROP_CALL, containing=LEDGER)
    drain = await world.start_drain()
    await drain.end()
    assert (commit.calls[0].codes, lookup.calls[0].told) == ([OK], UNAVAILABLE)
    await world.expect_exact(poll, promise)


@side_by_side
async def test_an_acknowledgement_that_never_arrives_brings_the_votes_back_and_they_stop_at_the_ledger(
    world: World,
) -> None:
    poll, promise = await world.publish_votes()
    lost = world.pubsub.plan("Acknowledge", Fault.DROP_CALL, calls=10)
    drain = await world.start_drain()
    await drain.end()
    assert {(call.applied, call.told) for call in lost.calls} == {(0, UNAVAILABLE)}
    assert await world.votes_counted(poll) == sum(promise.counts)
    after = await world.drain_to_the_end()
    assert (after.progress.messages, after.progress.bundles) == (3, 0)
    await world.expect_exact(poll, promise)


@side_by_side
async def test_an_acknowledgement_whose_answer_is_lost_has_settled_the_votes(world: World) -> None:
    poll, promise = await world.publish_votes()
    lost = world.pubsub.plan("Acknowledge", Fault.LOSE_ANSWER, calls=10)
    drain = await world.start_drain()
    await drain.end()
    assert {(call.applied, call.told) for call in lost.calls} == {(1, UNAVAILABLE)}
    after = await world.drain_to_the_end()
    assert after.progress.messages == 0
    await world.expect_exact(poll, promise)


@side_by_side
@begins_early
async def test_a_lease_that_expires_under_a_slow_commit_is_counted_by_another_drain_alone(
    world: World,
) -> None:
    poll, promise = await world.publish_votes()
    commits = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER, calls=1_000)
    extensions = world.pubsub.plan("ModifyAckDeadline", Fault.DROP_CALL, calls=1_000)
    slow = await world.start_drain(commit_attempts_max=1_000, commit_attempt_seconds=9.0)
    await commits.arrived()
    other = await world.start_drain(await world.open_proxies(), idle_seconds=12.0)
    await extensions.arrived()
    await world.until_counted(poll, sum(promise.counts))
    assert slow.running
    assert commits.calls[0].codes == []
    commits.let_go()
    await other.end()
    await slow.end()
    assert {code for call in commits.calls for code in call.codes} == {ALREADY_EXISTS}
    assert {call.told for call in extensions.calls} == {UNAVAILABLE}
    await world.expect_exact(poll, promise)


@side_by_side
@begins_early
async def test_a_lease_that_is_extended_stays_with_its_drain_beyond_its_deadline(world: World) -> None:
    poll, promise = await world.publish_votes()
    commits = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER, calls=1_000)
    slow = await world.start_drain(
        lease_messages_max=3, commit_attempts_max=1_000, commit_attempt_seconds=9.0
    )
    await commits.arrived()
    proxies = await world.open_proxies()
    other = await world.start_drain(proxies, idle_seconds=ACK_DEADLINE_SECONDS + 2.0)
    await other.end()
    assert len(world.pubsub.seen("ModifyAckDeadline")) >= 3
    assert [message for pull in proxies[0].seen("Pull") for message in messages_in(pull)] == []
    assert await world.votes_counted(poll) == 0
    commits.let_go()
    await slow.end()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_two_lanes_with_the_same_bundle_count_it_once(world: World) -> None:
    poll = await world.open_poll()
    bundle = world.bundle(poll, {0: 5}, [("ann", 1)])
    # As a publisher does that was not told of its first success.
    await world.publish([bundle])
    await world.publish([bundle])
    commits = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER, calls=2)
    drain = await world.start_drain(lanes=2, lease_messages_max=1)
    await commits.arrived(2)
    commits.let_go()
    await drain.end()
    name = bundle.id.encode()
    assert [name in call.request for call in commits.calls] == [True, True]
    assert sorted(code.name for call in commits.calls for code in call.codes) == ["ALREADY_EXISTS", "OK"]
    await world.expect_exact(poll, Promise(counts=(5, 1), duplicates=0, bundles=1))


@side_by_side
async def test_two_lanes_with_the_same_key_count_one_vote_and_one_duplicate(world: World) -> None:
    poll = await world.open_poll()
    await world.publish([world.bundle(poll, {}, [("ann", 1), ("ben", 0)])])
    await world.publish([world.bundle(poll, {}, [("ann", 1), ("eve", 0)])])
    commits = world.firestore.plan("Commit", Fault.HOLD_CALL, containing=LEDGER, calls=2)
    drain = await world.start_drain(lanes=2, lease_messages_max=1)
    await commits.arrived(2)
    commits.let_go()
    await drain.end()
    assert sorted(code.name for call in commits.calls for code in call.codes) == ["ALREADY_EXISTS", "OK"]
    await world.expect_exact(poll, Promise(counts=(2, 1), duplicates=1, bundles=2))


@side_by_side
async def test_a_heartbeat_that_fails_too_long_stops_the_leasing_and_then_it_goes_on(world: World) -> None:
    poll = await world.open_poll()
    drain = await world.start_drain(heartbeat_seconds=0.5, idle_seconds=8.0)
    beats = world.firestore.plan("Commit", Fault.DROP_CALL, containing=DRAINS, calls=6)
    await beats.arrived(6)
    assert "it was not written in time, so nothing is leased" in drain.log
    await world.publish([world.bundle(poll, {0: 7})])
    await drain.end()
    assert {call.told for call in beats.calls} == {UNAVAILABLE}
    await world.expect_exact(poll, Promise(counts=(7, 0), duplicates=0, bundles=1))
