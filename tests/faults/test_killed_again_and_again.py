"""50,000 votes or more flow through HTTP while drains are killed with SIGKILL again and again, each at another step: exact."""

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
#: Requests that a drain finds when it starts, and so many again for as long as it has not reached its death: the votes of
#: its dead predecessors come back late, or only to be found counted.
WAVE = 5
REFILL_SECONDS = 3.0
#: No drain ends by itself.
IDLE_SECONDS = 60.0
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


class Flow:
    """The votes that are posted while drains are killed, in waves."""

    def __init__(self) -> None:
        #: Requests asked for so far.
        self.requests = 0
        self._waves: asyncio.Queue[int] = asyncio.Queue()

    def more(self, requests: int) -> None:
        """Asks for a wave of so many requests."""
        self.requests += requests
        self._waves.put_nowait(requests)

    def end(self) -> None:
        """Asks for nothing after what was asked for."""
        self._waves.put_nowait(0)

    async def post(self, function: Function, free: Poll, keyed: Poll) -> None:
        """Posts what is asked for, until the end."""
        posted = 0
        while wave := await self._waves.get():
            for request in range(posted, posted + wave):
                status, _, _ = await function.post("/votes", list(ballots(free, keyed, request)))
                assert accepted(status)
            posted += wave

    async def go_on(self) -> None:
        """Asks for a wave now and then, for ever: a drain always has votes to reach its death with."""
        while True:
            await asyncio.sleep(REFILL_SECONDS)
            self.more(WAVE)


def plan_death(world: World, chance: random.Random, number: int) -> Plan:
    """Plans at which call the next drain dies: each step gets its turn, at a call that the seed chooses."""
    method, fault, containing = STEPS[number % len(STEPS)]
    proxy = world.firestore if method == "Commit" else world.pubsub
    return proxy.plan(method, fault, containing=containing, skip=chance.randrange(3))


async def reached(plan: Plan, flow: Flow) -> None:
    """Waits until the drain is where it is to die; votes flow meanwhile."""
    flowing = asyncio.create_task(flow.go_on())
    try:
        await (plan.applied() if plan.fault is Fault.HOLD_ANSWER else plan.arrived())
    finally:
        flowing.cancel()


@side_by_side
@begins_early
async def test_drains_are_killed_again_and_again_while_votes_flow(world: World) -> None:
    free = await world.open_poll("free")
    keyed = await world.open_poll("keyed", OnePer.VOTER)
    chance = random.Random(SEED)
    function = await world.start_vote_function(poll_cache_seconds=5.0)
    flow = Flow()
    async with asyncio.TaskGroup() as posting:
        posting.create_task(flow.post(function, free, keyed))
        for number in range(KILLS):
            plan = plan_death(world, chance, number)
            flow.more(WAVE)
            drain = await world.start_drain(lanes=3, lease_messages_max=2, idle_seconds=IDLE_SECONDS)
            await reached(plan, flow)
            await drain.kill()
            assert plan.calls[0].told is None
        flow.more(max(1, REQUESTS - flow.requests))
        flow.end()
    await world.drain_to_the_end(lanes=4)
    keyed_requests = len(range(0, flow.requests, KEYED_EVERY))
    free_votes = (flow.requests - keyed_requests) * REQUEST_VOTES
    await world.expect_exact(free, Promise(counts=(free_votes // 2, free_votes // 2), duplicates=0))
    await world.expect_exact(
        keyed,
        Promise(
            counts=(keyed_requests * VOTERS // 2, keyed_requests * VOTERS // 2),
            duplicates=keyed_requests * (REQUEST_VOTES - VOTERS),
        ),
    )
