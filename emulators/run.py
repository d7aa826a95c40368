"""Functions and jobs as deployed: functions-framework for each function, an execution of a command for each job."""

import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from emulators.execution import Execution
from emulators.processes import LOOPBACK, ROOT, Process, until_ready
from turnout.deployment import ALL_FUNCTIONS, ALL_JOBS, COMMON_SETTINGS, Function, Job

READY_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 5.0
#: Cloud Run's default.
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
