"""An audit that dies between its reads, of the shards and of the ledger as of the same moment: it has only looked."""

import asyncio
import signal

from tests.deadlines import WAIT_SECONDS_MAX
from tests.faults.proxy import Fault
from tests.faults.side_by_side import side_by_side
from tests.faults.world import World

#: What the command line ends with when a person interrupts it.
INTERRUPTED = 130


async def expect_that_it_only_looked(world: World, number: signal.Signals, code: int) -> None:
    poll, promise = await world.publish_votes()
    await world.drain_now()
    reads = world.firestore.plan("RunAggregationQuery", Fault.HOLD_CALL, calls=2)
    audit = world.start_audit(poll)
    await reads.arrived(2)
    # The shards are read, the ledger is not.
    assert [call.applied for call in world.firestore.seen("RunQuery", b"shards")] == [1]
    assert [call.applied for call in reads.calls] == [0, 0]
    audit.signal(number)
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        assert await audit.wait() == code, audit.log.read_text()
    await world.firestore.until(
        lambda: all(call.abandoned for call in reads.calls), "its calls to be dropped"
    )
    # Nothing is open, for nothing was opened, and nothing was written.
    for method in ("BeginTransaction", "Commit", "Listen", "Write"):
        assert world.firestore.seen(method) == [], method
    reads.let_go()
    again = world.start_audit(poll)
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        assert await again.wait() == 0, again.log.read_text()
    await world.expect_exact(poll, promise)


@side_by_side
async def test_an_audit_that_is_killed_between_its_reads_leaves_nothing_open(world: World) -> None:
    await expect_that_it_only_looked(world, signal.SIGKILL, -signal.SIGKILL)


@side_by_side
async def test_an_audit_that_is_told_to_end_between_its_reads_says_so(world: World) -> None:
    await expect_that_it_only_looked(world, signal.SIGTERM, INTERRUPTED)
