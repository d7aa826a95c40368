"""One run of tasks: intakes, workers, alarms, sweeps and people, with every fault; then the faults heal."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from tests.simulation.simulation import Outcome, Simulation, play
from tests.simulation.tasks.cloud import TOLD, TaskCloud
from tests.simulation.tasks.plants import Plant
from tests.simulation.tasks.wire import TaskWire, WiredAlarms, WiredTaskStore
from tests.simulation.virtual import Process
from tests.simulation.weather import Weather
from tests.simulation.wire import (
    Wire,
    WiredConsumerLog,
    WiredDeadLetterTopic,
    WiredSubscription,
    WiredTopic,
)
from turnout.base.errors import TurnoutError
from turnout.queue.consumer import Consumer
from turnout.tasks.alarms import Alarm
from turnout.tasks.callbacks.addresses import Allowed
from turnout.tasks.commits import Commits
from turnout.tasks.handler import assemble_lanes
from turnout.tasks.intake import Accepted, TaskIntake
from turnout.tasks.new_task import Checking, NewTask
from turnout.tasks.ports import HandlerLimits
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.running import Fail, Retry, Run, Snooze
from turnout.tasks.settings import TaskSettings
from turnout.tasks.steering import Steering
from turnout.tasks.task import Stored
from turnout.tasks.timetable import Timetable
from turnout.tasks.topics import Topics
from turnout.tasks.waking import Waking

SENDING_SECONDS = 8.0
CHAOS_SECONDS_MAX = 30.0
SETTLING_SECONDS_MAX = 900.0
AHEAD_SECONDS_MAX = 30.0
TASKS_MAX = 20
LOOK_SECONDS = 0.25


def run(seed: int, plant: type[Plant] = Plant) -> Outcome:
    """Runs a seed; raises `InvariantViolated` or `RunCrashed`, with the seed and the last events."""
    return play("tasks", seed, lambda: TaskSimulation(seed, plant)).outcome()


class Play(msgspec.Struct, frozen=True):
    """What a task's handler does, as its payload says."""

    seconds: float = 0.0
    #: Its first attempts, and how each ends.
    endings: tuple[str, ...] = ()


class AnyHandler:
    """Every handler is known."""

    def limits(self, name: str) -> HandlerLimits | None:
        return HandlerLimits(60.0, TaskRetry())

    def names(self) -> Sequence[str]:
        return ()


class SimulatedRunner:
    """Plays what the payload says; the cloud watches who runs what."""

    def __init__(self, cloud: TaskCloud, process: Process) -> None:
        self._cloud = cloud
        self._process = process

    async def run(self, run: Run) -> str:
        task, cloud = run.task, self._cloud
        play = Play() if task.work.handler == TOLD else msgspec.json.decode(task.work.payload, type=Play)
        cloud.note(self._process.name, f"run {task.id % 100_000}, attempt {run.attempt}")
        cloud.begins(task, self._process)
        try:
            await asyncio.sleep(play.seconds)
        finally:
            cloud.ended(task, self._process)
        ending = play.endings[run.attempt - 1] if run.attempt <= len(play.endings) else ""
        if ending == "raises":
            raise RuntimeError("the handler fails")
        if ending == "fails":
            raise Fail("no attempt would succeed")
        if ending == "retries":
            raise Retry(2.0)
        if ending == "snoozes":
            raise Snooze(3.0)
        return str(run.attempt)


class Part:
    """What every process that changes tasks is made of."""

    def __init__(self, simulation: "TaskSimulation", process: Process) -> None:
        settings, clock, chance = simulation.settings, process.clock, simulation.chance.random
        self.wire: TaskWire = Wire(simulation.cloud, process, simulation.weather, settings)
        self.store = simulation.plant.store(WiredTaskStore(self.wire))
        self.commits = Commits(self.store, settings, clock=clock, chance=chance)
        self.timetable = simulation.plant.timetable(
            Timetable(
                WiredTopic(self.wire),
                WiredAlarms(self.wire),
                settings,
                clock=clock,
                chance=chance,
            )
        )


