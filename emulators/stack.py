"""The local cloud as a whole: emulators, resources, functions, gateway and scheduler, up together and down together."""

import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from emulators import state
from emulators.errors import LocalCloudError, ProcessDied, ProcessUnstartable
from emulators.gateway import UP_PATH
from emulators.google import GoogleEmulators
from emulators.processes import LOOPBACK, ROOT, Process, free_port, port_is_free, stop_all, until_ready
from emulators.resources import create_resources
from emulators.run import TASK_SECONDS_MAX, Execution, job_named, start_function, until_function_ready
from emulators.scheduler import Scheduler, schedule_all, utc_now
from turnout.base.clock import moment
from turnout.base.environment import read
from turnout.deployment import FUNCTIONS, JOBS, Function
from turnout.gcp.votes.settings import Settings

DEFAULT_PROJECT = "demo-turnout"
DEFAULT_PORT = 8080
GATEWAY_SECONDS_MAX = 30.0
STOP_SECONDS = 5.0
WATCH_SECONDS = 0.2
PEPPER_BYTES = 32
#: Executions of one job at once; an execution that comes due beyond them is left out.
EXECUTIONS_MAX = 4
#: Ended executions that are remembered, for their logs.
EXECUTIONS_KEPT_MAX = 100

#: Told the name of each step: as it begins, with None, and as it ends, with the seconds that it took.
OnStep = Callable[[str, float | None], None]


class LocalCloud:
    """A Turnout on this machine, as deployed.

    Its processes are bound to no event loop, so that it may be started, used and stopped from different ones, unless
    it schedules: the scheduler lives in the loop of the start.
    """

    def __init__(  # the options of the command line, one to one
        self,
        *,
        state_folder: Path | None = None,
        project: str = DEFAULT_PROJECT,
        workers: int = 1,
        schedule: bool = True,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        on_step: OnStep = lambda *_: None,
        on_fetch: Callable[[str, int, int], None] = lambda *_: None,
        root: Path = ROOT,
    ) -> None:
        self.state_folder = (state_folder or state.DEFAULT_FOLDER).resolve()
        self._project = project
        self._workers = workers
        self._schedule = schedule
        self._port = port
        self._settings = dict(settings or {})
        self._given = dict(os.environ if environment is None else environment)
        self._on_step = on_step
        self._on_fetch = on_fetch
        self._root = root
        self._closing = contextlib.ExitStack()
        self._processes: dict[str, Process] = {}
        self._executions: list[Execution] = []
        self._scheduler: asyncio.Task[None] | None = None
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
            if self._schedule:
                self._scheduler = asyncio.create_task(self._run_scheduler())
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
            if self._scheduler is not None:
                self._scheduler.cancel()
                await asyncio.wait([self._scheduler], timeout=STOP_SECONDS)
                self._scheduler = None
            jobs = [process for each in self._executions for process in each.processes]
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
        await create_resources(self.settings)

    def start_job(
        self,
        name: str,
        *,
        tasks: int = 1,
        settings: Mapping[str, str] | None = None,
        executions_max: int = EXECUTIONS_MAX,
    ) -> Execution:
        """Starts an execution of a job as Cloud Run would."""
        job = job_named(name)
        under_way = [each for each in self._executions if each.job.name == name and each.running]
        if len(under_way) >= executions_max:
            raise LocalCloudError(
                f"{len(under_way)} executions of the job {name} run already; wait for one to end."
            )
        self._forget_ended()
        execution = Execution(
            job,
            {**self.environment, **(settings or {})},
            log_folder=self.log_folder / "jobs",
            tasks=tasks,
            root=self._root,
        )
        self._executions.append(execution)
        return execution

    async def run_job(
        self,
        name: str,
        *,
        tasks: int = 1,
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
            if self._scheduler is not None and self._scheduler.done() and not self._scheduler.cancelled():
                return f"The scheduler ended: {self._scheduler.exception()!r}"
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
        for function in FUNCTIONS:
            port = free_port(taken)
            taken.add(port)
            self.function_urls[function.name] = f"http://{LOOPBACK}:{port}"
        if self._port and not port_is_free(self._port):
            raise ProcessUnstartable("The local cloud", f"port {self._port} is taken; choose another one")
        self._port = self._port or free_port(taken)
        self.base_url = f"http://{LOOPBACK}:{self._port}"
        self.variables = {
            "GOOGLE_CLOUD_PROJECT": self._project,
            **self._google.environment,
            "TURNOUT_PEPPER": self._given.get("TURNOUT_PEPPER") or secrets.token_urlsafe(PEPPER_BYTES),
            "TURNOUT_URL": self.base_url,
            **self._settings,
        }
        self.environment = {**self._given, **self.variables}

    async def _start_google(self) -> None:
        with self._step("emulators"):
            await self.google.start(self._on_fetch)
        with self._step("topics and subscriptions"):
            await create_resources(self.settings)

    async def _start_functions(self) -> None:
        with self._step("functions"):
            await asyncio.gather(*(self._start_function(function) for function in FUNCTIONS))

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
            await until_ready(process, self._gateway_answers, seconds_max=GATEWAY_SECONDS_MAX)

    async def _gateway_answers(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=STOP_SECONDS)) as session,
                session.get(self.base_url + UP_PATH) as answer,
            ):
                return answer.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _run_scheduler(self) -> None:
        scheduler = Scheduler()
        schedule_all(scheduler, FUNCTIONS, self.function_urls, JOBS, lambda job: self.start_job(job.name))
        await scheduler.run()

    def _forget_ended(self) -> None:
        ended = [each for each in self._executions if not each.running]
        for execution in ended[:-EXECUTIONS_KEPT_MAX]:
            self._executions.remove(execution)
            for log in execution.logs:
                log.unlink(missing_ok=True)

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
