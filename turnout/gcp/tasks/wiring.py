"""The wiring of tasks: the verbs on Google's services, built by hand, once per process and event loop."""

import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from turnout.base.chance import random_id
from turnout.base.clock import Clock, SystemClock
from turnout.base.environment import read
from turnout.base.errors import SettingsInvalid
from turnout.gcp.connections import Connections
from turnout.gcp.consumers import FirestoreConsumerLog
from turnout.gcp.tasks.settings import Settings
from turnout.gcp.tasks.store import FirestoreTaskStore
from turnout.queue.consumer import Consumer
from turnout.queue.dead_letters import DeadLetterOffice
from turnout.tasks.callbacks.addresses import Allowed
from turnout.tasks.callbacks.signing import Signing
from turnout.tasks.commits import Commits
from turnout.tasks.delaying import Delaying, DueRunner, Services
from turnout.tasks.either import EitherRunner
from turnout.tasks.handler import assemble_lanes
from turnout.tasks.handlers.finding import Handlers, find_handlers
from turnout.tasks.handlers.processes import Processes
from turnout.tasks.handlers.running import HandlerRunner
from turnout.tasks.herding import Herding
from turnout.tasks.intake import TaskIntake
from turnout.tasks.new_task import Checking
from turnout.tasks.reading import TaskReader
from turnout.tasks.steering import Steering
from turnout.tasks.timetable import Timetable
from turnout.tasks.topics import Topics
from turnout.tasks.waking import Waking

if TYPE_CHECKING:
    from turnout.gcp.tasks.alarms import CloudTasksAlarms
    from turnout.tasks.callbacks.calling import CallbackRunner

#: The collection of the workers' records.
WORKERS = "task_workers"


class Wiring:
    """Builds the verbs: `async with Wiring(settings) as wiring`."""

    def __init__(
        self, settings: Settings, *, connections: Connections | None = None, clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self._connections = connections or Connections(settings)
        self._closing = AsyncExitStack()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """With the settings in an environment; `SettingsInvalid` lists every fault."""
        return cls(read(Settings, environment))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()
        await self._connections.__aexit__(kind, error, trace)

    @cached_property
    def store(self) -> FirestoreTaskStore:
        """The tasks, their keys and their books."""
        return FirestoreTaskStore(self._connections.firestore())

    @cached_property
    def commits(self) -> Commits:
        """What changes tasks: one for the whole process, so that what arrives together travels together."""
        return Commits(self.store, self.settings, clock=self.clock, chance=random.random)

    @cached_property
    def timetable(self) -> Timetable:
        """What wakes tasks: it remembers the alarms that it has set."""
        return Timetable(
            self._connections.topic(self.settings.tasks_topic),
            self.alarms(),
            self.settings,
            clock=self.clock,
            chance=random.random,
        )

    @cached_property
    def handlers(self) -> Handlers:
        """The handlers of the packages that the settings name."""
        return find_handlers(self.settings.handlers)

    def alarms(self) -> "CloudTasksAlarms":
        """The alarms; `SettingsInvalid` if nobody said where they are."""
        # Every function's process imports this module, and those of votes set no alarms.
        from turnout.gcp.cloud_tasks import CloudTasksQueue, open_cloud_tasks_channel  # noqa: PLC0415
        from turnout.gcp.tasks.alarms import CloudTasksAlarms  # noqa: PLC0415

        settings = self.settings
        if not settings.alarms_queue:
            raise SettingsInvalid(["TURNOUT_ALARMS_QUEUE and TURNOUT_DUE_URL are missing: alarms need both"])
        host = settings.cloud_tasks_emulator_host
        channel = self._connections.channel("cloud_tasks", lambda: open_cloud_tasks_channel(host))
        url = settings.due_url.rstrip("/") + "/due"
        return CloudTasksAlarms(
            CloudTasksQueue(channel, settings.alarms_queue, url, account=settings.alarms_account)
        )

    def dead_letter_office(self) -> DeadLetterOffice:
        """Where a person looks at messages that could not be read, and sends them again."""
        settings = self.settings
        return DeadLetterOffice(
            self._connections.subscription(settings.tasks_dead_letter_subscription),
            self._connections.topic(settings.tasks_topic),
        )

    def intake(self) -> TaskIntake:
        """The intake."""
        settings = self.settings
        return TaskIntake(
            self.store,
            self.commits,
            self.timetable,
            Topics(self.store, settings, clock=self.clock),
            Checking(self.handlers, self._allowed, settings),
            settings,
            clock=self.clock,
            chance=random.random,
            new_id=random_id,
        )

    def delaying(self) -> Delaying:
        """The wire format of the delay-queue service."""
        return Delaying(self.intake(), self.store, self._services)

    def reader(self) -> TaskReader:
        """What answers questions about tasks."""
        return TaskReader(self.store, clock=self.clock)

    def steering(self) -> Steering:
        """What a person does with a task."""
        return Steering(self.store, self.commits, self.timetable, clock=self.clock, new_id=random_id)

    def herding(self) -> Herding:
        """What a person does with many tasks."""
        return Herding(
            self.store,
            self.commits,
            self.timetable,
            self.steering(),
            clock=self.clock,
            new_id=random_id,
        )

    def waking(self) -> Waking:
        """What alarms and sweeps do."""
        return Waking(
            self.store, self.commits, self.timetable, self.settings, clock=self.clock, new_id=random_id
        )

    def worker(self) -> Consumer:
        """A worker: a consumer of messages whose lanes run tasks."""
        settings = self.settings
        name = f"{settings.execution}-{settings.task_index}-{random_id()}"
        handlers = self._handler_runner()
        lanes = assemble_lanes(
            name,
            self.store,
            self.commits,
            self.timetable,
            EitherRunner(handlers, self._callback_runner(), self._due_runner()),
            settings,
            clock=self.clock,
            chance=random.random,
            new_id=random_id,
        )
        worker = Consumer(
            name,
            lanes,
            subscription=self._connections.subscription(settings.tasks_subscription),
            dead_letters=self._connections.topic(settings.tasks_dead_letter_topic),
            consumer_log=FirestoreConsumerLog(self._connections.firestore(), WORKERS),
            settings=settings,
            clock=self.clock,
            chance=random.random,
        )
        handlers.on_exhausted = worker.stop
        return worker

    @cached_property
    def _services(self) -> Services:
        return Services.read(self.settings.delay_services)

    @cached_property
    def _allowed(self) -> Allowed:
        return self._services.allowed(Allowed.read(self.settings.callback_hosts))

    def _due_runner(self) -> DueRunner:
        name = self.settings.delay_topic
        return DueRunner(self._connections.topic(name) if name else None)

    def _handler_runner(self) -> HandlerRunner:
        settings = self.settings
        processes = Processes(settings.handler_processes_max, memory_mb_max=settings.handler_memory_mb_max)
        self._closing.callback(processes.close)
        return HandlerRunner(
            self.handlers,
            processes,
            threads_max=settings.handler_threads_max,
            abandoned_max=settings.abandoned_threads_max,
        )

    def _callback_runner(self) -> "CallbackRunner":
        # A worker alone calls, and the library takes its time.
        from turnout.tasks.callbacks.calling import CallbackRunner  # noqa: PLC0415

        settings = self.settings
        runner = CallbackRunner(
            Signing.read(settings.callback_secrets.get_secret_value()),
            self._allowed,
            settings,
            clock=self.clock,
        )
        self._closing.push_async_callback(runner.close)
        return runner
