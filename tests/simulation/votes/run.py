"""One run: the real core on a virtual clock, with the faults that a seed draws; then the faults heal, and all must add up."""

import asyncio
import random
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import SecretStr

from tests.simulation.simulation import Outcome, Simulation, play
from tests.simulation.virtual import BEGINNING, Process, at_once
from tests.simulation.votes.cloud import VoteCloud
from tests.simulation.votes.plants import Plant
from tests.simulation.votes.voters import Answer, Register, Request, key_of
from tests.simulation.votes.wire import (
    LaneWatch,
    VoteWire,
    WiredCounters,
    WiredPollStore,
    WiredTallies,
    WiredVoteTopic,
)
from tests.simulation.weather import Weather
from tests.simulation.wire import WiredConsumerLog, WiredDeadLetterTopic, WiredSubscription
from turnout.base.errors import ServiceUnavailable, TurnoutError
from turnout.gcp.votes.settings import Settings
from turnout.queue.drained import CLOCKS_APART_SECONDS
from turnout.queue.errors import QueueUnavailable
from turnout.votes.administration import Administration
from turnout.votes.ballot import Ballot
from turnout.votes.bundle import Bundle, encode
from turnout.votes.drain import Drain
from turnout.votes.handler import first_lane_number
from turnout.votes.intake import Intake, vote_batcher
from turnout.votes.persistence import Persistence
from turnout.votes.poll import OnePer, Poll, PollChange, State
from turnout.votes.poll_cache import PollCache
from turnout.votes.vote import Hasher

#: How long the faults last, and how long all may take to settle after them.
CHAOS_SECONDS_MAX = 45.0
SETTLING_SECONDS_MAX = 400.0
CHOICES = 60
CLIENT_SECONDS = 15.0


def run(seed: int, plant: type[Plant] = Plant) -> Outcome:
    """Runs a seed; raises `InvariantViolated` or `RunCrashed`, with the seed and the last events."""
    return play("votes", seed, lambda: VoteSimulation(seed, plant)).outcome()


