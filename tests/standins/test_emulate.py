"""`turnout emulate` as a process: what it says, what survives a SIGKILL, and how it ends."""

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import psutil
import pytest
from aiohttp import web
from google.cloud import scheduler_v1
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport
from typer import BadParameter

from cli.emulate import commands, named, ports, ready
from emulators.api.serving import Ports
from emulators.processes import LOOPBACK, ROOT, free_port
from emulators.standins import DEFAULT_PORTS, StandIn
from tests.deadlines import COMMAND_SECONDS_MAX, WAIT_SECONDS_MAX
from tests.local_cloud.helpers import eventually, serving

PARENT = "projects/demo/locations/us-central1"
FREE = ("--port", "tasks=0,0", "--port", "scheduler=0,0", "--port", "run=0,0", "--port", "identity=0")
#: What an idle process may use of a processor, as a share of the time that goes by.
IDLE_SHARE_MAX = 0.02


@contextlib.asynccontextmanager
async def emulating(
    folder: Path, *words: str, **variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, str]]]:
    """The process, and the variables that it printed."""
    environment = {name: value for name, value in os.environ.items() if "EMULATOR" not in name}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from cli import app; app()",
        "emulate",
        *words,
        *FREE,
        "--project",
        "demo",
        "--state-folder",
        str(folder),
        env={**environment, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process, await asyncio.wait_for(exported(process), COMMAND_SECONDS_MAX)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def exported(process: asyncio.subprocess.Process) -> dict[str, str]:
    found: dict[str, str] = {}
    assert process.stdout is not None
    async for line in process.stdout:
        text = line.decode().strip()
        if text.startswith("# ready"):
            return found
        name, _, value = text.removeprefix("export ").partition("=")
        (found[name],) = shlex.split(value)
    assert process.stderr is not None
    raise AssertionError((await process.stderr.read()).decode())


def scheduler_client(variables: Mapping[str, str]) -> Any:
    channel = grpc.insecure_channel(variables["CLOUD_SCHEDULER_EMULATOR_HOST"])
    return scheduler_v1.CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))


def job(number: int, uri: str) -> scheduler_v1.Job:
    return scheduler_v1.Job(
        {"name": f"{PARENT}/jobs/job-{number}", "schedule": "0 0 1 1 *", "http_target": {"uri": uri}}
    )


async def test_all_of_them_say_where_they_are_and_end_at_sigterm(tmp_path: Path) -> None:
    async with emulating(tmp_path, "--queue", "mail", "--job", "tick=echo hello") as (process, variables):
        assert set(variables) == {
            "GOOGLE_CLOUD_PROJECT",
            "TOKEN_CERTS_URL",
            *(
                f"CLOUD_{service}_EMULATOR_{kind}"
                for service in ("TASKS", "SCHEDULER", "RUN")
                for kind in ("HOST", "URL")
            ),
        }
        async with aiohttp.ClientSession() as session:
            for path, expected in (
                (f"{variables['CLOUD_TASKS_EMULATOR_URL']}/v2/{PARENT}/queues", "queues/mail"),
                (f"{variables['CLOUD_SCHEDULER_EMULATOR_URL']}/v1/{PARENT}/jobs", "{}"),
                (f"{variables['CLOUD_RUN_EMULATOR_URL']}/v2/{PARENT}/jobs", "jobs/tick"),
                (variables["TOKEN_CERTS_URL"], "RS256"),
            ):
                async with session.get(path) as answer:
                    assert expected in await answer.text()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WAIT_SECONDS_MAX) == 0


