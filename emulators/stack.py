"""The local cloud as a whole: emulators, resources, functions, gateway and schedules, up together and down together."""

import asyncio
import base64
import contextlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import aiohttp
import msgspec

from emulators import state
from emulators.api.serving import Ports, choose_ports
from emulators.cloud_run.executions import Executions
from emulators.cloud_run.jobs import LocalJob, Overrides
from emulators.errors import LocalCloudError, ProcessDied, ProcessUnstartable
from emulators.execution import TASK_SECONDS_MAX, Execution
from emulators.gateway import UP_PATH
from emulators.google import GoogleEmulators
from emulators.identity import Identity, load_key
from emulators.identity.server import JWKS_PATH, identity_routes
from emulators.identity.tokens import Clock, utc_now
from emulators.processes import LOOPBACK, ROOT, Process, free_port, port_is_free, stop_all, until_ready
from emulators.resources import create_resources, create_task_resources
from emulators.run import job_command, job_named, service_environment, start_function, until_function_ready
from turnout.base.clock import moment
from turnout.base.environment import read
from turnout.deployment import ALL_FUNCTIONS, ALL_JOBS, FUNCTIONS, JOBS, Function
from turnout.gcp.tasks.settings import Settings as TaskSettings
from turnout.gcp.votes.settings import Settings

DEFAULT_PROJECT = "demo-turnout"
DEFAULT_PORT = 8080
START_SECONDS_MAX = 30.0
STOP_SECONDS = 5.0
WATCH_SECONDS = 0.2
PEPPER_BYTES = 32
#: The queue of Cloud Tasks for the alarms of tasks.
ALARMS_QUEUE = "alarms"
#: A region, as names have to have one.
LOCATION = "us-central1"

#: Told the name of each step: as it begins, with None, and as it ends, with the seconds that it took.
OnStep = Callable[[str, float | None], None]


