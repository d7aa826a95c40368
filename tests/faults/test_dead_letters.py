"""Messages that cannot be read: they never stop the drain, end in the dead-letter topic, and can be sent again."""

import msgspec

from tests.faults.proxy import Fault
from tests.faults.side_by_side import side_by_side
from tests.faults.world import BLUE, OK, RED, UNAVAILABLE, Promise, World
from turnout.votes.bundle import Bundle, encode
from turnout.votes.poll import Poll

DEAD = b"/topics/votes-dead"
#: Each with a part of the reason that a person reads.
MALFORMED: dict[str, tuple[bytes, str]] = {
    "noise": (b"\xff\x00\xfe no bundle", "The data is not a bundle"),
    "nothing but an attribute": (b"", "The data is not a bundle"),
    "json of the wrong kind": (b'{"poll": "finals", "choice": "red"}', "The data is not a bundle"),
    "nested without end": (b"\x91" * 100_000, "The data is not a bundle"),
    "a future format": (
        msgspec.msgpack.encode(["0" * 32, "finals", 1, {0: 1}, [], "turnout/2"]),
        "its format is not",
    ),
    "an id that is none": (
        msgspec.msgpack.encode(["../x", "finals", 1, {0: 1}]),
        "its id is not 32 hex digits",
    ),
    "fewer than no votes": (msgspec.msgpack.encode(["0" * 32, "finals", 1, {0: -5}]), "a count is below 1"),
    "a choice that the poll has not": (
        encode(Bundle("1" * 32, "finals", 1, {7: 1})),
        "no choice with index 7",
    ),
    "a poll that is not there": (encode(Bundle("2" * 32, "later", 1, {RED: 3})), "no poll 'later'"),
}


async def publish_malformed(world: World, poll: Poll) -> Promise:
    """Publishes what cannot be read, each between two bundles that can."""
    for data, _ in MALFORMED.values():
        await world.publish([world.bundle(poll, {RED: 1})])
        await world.publish_raw(data, {} if data else {"from": "somebody"})
        await world.publish([world.bundle(poll, {BLUE: 1})])
    each = len(MALFORMED)
    return Promise(counts=(each, each), duplicates=0, bundles=2 * each)


@side_by_side
async def test_malformed_messages_end_in_the_dead_letter_topic_and_the_rest_is_counted(world: World) -> None:
    poll = await world.open_poll()
    promise = await publish_malformed(world, poll)
    drain = await world.start_drain()
    await drain.end()
    await world.expect_exact(poll, promise)
    letters = await world.dead_letters.look(100)
    assert len(letters) == len(MALFORMED)
    for data, reason in MALFORMED.values():
        assert [letter for letter in letters if reason in letter.reason and letter.size_bytes == len(data)]


@side_by_side
async def test_a_dead_letter_whose_cause_is_mended_is_redriven_and_counted_once(world: World) -> None:
    poll = await world.open_poll()
    promise = await publish_malformed(world, poll)
    await world.drain_now()
    later = await world.open_poll("later")
    redriven = await world.dead_letters.redrive(100)
    assert len(redriven.redriven) == len(MALFORMED)
    drain = await world.start_drain()
    await drain.end()
    await world.expect_exact(poll, promise)
    await world.expect_exact(later, Promise(counts=(3, 0), duplicates=0, bundles=1))
    # What is still beyond reading is back among the dead letters: nothing is lost in silence.
    assert len(await world.dead_letters.look(100)) == len(MALFORMED) - 1


@side_by_side
async def test_a_message_whose_burial_fails_is_not_lost(world: World) -> None:
    poll = await world.open_poll()
    await world.publish_raw(b"noise")
    await world.publish([world.bundle(poll, {RED: 2})])
    burial = world.pubsub.plan("Publish", Fault.DROP_CALL, containing=DEAD, calls=2)
    drain = await world.start_drain()
    await drain.end()
    assert [call.told for call in burial.calls] == [UNAVAILABLE, UNAVAILABLE]
    assert len(await world.dead_letters.look(100)) == 1
    await world.expect_exact(poll, Promise(counts=(2, 0), duplicates=0, bundles=1))


@side_by_side
async def test_a_drain_killed_before_a_burial_leaves_the_message_to_the_next(world: World) -> None:
    poll = await world.open_poll()
    await world.publish_raw(b"noise")
    burial = world.pubsub.plan("Publish", Fault.HOLD_CALL, containing=DEAD)
    drain = await world.start_drain()
    call = await burial.arrived()
    await drain.kill()
    assert (call.codes, call.told) == ([], None)
    after = await world.drain_to_the_end()
    assert after.progress.dead_letters == 1
    assert len(await world.dead_letters.look(100)) == 1
    await world.expect_exact(poll, Promise(counts=(0, 0), duplicates=0, bundles=0))


@side_by_side
async def test_a_bundle_buried_twice_by_a_killed_drain_and_redriven_twice_counts_once(world: World) -> None:
    bundle = Bundle("3" * 32, "later", 1, {RED: 3}, ((b"a" * 16, BLUE),))
    await world.publish([bundle])
    acknowledgement = world.pubsub.plan("Acknowledge", Fault.HOLD_CALL)
    drain = await world.start_drain()
    await acknowledgement.arrived()
    await drain.kill()
    assert [call.codes for call in world.pubsub.seen("Publish", DEAD)] == [[OK]]
    await world.drain_to_the_end()
    poll = await world.open_poll("later")
    redriven = await world.dead_letters.redrive(100)
    assert len(redriven.redriven) == 2
    after = await world.drain_now()
    assert (after.progress.messages, after.progress.bundles) == (2, 1)
    await world.expect_exact(poll, Promise(counts=(3, 1), duplicates=0, bundles=1))
