"""Functions and jobs as deployed: functions-framework for each function, a process for each task of a job."""

import asyncio
import secrets
import signal
import string
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from emulators.errors import ProcessDied
from emulators.processes import GRACE_SECONDS, LOOPBACK, ROOT, Process, stop_all, until_ready
from turnout.deployment import ALL_FUNCTIONS, ALL_JOBS, COMMON_SETTINGS, Function, Job

READY_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 5.0
#: Cloud Run's defaults.
TASK_SECONDS_MAX = 600.0
TASKS_MAX = 10_000
REQUEST_SECONDS_MAX = 60

#: What the developer's shell has and a deployed container has not.
NOT_DEPLOYED = (
    "PYTHONPATH",
    "PYTHONHOME",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "FUNCTION_SIGNATURE_TYPE",
    "DEBUG",
)


def service_environment(service: Function | Job, environment: Mapping[str, str]) -> dict[str, str]:
    """What a function or a job is told: of the settings that the table names, only its own."""
    told = {*COMMON_SETTINGS, *service.settings}
    named = {name for each in (*ALL_FUNCTIONS, *ALL_JOBS) for name in each.settings}
    withheld = (named - told) | set(NOT_DEPLOYED)
    return {name: value for name, value in environment.items() if name not in withheld}


def start_function(
    function: Function,
    port: int,
    environment: Mapping[str, str],
    *,
    log_folder: Path,
    workers: int = 1,
    root: Path = ROOT,
) -> Process:
    """Starts a function under functions-framework, with the variables that Cloud Run sets."""
    command = [
        str(Path(sysconfig.get_path("scripts")) / "functions-framework"),
        "--source",
        "functions/main.py",
        "--target",
        function.name,
        "--host",
        LOOPBACK,
    ]
    cloud_run = {
        "PORT": str(port),
        "K_SERVICE": function.name,
        "K_REVISION": f"{function.name}-00001-loc",
        "K_CONFIGURATION": function.name,
        "FUNCTION_TARGET": function.name,
        "FUNCTION_USE_ASGI": "true",
        "WORKERS": str(workers),
        "CLOUD_RUN_TIMEOUT_SECONDS": str(REQUEST_SECONDS_MAX),
        "PYTHONUNBUFFERED": "1",
    }
    return Process(
        f"The function {function.name}",
        command,
        log=log_folder / f"{function.name}.log",
        environment={**service_environment(function, environment), **cloud_run},
        folder=root,
    )


async def until_function_ready(process: Process, port: int) -> None:
    """Waits until a function answers; its own code is not called."""
    await until_ready(process, lambda: _answers(port), seconds_max=READY_SECONDS_MAX)


async def _answers(port: int) -> bool:
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    # The framework answers this path itself, once a worker serves.
    address = f"http://{LOOPBACK}:{port}/robots.txt"
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address):
            return True
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


class Execution:
    """One execution of a job: its tasks run side by side, a process each."""

    def __init__(
        self,
        job: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log_folder: Path,
        tasks: int = 1,
        root: Path = ROOT,
    ) -> None:
        if not 1 <= tasks <= TASKS_MAX:
            raise ValueError(f"a job has 1 to {TASKS_MAX:,} tasks, not {tasks:,}")
        self.job = job
        #: Unique per execution, as Cloud Run's.
        self.name = f"{job}-{''.join(secrets.choice(string.ascii_lowercase) for _ in range(8))}"
        self.processes: list[Process] = []
        try:
            for index in range(tasks):
                self.processes.append(
                    Process(
                        f"Task {index} of the job {job}",
                        command,
                        log=log_folder / f"{self.name}-{index}.log",
                        environment={
                            **environment,
                            "CLOUD_RUN_JOB": job,
                            "CLOUD_RUN_EXECUTION": self.name,
                            "CLOUD_RUN_TASK_INDEX": str(index),
                            "CLOUD_RUN_TASK_COUNT": str(tasks),
                            "CLOUD_RUN_TASK_ATTEMPT": "0",
                            "PYTHONUNBUFFERED": "1",
                        },
                        folder=root,
                    )
                )
        except BaseException:
            self.let_go()
            raise

    @property
    def pids(self) -> list[int]:
        """The tasks' process ids, by task index."""
        return [process.pid for process in self.processes]

    @property
    def logs(self) -> list[Path]:
        """The tasks' outputs, by task index."""
        return [process.log for process in self.processes]

    def codes(self) -> list[int | None]:
        """The tasks' exit codes; None for what still runs."""
        return [process.code() for process in self.processes]

    @property
    def running(self) -> bool:
        """Whether a task still runs."""
        return None in self.codes()

    async def wait(self, seconds_max: float = TASK_SECONDS_MAX) -> list[int]:
        """Waits for the tasks' ends; those that take too long are ended as Cloud Run ends them."""
        try:
            async with asyncio.timeout(seconds_max):
                return [await process.wait() for process in self.processes]
        except TimeoutError:
            return await self.stop()

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> list[int]:
        """SIGTERM, a grace period, SIGKILL; answers the exit codes."""
        await stop_all(self.processes, grace_seconds)
        return [await process.wait() for process in self.processes]

    def terminate(self) -> None:
        """SIGTERM to each task, without a wait."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to each task, without a wait."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to each task."""
        for process in self.processes:
            process.signal(number)

    def let_go(self) -> None:
        """Lets the guards kill what still runs."""
        for process in self.processes:
            process.let_go()

    def raise_if_failed(self) -> None:
        """`ProcessDied`, with the log's end, for the first task that failed."""
        for process in self.processes:
            code = process.code()
            if code:
                raise ProcessDied(process.name, code, process.log)


def start_job(
    job: Job, environment: Mapping[str, str], *, log_folder: Path, tasks: int = 1, root: Path = ROOT
) -> Execution:
    """Starts an execution of a job of the table, with the settings that it is told of and no others."""
    return Execution(
        job.name,
        job_command(job),
        service_environment(job, environment),
        log_folder=log_folder,
        tasks=tasks,
        root=root,
    )


def job_command(job: Job) -> tuple[str, ...]:
    """How a task of a job is started."""
    return (sys.executable, "-m", f"jobs.{job.module}")


def job_named(name: str) -> Job:
    """The job of this name in the table."""
    for job in ALL_JOBS:
        if job.name == name:
            return job
    raise KeyError(f"there is no job {name!r}; there are {', '.join(job.name for job in ALL_JOBS)}")