class LocalCloud:
    """A Turnout on this machine, as deployed.

    Its processes are bound to no event loop, so that it may be started, used and stopped from different ones, unless
    it schedules: the scheduler lives in the loop of the start.
    """

    def __init__(  # noqa: PLR0913  # the options of the command line, one to one
        self,
        *,
        state_folder: Path | None = None,
        project: str = DEFAULT_PROJECT,
        workers: int = 1,
        schedule: bool = True,
        cloud_tasks: bool = False,
        tasks: bool = False,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        on_step: OnStep = lambda *_: None,
        on_fetch: Callable[[str, int, int], None] = lambda *_: None,
        root: Path = ROOT,
        clock: Clock = utc_now,
    ) -> None:
        self.state_folder = (state_folder or state.DEFAULT_FOLDER).resolve()
        self._project = project
        self._workers = workers
        self._schedule = schedule
        #: Tasks are a family of their own: functions, a job, and Cloud Tasks for their alarms.
        self._functions = ALL_FUNCTIONS if tasks else FUNCTIONS
        self._jobs = ALL_JOBS if tasks else JOBS
        self._tasks = tasks
        self._cloud_tasks = cloud_tasks or tasks
        self._port = port
        self._settings = dict(settings or {})
        self._given = dict(os.environ if environment is None else environment)
        self._on_step = on_step
        self._on_fetch = on_fetch
        self._root = root
        #: The one that schedules go by.
        self._clock = clock
        self._closing = contextlib.ExitStack()
        self._processes: dict[str, Process] = {}
        self._schedules: asyncio.Task[None] | None = None
        self._scheduling = asyncio.Event()
        #: What runs and ran of the table's jobs, whoever started it.
        self.executions = Executions(
            {job.name: LocalJob(job.name, job_command(job), retries_max=0) for job in self._jobs},
            self._launch,
        )
        #: Where Cloud Tasks is, if it is wanted.
        self.tasks_ports = Ports(0, 0)
        #: Where Cloud Scheduler and Cloud Run are, while the schedules run.
        self.scheduler_ports = Ports(0, 0)
        self.run_ports = Ports(0, 0)
        self._google: GoogleEmulators | None = None
        #: The address that routes to every function.
        self.base_url = ""
        #: Each function's own address, by its name.
        self.function_urls: dict[str, str] = {}
        #: The variables of this cloud alone.
        self.variables: dict[str, str] = {}
        #: What any process needs as its environment to work with this cloud: what it was given, and the cloud's own.
        self.environment: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def log_folder(self) -> Path:
        """Where every part writes its log."""
        return self.state_folder / "logs"

    @property
    def google(self) -> GoogleEmulators:
        """Google's emulators; only while the cloud runs."""
        if self._google is None:
            raise LocalCloudError("The local cloud is not running; start it first.")
        return self._google

    @property
    def settings(self) -> Settings:
        """The settings that a function or a job reads from this cloud's environment."""
        return read(Settings, self.environment)

    @property
    def processes(self) -> tuple[Process, ...]:
        """Every part that must live as long as the cloud."""
        return (*(self._google.processes if self._google else ()), *self._processes.values())

    async def start(self) -> None:
        """Brings everything up; if a part fails, nothing is left running."""
        self._closing.enter_context(state.held(self.state_folder))
        try:
            self._empty_logs()
            self._plan()
            with self._step("local cloud"):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._start_google())
                    group.create_task(self._start_functions())
                    group.create_task(self._start_gateway())
                    if self._cloud_tasks:
                        group.create_task(self._start_cloud_tasks())
            if self._schedule:
                await self._start_schedules()
            state.publish(self.state_folder, self._state())
        except BaseExceptionGroup as group_error:
            await self.stop()
            raise _first(group_error) from group_error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Brings everything down."""
        try:
            if self._schedules is not None:
                self._schedules.cancel()
                await asyncio.wait([self._schedules], timeout=STOP_SECONDS)
                self._schedules = None
            jobs = [
                process for run in self.executions.runs() for process in _execution(run.processes).processes
            ]
            # Jobs and functions first: they finish what they hold while the emulators still answer.
            await stop_all([*jobs, *self._processes.values()], STOP_SECONDS)
        finally:
            try:
                if self._google is not None:
                    await self._google.stop()
            finally:
                self._closing.close()

    async def reset(self) -> None:
        """Empties the databases and the queue. Functions may remember polls for `TURNOUT_POLL_CACHE_SECONDS`."""
        await self.google.reset()
        await self._create_resources()

    def start_job(
        self, name: str, *, tasks: int | None = None, settings: Mapping[str, str] | None = None
    ) -> Execution:
        """Starts an execution of a job as Cloud Run would; `LocalCloudError` if as many of it run as may."""
        run = self.executions.start(name, Overrides(environment=settings or {}, tasks=tasks))
        return _execution(run.processes)

    async def run_job(
        self,
        name: str,
        *,
        tasks: int | None = None,
        settings: Mapping[str, str] | None = None,
        seconds_max: float = TASK_SECONDS_MAX,
    ) -> list[int]:
        """Runs an execution of a job to its end; answers the tasks' exit codes."""
        execution = self.start_job(name, tasks=tasks, settings=settings)
        try:
            return await execution.wait(seconds_max)
        finally:
            execution.let_go()

    async def failed(self) -> str:
        """Waits until a part dies; answers what a person should know. While all is well it does not return."""
        while True:
            for process in self.processes:
                code = process.code()
                if code is not None:
                    return str(ProcessDied(process.name, code, process.log))
            if self._schedules is not None and self._schedules.done() and not self._schedules.cancelled():
                return f"The schedules ended: {self._schedules.exception()!r}"
            await asyncio.sleep(WATCH_SECONDS)

    def _empty_logs(self) -> None:
        for folder in (self.log_folder, self.log_folder / "jobs"):
            folder.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                log.unlink()

    def _plan(self) -> None:
        """Decides every address before anything starts, so that all can start at once."""
        self._google = GoogleEmulators(self.log_folder)
        taken = {int(host.rpartition(":")[2]) for host in self._google.hosts.values()}
        for function in self._functions:
            port = free_port(taken)
            taken.add(port)
            self.function_urls[function.name] = f"http://{LOOPBACK}:{port}"
        if self._port and not port_is_free(self._port):
            raise ProcessUnstartable("The local cloud", f"port {self._port} is taken; choose another one")
        self._port = self._port or free_port(taken)
        self.base_url = f"http://{LOOPBACK}:{self._port}"
        self.scheduler_ports = choose_ports("Cloud Scheduler")
        self.run_ports = choose_ports("Cloud Run")
        self.variables = {
            "GOOGLE_CLOUD_PROJECT": self._project,
            **self._google.environment,
            "CLOUD_SCHEDULER_EMULATOR_HOST": self.scheduler_ports.grpc_host,
            "CLOUD_RUN_EMULATOR_HOST": self.run_ports.grpc_host,
            "TOKEN_CERTS_URL": self.scheduler_ports.url + JWKS_PATH,
            **(self._plan_cloud_tasks() if self._cloud_tasks else {}),
            **(self._plan_tasks() if self._tasks else {}),
            "TURNOUT_PEPPER": self._given.get("TURNOUT_PEPPER") or secrets.token_urlsafe(PEPPER_BYTES),
            "TURNOUT_URL": self.base_url,
            **self._settings,
        }
        self.environment = {**self._given, **self.variables}

    def _plan_cloud_tasks(self) -> dict[str, str]:
        self.tasks_ports = choose_ports("Cloud Tasks")
        return {
            "CLOUD_TASKS_EMULATOR_HOST": self.tasks_ports.grpc_host,
            "CLOUD_TASKS_EMULATOR_URL": self.tasks_ports.url,
            # The same keys as the scheduler's, and there though no schedules run.
            "TOKEN_CERTS_URL": self.tasks_ports.url + JWKS_PATH,
        }

    def _plan_tasks(self) -> dict[str, str]:
        secret = base64.b64encode(secrets.token_bytes(PEPPER_BYTES)).decode()
        return {
            "TURNOUT_ALARMS_QUEUE": f"projects/{self._project}/locations/{LOCATION}/queues/{ALARMS_QUEUE}",
            "TURNOUT_ALARMS_ACCOUNT": f"alarms@{self._project}.iam.gserviceaccount.com",
            "TURNOUT_DUE_URL": self.function_urls["due"],
            "TURNOUT_CALLBACK_SECRETS": self._given.get("TURNOUT_CALLBACK_SECRETS") or f"whsec_{secret}",
        }

    async def _create_resources(self) -> None:
        await create_resources(self.settings)
        if self._tasks:
            await create_task_resources(read(TaskSettings, self.environment))

    async def _start_google(self) -> None:
        with self._step("emulators"):
            await self.google.start(self._on_fetch)
        with self._step("topics and subscriptions"):
            await self._create_resources()

    async def _start_functions(self) -> None:
        with self._step("functions"):
            await asyncio.gather(*(self._start_function(function) for function in self._functions))

    async def _start_function(self, function: Function) -> None:
        port = int(self.function_urls[function.name].rpartition(":")[2])
        process = start_function(
            function,
            port,
            self.environment,
            log_folder=self.log_folder,
            workers=self._workers if function.access == "public" else 1,
            root=self._root,
        )
        self._processes[function.name] = process
        await until_function_ready(process, port)

    async def _start_gateway(self) -> None:
        with self._step("gateway"):
            urls = msgspec.json.encode(self.function_urls).decode()
            process = Process(
                "The gateway",
                [sys.executable, "-m", "emulators.gateway", str(self._port), urls],
                log=self.log_folder / "gateway.log",
                environment=self._given,
            )
            self._processes["gateway"] = process
            await until_ready(process, _answers(self.base_url + UP_PATH), seconds_max=START_SECONDS_MAX)

    async def _start_cloud_tasks(self) -> None:
        """In a process of its own: bound to no event loop, and thousands of dispatches hold nothing else up."""
        with self._step("cloud tasks"):
            process = Process(
                "Cloud Tasks",
                [
                    *(
                        sys.executable,
                        "-m",
                        "emulators.cloud_tasks",
                        "--state-folder",
                        str(self.state_folder),
                    ),
                    *("--grpc-port", str(self.tasks_ports.grpc), "--rest-port", str(self.tasks_ports.rest)),
                    *("--project", self._project, "--location", LOCATION),
                    *(("--queue", ALARMS_QUEUE) if self._tasks else ()),
                    # Like the emulators, it begins anew with the cloud.
                    "--reset",
                ],
                log=self.log_folder / "cloud-tasks.log",
                environment=self._given,
            )
            self._processes["cloud tasks"] = process
            await until_ready(process, _answers(self.tasks_ports.url), seconds_max=START_SECONDS_MAX)

    async def run_schedules(self) -> None:
        """Runs the table's schedules until it is cancelled: Cloud Scheduler calls functions, and Cloud Run's API."""
        # With these come Google's clients of both services, which take longer to import than all the rest; a cloud
        # without schedules does without.
        from emulators.cloud_run.server import cloud_run  # noqa: PLC0415
        from emulators.cloud_run.views import Place  # noqa: PLC0415
        from emulators.cloud_scheduler.server import cloud_scheduler  # noqa: PLC0415
        from emulators.schedules import scheduled  # noqa: PLC0415

        place = Place(self._project, LOCATION)
        identity = Identity(load_key(self.state_folder))
        # Like the emulators, it begins anew with the cloud: the table says what is scheduled.
        folder = self.state_folder / "cloud-scheduler"
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        async with (
            cloud_run(self.executions, place, self.run_ports),
            cloud_scheduler(
                folder,
                self.scheduler_ports,
                identity,
                pubsub_host=self.variables["PUBSUB_EMULATOR_HOST"],
                clock=self._clock,
                pages=identity_routes(identity),
            ) as scheduler,
        ):
            for job in scheduled(place, self._functions, self.function_urls, self._jobs, self.run_ports.url):
                await scheduler.create(place.parent, job)
            self._scheduling.set()
            await asyncio.Event().wait()

    async def _start_schedules(self) -> None:
        self._schedules = asyncio.create_task(self.run_schedules())
        begun = asyncio.create_task(self._scheduling.wait())
        await asyncio.wait({self._schedules, begun}, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if self._schedules.done():
            await self._schedules

    def _launch(self, job: LocalJob, overrides: Overrides) -> Execution:
        return Execution(
            job.name,
            (*job.command, *overrides.arguments),
            service_environment(job_named(job.name), {**self.environment, **overrides.environment}),
            log_folder=self.log_folder / "jobs",
            tasks=job.tasks if overrides.tasks is None else overrides.tasks,
            root=self._root,
        )

    def _state(self) -> state.State:
        return state.State(
            base_url=self.base_url,
            project=self._project,
            environment=self.variables,
            function_urls=self.function_urls,
            holder_pid=os.getpid(),
            pids={process.name: process.pid for process in self.processes},
            started_at=moment(utc_now()),
        )

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._on_step(name, None)
        began = time.monotonic()
        yield
        self._on_step(name, time.monotonic() - began)


def _answers(address: str) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=STOP_SECONDS)) as session,
                session.get(address) as answer,
            ):
                return answer.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    return answers


def _execution(processes: object) -> Execution:
    """What `_launch` started; the books know only what they need of it."""
    return cast("Execution", processes)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The fault that a person should see: the first of our own, else the first of all."""
    leaves = list(_leaves(group))
    return next((each for each in leaves if isinstance(each, LocalCloudError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