async def test_cloud_tasks_heeds_its_options(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        assert request.headers["X-AppEngine-QueueName"] == "mail"
        arrived.set()
        return web.Response()

    application = web.Application()
    application.router.add_post("/work", handle)
    async with serving(application) as uri:
        options = ("--queue", "mail", "--app-engine-url", uri, "--service-account", "known@example.com")
        async with (
            emulating(tmp_path, "tasks", *options, "--no-ramp-up") as (_, variables),
            aiohttp.ClientSession() as session,
        ):
            tasks = f"{variables['CLOUD_TASKS_EMULATOR_URL']}/v2/{PARENT}/queues/mail/tasks"
            for account, status in (("known@example.com", 200), ("stranger@example.com", 404)):
                request = {"url": f"{uri}/elsewhere", "oidcToken": {"serviceAccountEmail": account}}
                async with session.post(tasks, json={"task": {"httpRequest": request}}) as answer:
                    assert answer.status == status
            body = {"task": {"appEngineHttpRequest": {"relativeUri": "/work"}}}
            async with session.post(tasks, json=body) as answer:
                assert answer.status == 200
            await asyncio.wait_for(arrived.wait(), WAIT_SECONDS_MAX)


async def test_after_a_sigkill_every_job_is_there_and_what_was_under_way_is_made_again(
    tmp_path: Path,
) -> None:
    seen: list[str] = []
    held = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.headers["X-CloudScheduler-JobName"])
        if not held.is_set():
            await held.wait()
        return web.Response()

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    async with serving(application) as uri:
        async with emulating(tmp_path, "scheduler") as (process, variables):
            client = scheduler_client(variables)
            for number in range(20):
                await asyncio.to_thread(client.create_job, parent=PARENT, job=job(number, uri))
            await asyncio.to_thread(client.pause_job, name=f"{PARENT}/jobs/job-3")
            await asyncio.to_thread(client.run_job, name=f"{PARENT}/jobs/job-7")
            await eventually(lambda: seen == ["job-7"], "the attempt is under way")
            process.kill()
            await process.wait()
        held.set()
        async with emulating(tmp_path, "scheduler") as (_, variables):
            client = scheduler_client(variables)
            await eventually(lambda: seen == ["job-7", "job-7"], "the attempt is made again")
            jobs = await asyncio.to_thread(lambda: list(client.list_jobs(parent=PARENT)))
            assert {each.name.rpartition("-")[2]: each.state.name for each in jobs} == {
                str(number): "PAUSED" if number == 3 else "ENABLED" for number in range(20)
            }
        async with emulating(tmp_path, "scheduler", "--reset") as (_, variables):
            client = scheduler_client(variables)
            assert not await asyncio.to_thread(lambda: list(client.list_jobs(parent=PARENT)))


async def test_a_kill_at_any_moment_loses_no_job_that_was_confirmed(tmp_path: Path) -> None:
    confirmed: list[str] = []
    for turn in range(3):
        async with emulating(tmp_path, "scheduler") as (process, variables):
            client = scheduler_client(variables)

            def create(turn: int = turn, client: Any = client) -> None:
                with contextlib.suppress(Exception):
                    for number in range(turn * 1_000, turn * 1_000 + 1_000):
                        made = client.create_job(
                            parent=PARENT, job=job(number, "http://127.0.0.1:9/"), timeout=5
                        )
                        confirmed.append(made.name)

            creating = asyncio.create_task(asyncio.to_thread(create))
            enough = len(confirmed) + 20 + turn * 13
            await eventually(lambda enough=enough: len(confirmed) >= enough, "jobs are created")  # type: ignore[misc]
            process.kill()
            await creating
    async with emulating(tmp_path, "scheduler") as (_, variables):
        client = scheduler_client(variables)
        found = await asyncio.to_thread(lambda: {each.name for each in client.list_jobs(parent=PARENT)})
    assert set(confirmed) <= found
    assert len(found) <= len(confirmed) + 3  # of each turn, one may be stored and not confirmed


async def test_when_nothing_is_due_no_processor_is_used(tmp_path: Path) -> None:
    seconds = 4.0
    async with emulating(tmp_path, "scheduler", "run", "--job", "tick=true") as (process, variables):
        client = scheduler_client(variables)
        for number in range(50):
            await asyncio.to_thread(client.create_job, parent=PARENT, job=job(number, "http://127.0.0.1:9/"))
        watched = psutil.Process(process.pid)
        before = watched.cpu_times()
        await asyncio.sleep(seconds)
        after = watched.cpu_times()
    used = after.user + after.system - before.user - before.system
    assert used <= IDLE_SHARE_MAX * seconds


