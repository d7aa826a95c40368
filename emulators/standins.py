"""Stand-ins of Google's services together, for any project: what `turnout emulate` runs."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from aiohttp import web

from emulators import state
from emulators.api.serving import SHUTDOWN_SECONDS, Ports, choose_ports
from emulators.cloud_run.executions import Executions
from emulators.cloud_run.jobs import RETRIES_DEFAULT, LocalJob, Overrides
from emulators.cloud_run.server import cloud_run
from emulators.cloud_run.views import Place
from emulators.cloud_scheduler.server import cloud_scheduler
from emulators.cloud_tasks.server import CloudTasks, Settings
from emulators.execution import Execution
from emulators.identity import Identity, load_key
from emulators.identity.server import JWKS_PATH, identity_application, identity_routes
from emulators.processes import LOOPBACK


class StandIn(StrEnum):
    """What can be run, by the name that a person says."""

    TASKS = "tasks"
    SCHEDULER = "scheduler"
    RUN = "run"
    IDENTITY = "identity"


#: Next to each other, gRPC first: a person finds the second from the first.
DEFAULT_PORTS = {
    StandIn.TASKS: Ports(8123, 8124),
    StandIn.SCHEDULER: Ports(8125, 8126),
    StandIn.RUN: Ports(8127, 8128),
    #: Without gRPC.
    StandIn.IDENTITY: Ports(0, 8129),
}
FOLDERS = {StandIn.TASKS: "cloud-tasks", StandIn.SCHEDULER: "cloud-scheduler", StandIn.RUN: "cloud-run"}


@dataclass(frozen=True)
class Wanted:
    """What is to run, and how."""

    stand_ins: tuple[StandIn, ...]
    place: Place
    folder: Path
    ports: Mapping[StandIn, Ports] = field(default_factory=lambda: DEFAULT_PORTS)
    #: Begin with empty queues and without jobs; the signing key stays.
    reset: bool = False
    #: Queues that are there from the start, by their short names.
    queues: tuple[str, ...] = ()
    #: Commands that Cloud Run's jobs are, by their names.
    jobs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: How often a task of theirs that fails is tried again.
    job_retries_max: int = RETRIES_DEFAULT
    pubsub_host: str = ""
    #: Cloud Tasks: the slow start of locations that were idle.
    ramp_up: bool = True
    #: Cloud Tasks: where App Engine tasks go; empty: nowhere, and their attempts fail.
    app_engine_url: str = ""
    #: Cloud Tasks: the service accounts that exist; none: all do.
    service_accounts: tuple[str, ...] = ()


@contextlib.asynccontextmanager
async def stand_ins(wanted: Wanted) -> AsyncIterator[dict[str, str]]:
    """Runs them until the block ends; the variables by which programs find them."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(state.held(wanted.folder))
        if wanted.reset:
            for name in FOLDERS.values():
                await asyncio.to_thread(shutil.rmtree, wanted.folder / name, ignore_errors=True)
        identity = Identity(load_key(wanted.folder))
        variables = {"GOOGLE_CLOUD_PROJECT": wanted.place.project}
        for each in StandIn:
            if each in wanted.stand_ins:
                variables.update(await stack.enter_async_context(_STARTS[each](wanted, identity)))
        yield variables


@contextlib.asynccontextmanager
async def _tasks(wanted: Wanted, identity: Identity) -> AsyncIterator[dict[str, str]]:
    ports = wanted.ports[StandIn.TASKS]
    settings = Settings(
        state_folder=wanted.folder / FOLDERS[StandIn.TASKS],
        ports=ports,
        queues=tuple(f"{wanted.place.parent}/queues/{name}" for name in wanted.queues),
        ramp_up=wanted.ramp_up,
        app_engine_url=wanted.app_engine_url,
        service_accounts=frozenset(wanted.service_accounts) or None,
    )
    async with CloudTasks(settings, identity) as tasks:
        yield {
            "CLOUD_TASKS_EMULATOR_HOST": tasks.ports.grpc_host,
            "CLOUD_TASKS_EMULATOR_URL": tasks.ports.url,
            "TOKEN_CERTS_URL": tasks.ports.url + JWKS_PATH,
        }


@contextlib.asynccontextmanager
async def _scheduler(wanted: Wanted, identity: Identity) -> AsyncIterator[dict[str, str]]:
    ports = _chosen(wanted, StandIn.SCHEDULER)
    folder = wanted.folder / FOLDERS[StandIn.SCHEDULER]
    pages = identity_routes(identity)
    async with cloud_scheduler(folder, ports, identity, pubsub_host=wanted.pubsub_host, pages=pages):
        yield {
            "CLOUD_SCHEDULER_EMULATOR_HOST": ports.grpc_host,
            "CLOUD_SCHEDULER_EMULATOR_URL": ports.url,
            "TOKEN_CERTS_URL": ports.url + JWKS_PATH,
        }


@contextlib.asynccontextmanager
async def _run(wanted: Wanted, _: Identity) -> AsyncIterator[dict[str, str]]:
    ports = _chosen(wanted, StandIn.RUN)
    logs = wanted.folder / FOLDERS[StandIn.RUN]

    def launch(job: LocalJob, overrides: Overrides) -> Execution:
        return Execution(
            job.name,
            (*job.command, *overrides.arguments),
            {**job.environment, **overrides.environment},
            log_folder=logs,
            tasks=overrides.tasks or job.tasks,
            retries_max=job.retries_max,
            root=Path.cwd(),
        )

    environment = {**os.environ, "GOOGLE_CLOUD_PROJECT": wanted.place.project}
    jobs = {
        name: LocalJob(name, command, environment, retries_max=wanted.job_retries_max)
        for name, command in wanted.jobs.items()
    }
    executions = Executions(jobs, launch)
    try:
        async with cloud_run(executions, wanted.place, ports):
            yield {"CLOUD_RUN_EMULATOR_HOST": ports.grpc_host, "CLOUD_RUN_EMULATOR_URL": ports.url}
    finally:
        await asyncio.gather(*(run.processes.stop() for run in executions.runs() if run.running))


@contextlib.asynccontextmanager
async def _identity(wanted: Wanted, identity: Identity) -> AsyncIterator[dict[str, str]]:
    port = choose_ports("The token stand-in", rest=wanted.ports[StandIn.IDENTITY].rest).rest
    runner = web.AppRunner(identity_application(identity), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        yield {"TOKEN_CERTS_URL": f"http://{LOOPBACK}:{port}{JWKS_PATH}"}
    finally:
        await runner.cleanup()


def _chosen(wanted: Wanted, stand_in: StandIn) -> Ports:
    asked = wanted.ports[stand_in]
    return choose_ports(f"The stand-in {stand_in}", asked.grpc, asked.rest)


_STARTS = {
    StandIn.TASKS: _tasks,
    StandIn.SCHEDULER: _scheduler,
    StandIn.RUN: _run,
    StandIn.IDENTITY: _identity,
}
