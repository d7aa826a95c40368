"""The drain job: executions that the Scheduler starts, their tasks, and the lanes in them."""

import math
from collections import deque
from collections.abc import Callable, Generator
from random import Random

import simpy

from benchmarks.scaling.backlog import Backlog, Bundles, cut
from benchmarks.scaling.intake import Load, bundle_bytes
from benchmarks.scaling.lines import Documents, Line, Ramp
from benchmarks.scaling.parameters import Parameters
from benchmarks.scaling.record import Record

#: Executions begin their lanes anywhere in this many, as in `turnout/queue/consumer.py: first_lane_number`.
LANE_NUMBERS = 1_000
#: Lanes lease no more while a commit would have to wait this long for the ramp: the drain's back-pressure.
PATIENCE_SECONDS = 2.0
#: How often lanes are let in again, one after the other, when the ramp has caught up.
GATE_SECONDS = 0.05


class Database:
    """Firestore: a ramp for the ledger's keys, a line before each shard document."""

    def __init__(self, parameters: Parameters, record: Record, chance: Random) -> None:
        self._parameters = parameters
        self._record = record
        self._chance = chance
        self.ramp = Ramp(
            parameters.ramp_writes_per_second,
            growth=parameters.ramp_growth,
            step_seconds=parameters.ramp_seconds,
        )
        self._documents = Documents(parameters.document_writes_per_second)
        self._server = Line()

    def commit(self, now: float, shard: int, entries: int) -> float:
        """Commits ledger entries and a shard's increments; the moment at which it is done."""
        parameters, record = self._parameters, self._record
        writes = entries + 1
        latency = parameters.commit_seconds + parameters.commit_write_seconds * writes
        latency *= self._chance.lognormvariate(0.0, parameters.latency_sigma)
        admitted = self.ramp.admit(now, writes)
        admitted = max(admitted, self._server.serve(now, writes / parameters.database_writes_per_second))
        begins = self._documents.write(shard, admitted, latency)
        record.commits += 1
        record.writes += writes
        record.ramp_wait_seconds += admitted - now
        record.document_wait_seconds += begins - admitted
        record.commit_seconds += latency
        return begins + latency


class Gate:
    """Before the database: lanes wait here, in order and holding nothing, while the ramp is too far behind."""

    def __init__(self, env: simpy.Environment, ramp: Ramp) -> None:
        self._env = env
        self._ramp = ramp
        self._lanes: deque[simpy.Event] = deque()
        self._keeper: simpy.Process | None = None

    @property
    def is_open(self) -> bool:
        """Whether a commit would be let in soon enough."""
        return self._ramp.behind_seconds(self._env.now) <= PATIENCE_SECONDS

    def opens(self) -> simpy.Event:
        """Happens when it is this lane's turn."""
        event = self._env.event()
        self._lanes.append(event)
        if self._keeper is None or self._keeper.triggered:
            self._keeper = self._env.process(self._let_in())
        return event

    def give_up(self, event: simpy.Event) -> None:
        """The lane waits no longer: it is woken."""
        if not event.triggered:
            self._lanes.remove(event)
            event.succeed()

    def _let_in(self) -> Generator[simpy.Event, None, None]:
        """Lets in a share of the lanes at a time, so that not all of them find it open at once."""
        while self._lanes:
            behind = self._ramp.behind_seconds(self._env.now)
            yield self._env.timeout(max(GATE_SECONDS, behind - PATIENCE_SECONDS))
            if self.is_open:
                for _ in range(math.ceil(len(self._lanes) * GATE_SECONDS)):
                    self._lanes.popleft().succeed()