async def test_a_json_log_is_json_on_both_outputs(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from cli import app; app()",
        *("emulate", "scheduler", "--log", "json", *FREE, "--state-folder", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), COMMAND_SECONDS_MAX))
    assert line["message"] == "ready"
    client = scheduler_client(line["environment"])
    parent = "projects/local-project/locations/us-central1"
    made = scheduler_v1.Job(
        name=f"{parent}/jobs/tick", schedule="0 0 1 1 *", http_target={"uri": "http://127.0.0.1:9/"}
    )
    await asyncio.to_thread(client.create_job, parent=parent, job=made)
    await asyncio.to_thread(client.run_job, name=made.name)

    def failed() -> bool:
        return (
            "code" in str(client.get_job(name=made.name).status)
            and client.get_job(name=made.name).status.code == grpc.StatusCode.UNAVAILABLE.value[0]
        )

    for _ in range(500):
        if await asyncio.to_thread(failed):
            break
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(process.communicate(), WAIT_SECONDS_MAX)
    lines = [json.loads(each) for each in errors.decode().splitlines()]
    assert any("tick" in each["message"] and each["severity"] == "WARNING" for each in lines), lines


async def test_two_on_one_state_folder_and_a_taken_port_are_refused_with_the_mend(tmp_path: Path) -> None:
    async with emulating(tmp_path, "identity") as (_, variables):
        for words, said in (
            (("identity", *FREE, "--state-folder", str(tmp_path)), "state folder other than"),
            (
                (
                    "identity",
                    "--port",
                    f"identity={variables['TOKEN_CERTS_URL'].split(':')[2].partition('/')[0]}",
                    "--state-folder",
                    str(tmp_path / "other"),
                ),
                "is taken; choose another one",
            ),
        ):
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", "from cli import app; app()", "emulate", *words],
                capture_output=True,
                text=True,
                check=False,
                timeout=COMMAND_SECONDS_MAX,
            )
            assert done.returncode != 0
            assert said in re.sub(r"\s+", " ", done.stderr)
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("document", "call"),
    [
        ("cloud-scheduler", "module.scheduler_client().list_jobs(parent=parent)"),
        ("cloud-run-jobs", "module.jobs_client().list_jobs(parent=parent)"),
        ("cloud-run-jobs", "module.executions_client().list_executions(parent=parent + '/jobs/tick')"),
    ],
)
async def test_the_documented_lines_make_a_client_of_the_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: str, call: str
) -> None:
    text = (ROOT / "docs" / f"{document}.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert programs
    async with emulating(tmp_path, "scheduler", "run", "--job", "tick=true") as (_, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        module = types.ModuleType("documented")
        for program in programs:
            exec(compile(program, document, "exec"), module.__dict__)
        assert (
            await asyncio.to_thread(lambda: list(eval(call, {"module": module, "parent": PARENT})))
            is not None
        )


def test_exports_are_lines_that_a_shell_understands() -> None:
    said = ready({"A": "plain", "B": "two words; $x"}, as_json=False)
    done = subprocess.run(["sh", "-c", f'{said}\nprintf %s "$B"'], capture_output=True, text=True, check=True)
    assert done.stdout == "two words; $x"


def test_names_ports_and_commands_are_read() -> None:
    assert named(["all"]) == tuple(StandIn)
    assert named(["run", "tasks"]) == (StandIn.RUN, StandIn.TASKS)
    assert ports([]) == DEFAULT_PORTS
    assert ports(["tasks=1,2", "identity=3"])[StandIn.TASKS] == Ports(1, 2)
    assert ports(["identity=3"])[StandIn.IDENTITY] == Ports(0, 3)
    assert commands(["tick=python -m 'a b'"]) == {"tick": ("python", "-m", "a b")}


@pytest.mark.parametrize(
    "word", ["", "tasks", "tasks=1", "tasks=1,2,3", "tasks=a,b", "tasks=1,65536", "x=1,2", "identity=1,2"]
)
def test_wrong_ports_are_refused(word: str) -> None:
    with pytest.raises(BadParameter, match="is not NAME=GRPC,REST"):
        ports([word])


@pytest.mark.parametrize("word", ["", "tick", "tick=", "=true", "tick='"])
def test_wrong_jobs_are_refused(word: str) -> None:
    with pytest.raises(BadParameter, match="is not NAME=COMMAND"):
        commands([word])


def test_an_unknown_stand_in_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        BadParameter, match="there is no 'storage'; there are tasks, scheduler, run, identity, all"
    ):
        named(["storage"])


def test_the_default_ports_are_all_different() -> None:
    numbers = [port for each in DEFAULT_PORTS.values() for port in (each.grpc, each.rest) if port]
    assert len(numbers) == len(set(numbers))
    assert free_port() not in numbers
    assert LOOPBACK