class TaskSimulation(Simulation):
    """What happens to tasks on their way through the house."""

    cloud: TaskCloud

    def __init__(self, seed: int, plant: type[Plant]) -> None:
        super().__init__(seed)
        self.settings = self._draw_settings()
        self._shutdown_seconds = self.settings.shutdown_seconds
        self.weather = Weather(
            self.chance,
            services=("topic", "queue", "store", "alarms", "consumer log"),
            process_kinds=("", "intake", "worker-1", "worker", "waker"),
        )
        self.plant = plant(random.Random(seed))
        self.cloud = TaskCloud(self.settings)
        self._accepted: list[int] = []
        self._wanted = 0
        self._rung: dict[str, asyncio.Task[None]] = {}

    def outcome(self) -> Outcome:
        return Outcome(
            seed=self.seed,
            events=tuple(self.cloud.events),
            promised=len(self._accepted),
            counted=sum(self.cloud.ends.values()),
            duplicates=self.cloud.crashes_ever,
        )

    async def _course(self) -> None:
        self._start_world(
            self._schedule(
                self._work,
                every_seconds=self.chance.uniform(3, 10),
                running_max=self.chance.choice((1, 2, 3)),
            )
        )
        self._start_world(self._ring_alarms())
        self._start_world(self._sweep())
        self._start_world(self._steer())
        sending = [self._start_world(self._send()) for _ in range(self.chance.choice((1, 2)))]
        await asyncio.sleep(self.chance.uniform(SENDING_SECONDS, CHAOS_SECONDS_MAX))
        self.weather.heal(self._loop.time())
        self.cloud.note("world", "the faults are healed")
        await asyncio.wait(sending)
        await self._settle()
        self.cloud.check_the_tasks_at_the_end(self._accepted)

    async def _settle(self) -> None:
        until = self._loop.time() + SETTLING_SECONDS_MAX
        while self._loop.time() < until and any(  # noqa: ASYNC110  # the store tells nobody
            not task.state.is_final for task in self.cloud.stored.values()
        ):
            await asyncio.sleep(5)

    def _new_process(self, kind: str) -> Process:
        process = super()._new_process(kind)
        self.cloud.processes[process.name] = process
        return process

    # Intakes.

    async def _send(self) -> None:
        until = self._loop.time() + SENDING_SECONDS
        while self._loop.time() < until:
            process = self._new_process("intake")
            part = Part(self, process)
            self._watch_batcher(process, part.commits.batcher, self.settings.pending_tasks_max)
            sending = process.start(self._take_in(process, part, until))
            if self.chance.random() < 0.4:
                self._loop.call_later(self.chance.uniform(0.5, 12), self._kill, process)
            await self._watch(sending)

    async def _take_in(self, process: Process, part: Part, until: float) -> None:
        intake = TaskIntake(
            part.store,
            part.commits,
            part.timetable,
            Topics(part.store, self.settings, clock=process.clock),
            Checking(AnyHandler(), Allowed(), self.settings),
            self.settings,
            clock=process.clock,
            chance=self.chance.random,
            new_id=self._new_id,
        )
        adding: list[asyncio.Task[None]] = []
        while self._loop.time() < until and self._wanted < TASKS_MAX:
            wanted = [self._new_task(process) for _ in range(self.chance.choice((1, 1, 4)))]
            adding.append(process.start(self._add(process, intake, wanted)))
            await asyncio.sleep(self.chance.uniform(0.05, 2))
        await asyncio.sleep(max(until - self._loop.time(), 0))
        if adding:
            await asyncio.wait(adding)

    async def _add(self, process: Process, intake: TaskIntake, wanted: Sequence[NewTask]) -> None:
        try:
            answers = await intake.add(wanted)
        except TurnoutError:
            return
        if process.alive:
            self._accepted += [each.task_id for each in answers if isinstance(each, Accepted)]

    def _new_task(self, process: Process) -> NewTask:
        chance = self.chance
        self._wanted += 1
        lease_seconds = self.settings.task_lease_seconds
        play = Play(
            seconds=chance.choice((0.0, 0.1, 1.0, lease_seconds * 1.5)),
            endings=tuple(
                chance.choices(
                    ("raises", "retries", "snoozes", "fails"), (6, 2, 2, 1), k=chance.choice((0, 0, 1, 2, 6))
                )
            ),
        )
        ahead = chance.choice((None, 0.0, 1.0, 2.5, chance.uniform(0, AHEAD_SECONDS_MAX)))
        return NewTask(
            topic=chance.choice(("mails", "images")),
            handler="play",
            payload=msgspec.Raw(msgspec.json.encode(play)),
            run_at=None if ahead is None else process.clock.now() + timedelta(seconds=ahead),
            key=None if chance.random() < 0.7 else str(chance.randrange(10)),
            retry=TaskRetry(
                first_seconds=chance.choice((0.1, 1.0)),
                max_seconds=8.0,
                failures_max=4,
                crashes_max=chance.choice((2, 4)),
            ),
            timeout_seconds=lease_seconds * chance.choice((1.0, 3.0)),
            on_success=chance.choice(("", "", TOLD)),
            on_failure=chance.choice(("", TOLD)),
        )

    # Workers.

    async def _work(self, _running: int) -> None:
        process, settings = self._new_process("worker"), self.settings
        part = Part(self, process)
        handlers = assemble_lanes(
            process.name,
            part.store,
            part.commits,
            part.timetable,
            SimulatedRunner(self.cloud, process),
            settings,
            clock=process.clock,
            chance=self.chance.random,
            new_id=self._new_id,
        )
        consumer = Consumer(
            process.name,
            handlers,
            subscription=WiredSubscription(part.wire),
            dead_letters=WiredDeadLetterTopic(part.wire),
            consumer_log=WiredConsumerLog(part.wire),
            settings=settings,
            clock=process.clock,
            chance=self.chance.random,
        )
        working = process.start(consumer.run())
        self._draw_end(
            (0.1, 0.02, partial(self._kill, process)),
            (0.2, 0.5, partial(self._kill_when_it_holds, process, consumer)),
            (0.2, 0.3, partial(self._suspend, process)),
            (0.15, 0.15, partial(self._terminate, process, consumer, working)),
        )
        await self._watch_consumer(consumer, working, settings, settings.lane_tasks_max)

    def _suspend(self, process: Process) -> None:
        """A machine stands still for longer than its leases live, and comes back."""
        if process.alive and not self.weather.healed:
            seconds = self.settings.task_lease_seconds * self.chance.uniform(0.5, 3)
            self.cloud.note(process.name, f"stands still for {seconds:.1f} s")
            process.pause(seconds)

    # The clock.

    async def _ring_alarms(self) -> None:
        """Cloud Tasks: rings each alarm at its moment, until it is answered; in bad weather some late, twice or never."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for name, alarm in list(self.cloud.alarms.by_name.items()):
                if name in self._rung or alarm.rings_at > self.cloud.clock.now():
                    continue
                fate = 1.0 if self.weather.healed else self.chance.random()
                if fate < 0.1:
                    self.cloud.note("world", f"alarm {name} is lost")
                times = 0 if fate < 0.1 else 2 if fate < 0.2 else 1
                late_seconds = self.chance.uniform(0, 6) if 0.2 < fate < 0.3 else 0.0
                self._rung[name] = self._start_world(self._ring(alarm, times, late_seconds))

    async def _ring(self, alarm: Alarm, times: int, late_seconds: float) -> None:
        await asyncio.sleep(late_seconds)
        for _ in range(times):
            while True:
                process = self._new_process("waker")
                part = Part(self, process)
                ringing = process.start(self._waking(process, part).ring(alarm))
                await asyncio.wait((ringing,))
                if not ringing.cancelled() and ringing.exception() is None:
                    break
                self._expect_no_fault(ringing)
                await asyncio.sleep(2)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.settings.sweep_after_seconds)
            process = self._new_process("waker")
            sweeping: asyncio.Task[Any] = process.start(self._waking(process, Part(self, process)).sweep())
            await self._watch(sweeping)

    def _waking(self, process: Process, part: Part) -> Waking:
        return Waking(
            part.store, part.commits, part.timetable, self.settings, clock=process.clock, new_id=self._new_id
        )

    # People.

    async def _steer(self) -> None:
        """A person cancels tasks, and runs some now."""
        for _ in range(self.chance.choice((0, 2, 5))):
            await asyncio.sleep(self.chance.uniform(0, 8))
            if not self.cloud.stored:
                continue
            task_id = self.chance.choice(sorted(self.cloud.stored))
            process = self._new_process("intake")
            part = Part(self, process)
            steering = Steering(
                part.store, part.commits, part.timetable, clock=process.clock, new_id=self._new_id
            )
            verb = self.chance.choice((steering.cancel, steering.run_now))
            work: asyncio.Task[Stored] = process.start(verb(task_id))
            await self._watch(work)

    # What the seed draws.

    def _draw_settings(self) -> TaskSettings:
        chance = self.chance
        attempt_seconds = chance.uniform(0.5, 4)
        ack_deadline_seconds = chance.choice((10, 20))
        return TaskSettings(
            publish_attempt_seconds=attempt_seconds,
            publish_deadline_seconds=attempt_seconds * chance.choice((1, 3)),
            publishes_in_flight_max=1_000,
            breaker_failures_max=chance.choice((2, 5)),
            breaker_open_seconds=chance.uniform(0.5, 5),
            lanes=chance.choice((1, 2)),
            lease_messages_max=chance.choice((1, 3, 10)),
            lane_tasks_max=chance.choice((10, 20)),
            ack_deadline_seconds=ack_deadline_seconds,
            lease_seconds_max=ack_deadline_seconds * chance.choice((1, 3, 10)),
            commit_attempts_max=chance.choice((2, 3, 5)),
            backoff_first_seconds=0.1,
            backoff_max_seconds=chance.uniform(0.2, 3),
            idle_seconds=chance.uniform(2, 8),
            heartbeat_seconds=chance.uniform(2.5, 6),
            shutdown_seconds=chance.choice((1.0, 3.0, 8.0)),
            commit_tasks_max=chance.choice((1, 3, 20)),
            commits_in_flight_max=chance.choice((1, 4)),
            pending_tasks_max=100,
            task_lease_seconds=chance.uniform(5, 12),
            clocks_off_seconds=1.0,
            publish_ahead_seconds=2.0,
            sweep_after_seconds=chance.uniform(3, 10),
            sweep_again_seconds_max=60.0,
        )