class Task:
    """One drain task: lanes that share its vCPU, until nothing was leased for a while or its time is up."""

    def __init__(self, job: "Job", first_lane: int) -> None:
        self.cpu = Line()
        self.ending = False
        self.holding = 0
        self.busy_at = self._began = job.env.now
        #: What its lanes wait for while they hold nothing, and how to end the wait.
        self.waits: dict[simpy.Event, Callable[[simpy.Event], None]] = {}
        self._job = job
        self._first_lane = first_lane

    def run(self) -> Generator[simpy.Event, None, None]:
        """From the first lease to the end of the last lane."""
        job, env, parameters = self._job, self._job.env, self._job.parameters
        began = self._began
        job.running[self] = None
        job.record.tasks_started += 1
        job.record.task_cpu_seconds += parameters.task_cpu_seconds
        lanes = [env.process(self._lane(self._first_lane + number)) for number in range(parameters.lanes)]
        while not self.ending:
            ends_at = min(self.busy_at + parameters.idle_seconds, began + parameters.task_seconds_max)
            if self.holding:
                ends_at = min(env.now + parameters.idle_seconds, began + parameters.task_seconds_max)
            if env.now < ends_at:
                yield env.timeout(ends_at - env.now)
            is_idle = not self.holding and env.now - self.busy_at >= parameters.idle_seconds
            self.ending = is_idle or env.now - began >= parameters.task_seconds_max
        for event, give_up in list(self.waits.items()):
            give_up(event)
        yield env.all_of(lanes)
        del job.running[self]
        job.record.task_seconds_billed += self.billed_seconds()

    def billed_seconds(self) -> float:
        """What it is billed for until now: its start as well, and a minute at least."""
        parameters = self._job.parameters
        seconds = parameters.task_start_seconds + self._job.env.now - self._began
        return max(parameters.task_billed_seconds_min, seconds)

    def _lane(self, number: int) -> Generator[simpy.Event, None, None]:
        """Lease ▸ fold ▸ count ▸ acknowledge, as `turnout/votes/handler.py`; a lane has one shard for ever."""
        job, env, parameters = self._job, self._job.env, self._job.parameters
        shard = number % parameters.shards
        while not self.ending:
            if not job.gate.is_open:
                yield from self._wait(job.gate.opens(), job.gate.give_up)
                continue
            lease = job.backlog.lease(parameters.lease_messages_max)
            if not lease:
                yield from self._wait(job.backlog.something_comes(), job.backlog.give_up)
                continue
            self.holding += 1
            yield env.timeout(job.pulled(lease) - env.now)
            for batch in cut(lease, parameters.commit_entries_max, keys_each_vote=job.keys_each_vote):
                yield env.timeout(self.cpu.serve(env.now, job.cpu_seconds(batch)) - env.now)
                yield env.timeout(job.database.commit(env.now, shard, job.entries(batch)) - env.now)
                job.counted(batch)
                yield env.timeout(job.latency(parameters.acknowledge_seconds))
            self.holding -= 1
            self.busy_at = env.now

    def _wait(
        self, event: simpy.Event, give_up: Callable[[simpy.Event], None]
    ) -> Generator[simpy.Event, None, None]:
        self.waits[event] = give_up
        yield event
        del self.waits[event]


class Job:
    """The drain job: each execution has the same tasks."""

    def __init__(
        self,
        env: simpy.Environment,
        parameters: Parameters,
        load: Load,
        backlog: Backlog,
        record: Record,
        chance: Random,
    ) -> None:
        self.env = env
        self.parameters = parameters
        self.backlog = backlog
        self.record = record
        self.keys_each_vote = load.keys_each_vote
        self.running: dict[Task, None] = {}
        self.database = Database(parameters, record, chance)
        self.gate = Gate(env, self.database.ramp)
        self._chance = chance
        self._pull_quota = Line()

    def schedule(self) -> Generator[simpy.Event, None, None]:
        """Starts an execution at each moment of the schedule, for ever."""
        yield self.env.timeout(self.parameters.schedule_phase_seconds)
        while True:
            started = self.env.timeout(self.parameters.task_start_seconds)
            started.callbacks.append(lambda _: self.execute())
            yield self.env.timeout(self.parameters.schedule_seconds)

    def execute(self) -> None:
        """One execution: its tasks begin to lease now."""
        first_lane = self._chance.randrange(LANE_NUMBERS)
        for task in range(self.parameters.tasks):
            self.env.process(Task(self, first_lane + task * self.parameters.lanes).run())

    def bill_running(self) -> None:
        """Bills the tasks that still run at the end of a run, with the idle time that lies before them."""
        for task in self.running:
            self.record.task_seconds_billed += task.billed_seconds() + self.parameters.idle_seconds

    def pulled(self, lease: list[Bundles]) -> float:
        """The moment at which a lease has reached its lane."""
        size = bundle_bytes(self.parameters, lease, self.keys_each_vote)
        billed = max(self.parameters.request_bytes_min, size)
        self.record.leases += 1
        self.record.delivered_bytes += billed
        at = self._pull_quota.serve(self.env.now, billed / self.parameters.pull_bytes_per_second)
        return at + self.latency(self.parameters.pull_seconds)

    def latency(self, median: float) -> float:
        """A latency of this median."""
        return median * self._chance.lognormvariate(0.0, self.parameters.latency_sigma)

    def entries(self, batch: list[Bundles]) -> int:
        """The ledger entries of a batch."""
        return sum(each.number * (1 + self.keys_each_vote * each.votes_each) for each in batch)

    def cpu_seconds(self, batch: list[Bundles]) -> float:
        """What folding and writing a batch takes of the task's CPU."""
        parameters = self.parameters
        bundles = sum(each.number for each in batch)
        keys = self.keys_each_vote * sum(each.votes for each in batch)
        seconds = parameters.commit_cpu_seconds
        seconds += bundles * parameters.bundle_cpu_seconds + keys * parameters.key_cpu_seconds
        self.record.task_cpu_seconds += seconds
        return seconds / parameters.task_vcpus

    def counted(self, batch: list[Bundles]) -> None:
        """Notes that a commit went through."""
        for each in batch:
            self.record.count(self.env.now, each.accepted_at, each.votes)
