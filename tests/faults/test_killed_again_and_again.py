"""50,000 votes flow through HTTP while drains are killed with SIGKILL again and again, each at another step: exact."""

import asyncio
import random
from collections.abc import Iterator

from tests.faults.proxy import Fault, Plan
from tests.faults.running import Function
from tests.faults.side_by_side import begins_early, side_by_side
from tests.faults.world import LEDGER, Promise, World, accepted
from turnout.votes.poll import OnePer, Poll

REQUESTS = 50
REQUEST_VOTES = 1_000
#: Every fifth request is for the poll with a vote per voter, and every fifth vote of it repeats one.
KEYED_EVERY = 5
VOTERS = 800
KILLS = 8
SEED = 20_261_120

#: Where a drain is killed: the method, what of it, and which call of its kind.
STEPS = (
    ("Pull", Fault.HOLD_ANSWER, b""),
    ("Commit", Fault.HOLD_CALL, LEDGER),
    ("Commit", Fault.HOLD_ANSWER, LEDGER),
    ("Acknowledge", Fault.HOLD_CALL, b""),
    ("Acknowledge", Fault.HOLD_ANSWER, b""),
)


def ballots(free: Poll, keyed: Poll, request: int) -> Iterator[dict[str, str]]:
    """The votes of one request: red and blue in turn; a voter always chooses the same."""
    for number in range(REQUEST_VOTES):
        choice = free.choices[number % 2]
        if request % KEYED_EVERY:
            yield {"poll": free.id, "choice": choice}
        else:
            yield {"poll": keyed.id, "choice": choice, "voter": f"{request}-{number % VOTERS}"}


async def post_all(function: Function, free: Poll, keyed: Poll, waves: asyncio.Semaphore) -> None:
    """Posts the requests, a wave of them for each drain, so that votes flow for as long as drains are killed."""
    for request in range(REQUESTS):
        if request % (REQUESTS // (KILLS + 1)) == 0:
            await waves.acquire()
        status, _, _ = await function.post("/votes", list(ballots(free, keyed, request)))
        assert accepted(status)


def plan_death(world: World, chance: random.Random, number: int) -> Plan:
    """Plans at which call the next drain dies: each step gets its turn, at a call that the seed chooses."""
    method, fault, containing = STEPS[number % len(STEPS)]
    proxy = world.firestore if method == "Commit" else world.pubsub
    return proxy.plan(method, fault, containing=containing, skip=chance.randrange(3))


async def reached(plan: Plan) -> None:
    """Waits until the drain is where it is to die."""
    if plan.fault is Fault.HOLD_ANSWER:
        await plan.applied()
    else:
        await plan.arrived()


@side_by_side
@begins_early
async def test_drains_are_killed_again_and_again_while_votes_flow(world: World) -> None:
    free = await world.open_poll("free")
    keyed = await world.open_poll("keyed", OnePer.VOTER)
    chance = random.Random(SEED)
    function = await world.start_vote_function(poll_cache_seconds=5.0)
    waves = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as posting:
        posting.create_task(post_all(function, free, keyed, waves))
        for number in range(KILLS):
            plan = plan_death(world, chance, number)
            waves.release()
            drain = await world.start_drain(lanes=3, lease_messages_max=2)
            await reached(plan)
            await drain.kill()
            assert plan.calls[0].told is None
        for _ in range(REQUESTS):
            waves.release()
    await world.drain_to_the_end(lanes=4)
    keyed_requests = len(range(0, REQUESTS, KEYED_EVERY))
    free_votes = (REQUESTS - keyed_requests) * REQUEST_VOTES
    await world.expect_exact(free, Promise(counts=(free_votes // 2, free_votes // 2), duplicates=0))
    await world.expect_exact(
        keyed,
        Promise(
            counts=(keyed_requests * VOTERS // 2, keyed_requests * VOTERS // 2),
            duplicates=keyed_requests * (REQUEST_VOTES - VOTERS),
        ),
    )