class VoteSimulation(Simulation):
    """Voters, intakes, drains, persistence and administration of one run."""

    cloud: VoteCloud

    def __init__(self, seed: int, plant: type[Plant]) -> None:
        super().__init__(seed)
        self.settings = self._draw_settings()
        self._shutdown_seconds = self.settings.shutdown_seconds
        self.weather = Weather(
            self.chance,
            services=("topic", "queue", "counters", "polls", "consumer log", "tallies"),
            process_kinds=("", "intake", "drain-1", "drain", "persist"),
        )
        self.cloud = VoteCloud(self.settings)
        self.register = Register()
        self._plant = plant(random.Random(seed))
        self._intakes: list[tuple[Process, Intake]] = []
        self._polls = self._draw_polls()

    # The course of a run.

    def outcome(self) -> Outcome:
        tallies = [at_once(self.cloud.counters.tally(poll)) for poll in self._polls]
        return Outcome(
            seed=self.seed,
            events=tuple(self.cloud.events),
            promised=sum(self.register.promised(poll.id) for poll in self._polls),
            counted=sum(tally.votes for tally in tallies),
            duplicates=sum(tally.duplicates for tally in tallies),
        )

    async def _course(self) -> None:
        for poll in self._polls:
            await self.cloud.polls.create(poll)
        self._start_world(self._keep_intakes())
        self._start_world(
            self._schedule(
                self._drain,
                every_seconds=self.chance.uniform(4, 15),
                running_max=self.chance.choice((1, 1, 2, 3)),
            )
        )
        self._start_world(self._schedule_persists())
        for poll in self._polls:
            self._start_world(self._administrate(poll))
        self._start_world(self._poison())
        voting = [self._start_world(self._vote(request)) for request in self._draw_requests()]
        await asyncio.sleep(self.chance.uniform(20, CHAOS_SECONDS_MAX))
        self.weather.heal(self._loop.time())
        self.cloud.note("world", "the faults are healed")
        await asyncio.wait(voting)
        await self._settle()
        self._check_the_end()

    async def _settle(self) -> None:
        until = self._loop.time() + SETTLING_SECONDS_MAX
        while self._loop.time() < until:
            if not len(self.cloud.mailbox) and all(self._is_final(poll) for poll in self._polls):
                return
            await asyncio.sleep(5)

    def _is_final(self, poll: Poll) -> bool:
        tally = at_once(self.cloud.tallies.get(poll.id))
        certified = self.cloud.poll(poll.id).certified_at is not None
        return certified and tally is not None and tally.certified_at is not None

    # Voters.

    async def _vote(self, request: tuple[float, Request]) -> None:
        begins, sent = request
        await asyncio.sleep(begins)
        for _ in range(sent.attempts_max):
            answer = await self._attempt(sent)
            sent.answered(answer)
            self.cloud.note("voter", f"{sent.idempotency_key}: {answer.value}")
            if answer is not Answer.UNKNOWN:
                return
            await asyncio.sleep(self.chance.uniform(0.1, 3))

    async def _attempt(self, sent: Request) -> Answer:
        living = [(process, intake) for process, intake in self._intakes if process.alive]
        if not living:
            return Answer.REFUSED
        process, intake = self.chance.choice(living)
        answer: asyncio.Future[Answer] = self._loop.create_future()

        def tell(told: Answer) -> None:
            if not answer.done():
                answer.set_result(told)

        async def handle() -> None:
            told = await self._handle(process, intake, sent)
            if process.alive:
                tell(told)

        process.at_death.append(lambda: tell(Answer.UNKNOWN))
        handler = process.start(handle())
        handler.add_done_callback(self._expect_no_fault)
        # Impatient clients go away; what they sent may be counted.
        timer = self._loop.call_later(CLIENT_SECONDS, tell, Answer.UNKNOWN)
        try:
            return await answer
        finally:
            timer.cancel()

    async def _handle(self, process: Process, intake: Intake, sent: Request) -> Answer:
        try:
            if len(sent.ballots) == 1:
                receipts = [await intake.accept(sent.ballots[0], sent.idempotency_key)]
            else:
                receipts = await intake.accept_all(sent.ballots, sent.idempotency_key)
        except QueueUnavailable:
            return Answer.UNKNOWN
        except TurnoutError:
            return Answer.REFUSED
        if process.alive:
            for vote in sent.votes:
                if (vote.poll, vote.choice) not in self.cloud.arrived_votes:
                    self.cloud.violate(
                        f"choice {vote.choice} of poll {vote.poll} got a 2xx before it was queued"
                    )
            for receipt in receipts:
                self._check_window(receipt.poll, (receipt.accepted_at - BEGINNING).total_seconds())
        return Answer.PROMISED

    def _check_window(self, poll_id: str, accepted_seconds: float) -> None:
        poll = self.cloud.poll(poll_id)
        closes_seconds = (poll.closes_at - BEGINNING).total_seconds()
        # A close by hand is known everywhere when the caches of the moment before it have aged.
        known_seconds = self.cloud.changed_at.get(poll_id, 0.0) + self.settings.poll_cache_seconds
        if accepted_seconds >= max(closes_seconds, known_seconds) + CLOCKS_APART_SECONDS:
            self.cloud.violate(
                f"poll {poll_id} closed at {closes_seconds:.3f}, but a vote was accepted at {accepted_seconds:.3f}"
            )

    # Instances of the intake.

    async def _keep_intakes(self) -> None:
        """Keeps as many instances alive as the seed wants; some are killed."""
        wanted = self.chance.choice((1, 2))
        while True:
            living = [(process, intake) for process, intake in self._intakes if process.alive]
            self._intakes = living
            while len(self._intakes) < wanted:
                self._intakes.append(self._start_intake())
            await asyncio.sleep(self.chance.uniform(0.5, 5))
            if not self.weather.healed and self.chance.random() < 0.08:
                process, _ = self.chance.choice(self._intakes)
                self._kill(process)

    def _start_intake(self) -> tuple[Process, Intake]:
        process = self._new_process("intake")
        wire = self._wire(process, self.settings)
        batcher = vote_batcher(
            self._plant.topic(WiredVoteTopic(wire)),
            self.settings,
            clock=process.clock,
            chance=self.chance.random,
            new_id=self._new_id,
        )
        self._watch_batcher(process, batcher, self.settings.pending_votes_max)
        hasher = Hasher(b"a pepper for tests")
        intake = Intake(self._cache(wire), batcher, hasher, clock=process.clock, new_vote_id=self._new_id)
        return process, intake

    # Drains.

    async def _drain(self, task_index: int) -> None:
        process = self._new_process("drain")
        settings = self.settings.model_copy(
            update={"execution": process.name, "task_index": task_index, "task_count": 3}
        )
        wire = self._wire(process, settings)
        lanes = LaneWatch(wire)
        drain = Drain(
            process.name,
            first_lane_number(settings.execution, settings.task_index, settings.lanes),
            subscription=self._plant.subscription(WiredSubscription(wire, lanes.gave_up)),
            dead_letters=WiredDeadLetterTopic(wire),
            consumer_log=self._plant.consumer_log(WiredConsumerLog(wire)),
            counters=self._plant.counters(WiredCounters(wire, lanes)),
            polls=self._cache(wire),
            settings=settings,
            clock=process.clock,
            chance=self.chance.random,
        )
        draining = process.start(drain.run())
        self._draw_end(
            (0.1, 0.02, partial(self._kill, process)),
            (0.2, 0.85, partial(self._kill_when_it_holds, process, drain.consumer)),
            (0.2, 0.05, partial(self._terminate, process, drain.consumer, draining)),
        )
        await self._watch_consumer(drain.consumer, draining, settings)

    # Persistence and administration.

    async def _schedule_persists(self) -> None:
        """Cloud Scheduler: a slot every ten seconds; some runs are late, doubled or killed."""
        while True:
            await asyncio.sleep(10)
            slot = self.cloud.clock.now()
            runs = 1 if self.weather.healed else self.chance.choice((1, 1, 2, 3))
            for _ in range(runs):
                late_seconds = 0 if self.weather.healed else self.chance.choice((0.0, 0.0, 1.0, 12.0))
                self._start_world(self._persist(slot, self.chance.uniform(0, late_seconds)))

    async def _persist(self, slot: Any, late_seconds: float) -> None:
        await asyncio.sleep(late_seconds)
        process = self._new_process("persist")
        persisting = process.start(self._persistence(process).persist_all(slot))
        if not self.weather.healed and self.chance.random() < 0.2:
            self._loop.call_later(self.chance.uniform(0, 2), self._kill, process)
        await self._watch(persisting)

    async def _administrate(self, poll: Poll) -> None:
        """Some polls are closed by hand, and some of those opened again."""
        if self.chance.random() < 0.5:
            return
        await asyncio.sleep(self.chance.uniform(1, 25))
        await self._change(poll, PollChange(state=State.CLOSED))
        if self.chance.random() < 0.3:
            await asyncio.sleep(self.chance.uniform(1, 30))
            closes_at = self.cloud.clock.now() + timedelta(seconds=self.chance.uniform(5, 20))
            await self._change(poll, PollChange(state=State.OPEN, closes_at=closes_at))

    async def _change(self, poll: Poll, change: PollChange) -> None:
        for _ in range(5):
            process = self._new_process("admin")
            wire = self._wire(process, self.settings)
            admin = Administration(
                WiredPollStore(wire), self._persistence(process), self.settings, clock=process.clock
            )
            changing = process.start(admin.change(poll.id, change))
            await asyncio.wait((changing,))
            if not changing.cancelled() and not isinstance(changing.exception(), ServiceUnavailable):
                self._expect_no_fault(changing)
                return

    def _persistence(self, process: Process) -> Persistence:
        wire = self._wire(process, self.settings)
        return Persistence(
            WiredPollStore(wire),
            self._plant.counters(WiredCounters(wire, LaneWatch(wire))),
            self._plant.consumer_log(WiredConsumerLog(wire)),
            self._plant.tallies(WiredTallies(wire)),
            self.settings,
            clock=process.clock,
        )

    async def _poison(self) -> None:
        """A stranger publishes what is not a bundle, or one of a poll or a choice that does not exist."""
        for _ in range(self.chance.choice((0, 0, 1, 3))):
            await asyncio.sleep(self.chance.uniform(0, 15))
            poll = self.chance.choice(("nowhere", self._polls[0].id))
            bundle = Bundle(self._new_id(), poll, 0, {CHOICES + 5: 1})
            data = self.chance.choice((b"", b"\xff\x00poison", encode(bundle)))
            self.cloud.publish_poison(data)

    def _wire(self, process: Process, settings: Settings) -> VoteWire:
        return VoteWire(self.cloud, process, self.weather, settings)

    def _cache(self, wire: VoteWire) -> PollCache:
        return PollCache(WiredPollStore(wire), self.settings, clock=wire.process.clock)

    # What the end must be.

    def _check_the_end(self) -> None:
        cloud = self.cloud
        cloud.check_the_queue_at_the_end()
        for planned in self._polls:
            self._check_poll(cloud.poll(planned.id))

    def _check_poll(self, poll: Poll) -> None:
        cloud = self.cloud
        cloud.check_books(poll)
        live = at_once(cloud.counters.tally(poll))
        faults = self.register.faults(poll.id, live.counts)
        arrived = [bundle for bundle in cloud.bundles.values() if bundle.poll == poll.id]
        votes = sum(bundle.votes for bundle in arrived)
        if live.votes + live.duplicates != votes:
            faults.append(
                f"{votes} votes of poll {poll.id} reached the queue, but {live.votes} were counted "
                f"and {live.duplicates} were duplicates"
            )
        promised, unknown = self.register.promised(poll.id), self.register.unknown(poll.id)
        if not promised <= votes <= promised + unknown:
            faults.append(f"{votes} votes arrived, {promised} were promised, of {unknown} nothing was known")
        faults += self._certification_faults(poll, live)
        for fault in faults:
            cloud.violate(fault)

    def _certification_faults(self, poll: Poll, live: Any) -> list[str]:
        tally = at_once(self.cloud.tallies.get(poll.id))
        if poll.certified_at is None:
            return [f"poll {poll.id} is not certified, though all is settled"]
        if tally is None or tally.certified_at is None:
            return [f"poll {poll.id} is certified, but its persisted tally is not"]
        if (tally.counts, tally.duplicates) != (live.counts, live.duplicates):
            return [f"poll {poll.id} was certified with {tally.votes} votes, but has {live.votes}"]
        return []

    # What the seed draws.

    def _draw_settings(self) -> Settings:
        chance = self.chance
        attempt_seconds = chance.uniform(0.5, 4)
        ack_deadline_seconds = chance.choice((10, 20))
        return Settings(
            project="simulation",
            pepper=SecretStr("a pepper for tests"),
            request_votes_max=5,
            bundle_votes_max=chance.choice((3, 8, 20)),
            publishes_in_flight_max=chance.choice((1, 2, 3)),
            pending_votes_max=chance.choice((6, 15, 50)),
            publish_attempt_seconds=attempt_seconds,
            publish_deadline_seconds=attempt_seconds * chance.choice((1, 3, 8)),
            breaker_failures_max=chance.choice((2, 5)),
            breaker_open_seconds=chance.uniform(0.5, 5),
            poll_cache_seconds=chance.uniform(0.5, 6),
            lanes=chance.choice((1, 1, 2, 3)),
            lease_messages_max=chance.choice((1, 3, 10)),
            ack_deadline_seconds=ack_deadline_seconds,
            lease_seconds_max=ack_deadline_seconds * chance.choice((1, 3)),
            commit_entries_max=chance.choice((2, 8, 40)),
            commit_attempts_max=chance.choice((2, 3, 5)),
            commit_attempt_seconds=chance.uniform(0.5, 5),
            backoff_first_seconds=0.1,
            backoff_max_seconds=chance.uniform(0.2, 3),
            idle_seconds=chance.uniform(2, 8),
            heartbeat_seconds=chance.uniform(2.5, 6),
            shutdown_seconds=chance.choice((1.0, 3.0, 8.0)),
        )

    def _draw_polls(self) -> list[Poll]:
        chance = self.chance
        return [
            Poll(
                id=f"poll-{number}",
                title=f"Poll {number}",
                choices=tuple(str(choice) for choice in range(CHOICES)),
                opens_at=BEGINNING,
                closes_at=BEGINNING + timedelta(seconds=chance.uniform(8, 35)),
                created_at=BEGINNING,
                one_per=chance.choice(list(OnePer)),
                shards=chance.choice((1, 2, 8)),
            )
            for number in range(chance.choice((1, 1, 2)))
        ]

    def _draw_requests(self) -> list[tuple[float, Request]]:
        """Requests over the run's first seconds, in bursts or one by one."""
        chance = self.chance
        requests = []
        bursts = [chance.uniform(0, 20) for _ in range(chance.choice((2, 5)))]
        for number in range(chance.randrange(5, 40)):
            begins = chance.choice(bursts) if chance.random() < 0.5 else chance.uniform(0, 25)
            request = self._draw_request(number)
            if request is not None:
                requests.append((begins, request))
        return requests

    def _draw_request(self, number: int) -> Request | None:
        chance = self.chance
        size = chance.choice((1, 1, 1, 3, 5))
        idempotency_key = f"request-{number}" if chance.random() < 0.6 else None
        votes, ballots = [], []
        for index in range(size):
            poll = chance.choice(self._polls)
            if self.register.is_full(poll, 1):
                return None
            named = poll.one_per is OnePer.VOTER or (poll.one_per is OnePer.KEY and chance.random() < 0.5)
            voter = f"voter-{chance.randrange(12)}" if named else None
            ballot = Ballot(poll.id, "", voter)
            vote = self.register.new_vote(poll, key_of(poll, ballot, idempotency_key, index))
            ballots.append(Ballot(poll.id, poll.choices[vote.choice], voter))
            votes.append(vote)
        keyed = all(vote.key for vote in votes)
        return Request(tuple(ballots), idempotency_key, tuple(votes), chance.choice((1, 4)) if keyed else 1)
