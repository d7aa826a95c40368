"""The local cloud as a whole, with functions and jobs of these tests' own in the places of the deployed ones."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import grpc
import psutil
import pytest
from google.cloud.scheduler_v1 import CloudSchedulerAsyncClient
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcAsyncIOTransport
from google.cloud.tasks_v2 import CloudTasksClient, Queue, Task
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.pubsub_v1 import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from emulators import state
from emulators.cloud_run.executions import AT_ONCE_MAX
from emulators.errors import AlreadyRunning, FetchFailed, JavaMissing, LocalCloudError, ProcessDied
from emulators.identity.tokens import utc_now
from emulators.processes import ROOT
from emulators.stack import DEFAULT_PROJECT, LOCATION, LocalCloud
from tests.conftest import run_apart, unavailable
from tests.deadlines import WAIT_SECONDS_MAX
from tests.environment import plain_environment
from tests.local_cloud.helpers import alive, eventually
from turnout.deployment import FUNCTIONS, JOBS

MAIN = """
import os
import functions_framework.aio
from starlette.responses import JSONResponse

def answer(name):
    async def function(request):
        print(request.method, request.url.path, request.headers.get("x-cloudscheduler-jobname"), flush=True)
        return JSONResponse({"function": name, "environment": dict(os.environ), "pid": os.getpid()})
    function.__name__ = name
    return functions_framework.aio.http(function)

vote, results, polls, persist = map(answer, ("vote", "results", "polls", "persist"))
"""

DRAIN = """
import json, os, signal, sys, time
print(json.dumps(dict(os.environ)), flush=True)
if os.environ.get("TURNOUT_LINGERS"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    print("waits", flush=True)
    time.sleep(600)
sys.exit(int(os.environ["CLOUD_RUN_TASK_INDEX"]) * 10)
"""

UP = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from emulators.stack import DEFAULT_PROJECT, LOCATION, LocalCloud
    async def main():
        async with LocalCloud(state_folder=Path(sys.argv[1]), root=Path(sys.argv[2]), schedule=False, workers=2) as cloud:
            cloud.start_job("drain", settings={"TURNOUT_LINGERS": "1"})
            print("up", flush=True)
            await cloud.failed()
    asyncio.run(main())
""")


def working_copy(folder: Path) -> Path:
    for name, text in {"functions/main.py": MAIN, "jobs/__init__.py": "", "jobs/drain.py": DRAIN}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    folder = tmp_path_factory.mktemp("stack")
    cloud = LocalCloud(
        state_folder=folder / "state",
        root=working_copy(folder / "root"),
        project="test-stack",
        schedule=False,
        cloud_tasks=True,
        settings={"TURNOUT_BUNDLE_VOTES_MAX": "300"},
        environment=plain_environment(),
    )
    try:
        run_apart(cloud.start())
    except (FetchFailed, JavaMissing) as error:
        unavailable(error)
    yield cloud
    run_apart(cloud.stop())


async def environment_of(address: str) -> dict[str, str]:
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        environment: dict[str, str] = (await answer.json())["environment"]
        return environment


def printed(log: Path) -> dict[str, str]:
    environment: dict[str, str] = json.loads(log.read_text().splitlines()[0])
    return environment


async def test_every_function_answers_at_its_own_address_and_at_the_gateway(cloud: LocalCloud) -> None:
    assert set(cloud.function_urls) == {function.name for function in FUNCTIONS}
    async with aiohttp.ClientSession() as session:
        for function in FUNCTIONS:
            for address in (cloud.function_urls[function.name], cloud.base_url):
                async with session.post(address + function.paths[0]) as answer:
                    assert (await answer.json())["function"] == function.name


async def test_a_function_is_told_what_cloud_run_tells_and_of_the_settings_its_own(cloud: LocalCloud) -> None:
    vote = await environment_of(cloud.function_urls["vote"])
    results = await environment_of(cloud.function_urls["results"])
    assert vote["K_SERVICE"] == vote["FUNCTION_TARGET"] == "vote"
    assert vote["FUNCTION_USE_ASGI"] == "true"
    assert cloud.function_urls["vote"].endswith(vote["PORT"])
    assert vote["GOOGLE_CLOUD_PROJECT"] == "test-stack"
    assert vote["TURNOUT_BUNDLE_VOTES_MAX"] == results["TURNOUT_BUNDLE_VOTES_MAX"] == "300"
    assert vote["TURNOUT_PEPPER"] == cloud.environment["TURNOUT_PEPPER"]
    assert "TURNOUT_PEPPER" not in results
    assert "PYTHONPATH" not in vote


async def test_a_task_of_cloud_tasks_reaches_a_function_and_its_keys_are_told(
    cloud: LocalCloud,
) -> None:
    channel = grpc.insecure_channel(cloud.variables["CLOUD_TASKS_EMULATOR_HOST"])
    client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    parent = f"projects/test-stack/locations/{LOCATION}"
    queue = await asyncio.to_thread(
        lambda: client.create_queue(parent=parent, queue=Queue(name=f"{parent}/queues/work"))
    )
    url = cloud.function_urls["persist"] + "/persist"
    task = Task({"http_request": {"url": url, "oidc_token": {"service_account_email": "tasks@test-stack"}}})
    await asyncio.to_thread(lambda: client.create_task(parent=queue.name, task=task))
    log = cloud.log_folder / "persist.log"
    await eventually(lambda: "POST /persist None" in log.read_text(), "the task arrives")
    channel.close()
    async with aiohttp.ClientSession() as session, session.get(cloud.variables["TOKEN_CERTS_URL"]) as keys:
        assert [key["alg"] for key in (await keys.json())["keys"]] == ["RS256"]


async def test_a_job_runs_a_process_a_task_with_cloud_runs_variables(cloud: LocalCloud) -> None:
    execution = cloud.start_job("drain", tasks=3, settings={"TURNOUT_IDLE_SECONDS": "1"})
    assert await execution.wait() == [0, 10, 20]
    told = [printed(log) for log in execution.logs]
    assert [each["CLOUD_RUN_TASK_INDEX"] for each in told] == ["0", "1", "2"]
    assert {each["CLOUD_RUN_TASK_COUNT"] for each in told} == {"3"}
    assert {each["CLOUD_RUN_EXECUTION"] for each in told} == {execution.name}
    assert {each["CLOUD_RUN_JOB"] for each in told} == {"drain"}
    assert {each["TURNOUT_IDLE_SECONDS"] for each in told} == {"1"}
    assert execution.name != cloud.start_job("drain").name
    with pytest.raises(ProcessDied, match="Task 1 of the job drain ended with exit code 10"):
        execution.raise_if_failed()


async def test_a_job_is_ended_by_sigterm_and_may_say_so(cloud: LocalCloud) -> None:
    execution = cloud.start_job("drain", settings={"TURNOUT_LINGERS": "1"})
    await eventually(lambda: "waits" in execution.logs[0].read_text(), "the task waits")
    assert execution.running
    assert await execution.stop() == [3]


async def test_a_job_that_takes_too_long_is_ended(cloud: LocalCloud) -> None:
    execution = cloud.start_job("drain", settings={"TURNOUT_LINGERS": "1"})
    await eventually(lambda: "waits" in execution.logs[0].read_text(), "the task waits")
    assert await execution.wait(seconds_max=0.1) == [3]


async def test_a_killed_task_shows_its_signal(cloud: LocalCloud) -> None:
    execution = cloud.start_job("drain", settings={"TURNOUT_LINGERS": "1"})
    os.kill(execution.pids[0], signal.SIGKILL)
    assert await execution.wait() == [-signal.SIGKILL]


async def test_executions_of_a_job_are_bounded(cloud: LocalCloud) -> None:
    executions = [cloud.start_job("drain", settings={"TURNOUT_LINGERS": "1"}) for _ in range(AT_ONCE_MAX)]
    try:
        with pytest.raises(LocalCloudError, match="wait for one to end"):
            cloud.start_job("drain")
    finally:
        for execution in executions:
            execution.kill()
            await execution.wait()


async def test_a_reset_empties_the_queue_and_leaves_it_usable(cloud: LocalCloud) -> None:
    settings = cloud.settings
    path = f"projects/{settings.project}/subscriptions/{settings.subscription}"
    await cloud.reset()
    async with grpc.aio.insecure_channel(settings.pubsub_emulator_host) as channel:
        subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        subscription = await subscriber.get_subscription(subscription=path, timeout=WAIT_SECONDS_MAX)
    assert subscription.ack_deadline_seconds == settings.ack_deadline_seconds
    assert settings.bundle_votes_max == 300


async def test_another_terminal_finds_the_running_cloud(cloud: LocalCloud) -> None:
    found = state.running_cloud(cloud.state_folder)
    assert found is not None
    assert found.base_url == cloud.base_url
    assert found.environment == cloud.variables
    assert found.holder_pid == os.getpid()
    assert all(alive(psutil.Process(pid)) for pid in found.pids.values())
    assert (cloud.state_folder / state.STATE_FILE).stat().st_mode & 0o077 == 0


async def test_a_second_start_says_where_the_first_one_is(cloud: LocalCloud) -> None:
    with pytest.raises(AlreadyRunning, match=f"running already at {cloud.base_url}"):
        await LocalCloud(state_folder=cloud.state_folder).start()
    assert state.running_cloud(cloud.state_folder) is not None


async def test_while_all_is_well_nothing_has_failed(cloud: LocalCloud) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(cloud.failed(), 0.5)


@pytest.mark.usefixtures("cloud")
async def test_a_function_that_cannot_start_stops_everything_and_is_named(tmp_path: Path) -> None:
    root = working_copy(tmp_path / "root")
    (root / "functions" / "main.py").write_text("raise RuntimeError('planted')")
    broken = LocalCloud(
        state_folder=tmp_path / "state", root=root, schedule=False, environment=plain_environment()
    )
    with pytest.raises(ProcessDied, match=r"The function \w+ ended with exit code 1[\s\S]*planted"):
        await broken.start()
    assert broken.processes
    assert None not in [process.code() for process in broken.processes]
    assert state.running_cloud(tmp_path / "state") is None


@pytest.mark.usefixtures("cloud")
async def test_a_cloud_that_crashes_leaves_no_process_and_no_claim(tmp_path: Path) -> None:
    up = start_apart(tmp_path)
    folder = tmp_path / "state"
    try:
        await eventually(lambda: "up" in (tmp_path / "out").read_text(), "the cloud is up")
        found = state.running_cloud(folder)
        assert found is not None
        below = psutil.Process(up.pid).children(recursive=True)
        assert set(found.pids.values()) <= {each.pid for each in below}
        assert len(below) > 2 * len(found.pids)  # each with its guard; the functions' workers too
    finally:
        up.kill()
        up.wait(WAIT_SECONDS_MAX)
    await eventually(lambda: not any(map(alive, below)), "every process is gone")
    assert (folder / state.STATE_FILE).exists()
    assert state.running_cloud(folder) is None


async def test_a_part_that_dies_is_named_with_its_log(tmp_path: Path, cloud: LocalCloud) -> None:
    assert cloud.google.processes  # the jars can be had
    steps: list[tuple[str, float | None]] = []
    async with LocalCloud(
        state_folder=tmp_path / "state",
        root=working_copy(tmp_path / "root"),
        schedule=True,
        environment=plain_environment(),
        on_step=lambda *each: steps.append(each),
    ) as other:
        assert {name for name, seconds in steps if seconds is None} == {
            name for name, seconds in steps if seconds
        }
        os.kill(other.google.processes[0].pid, signal.SIGKILL)
        said = await asyncio.wait_for(other.failed(), WAIT_SECONDS_MAX)
    assert "emulator ended by signal 9" in said
    assert not (tmp_path / "state" / state.STATE_FILE).exists()


class LateInTheMinute:
    """A clock that shows two seconds before a full minute when it is first read, and goes on from there."""

    def __init__(self) -> None:
        self._ahead: timedelta | None = None

    def __call__(self) -> datetime:
        now = utc_now()
        if self._ahead is None:
            self._ahead = timedelta(seconds=58) - timedelta(seconds=now.second, microseconds=now.microsecond)
        return now + self._ahead


async def test_a_full_minute_and_a_person_call_functions_and_start_jobs(
    tmp_path: Path, cloud: LocalCloud
) -> None:
    assert cloud.google.processes  # the jars can be had
    async with LocalCloud(
        state_folder=tmp_path,
        root=working_copy(tmp_path / "root"),
        environment=plain_environment(),
        clock=LateInTheMinute(),
    ) as other:
        host = other.variables["CLOUD_SCHEDULER_EMULATOR_HOST"]
        async with grpc.aio.insecure_channel(host) as channel:
            client = CloudSchedulerAsyncClient(transport=CloudSchedulerGrpcAsyncIOTransport(channel=channel))
            parent = f"projects/{DEFAULT_PROJECT}/locations/{LOCATION}"
            jobs = {
                each.name.rpartition("/")[2]: each async for each in await client.list_jobs(parent=parent)
            }
            assert {name: each.schedule for name, each in jobs.items()} == {
                each.name: each.schedule for each in (*FUNCTIONS, *JOBS) if each.schedule
            }
            folder = other.log_folder / "jobs"
            await eventually(lambda: any(folder.glob("drain-*.log")), "the minute starts a drain")
            drain = await client.get_job(name=jobs["drain"].name)
            assert drain.last_attempt_time.second == 0
            called = other.log_folder / "persist.log"
            await eventually(
                lambda: "POST /persist persist" in called.read_text(), "the minute calls persist"
            )
            already = called.read_text().count("POST /persist persist")
            await client.run_job(name=jobs["persist"].name)
            await eventually(
                lambda: called.read_text().count("POST /persist persist") > already, "a person calls it"
            )


async def test_a_taken_port_is_named(tmp_path: Path, cloud: LocalCloud) -> None:
    port = int(cloud.base_url.rpartition(":")[2])
    with pytest.raises(LocalCloudError, match=f"port {port} is taken"):
        await LocalCloud(state_folder=tmp_path, port=port).start()
    assert state.running_cloud(tmp_path) is None


def start_apart(tmp_path: Path) -> subprocess.Popen[bytes]:
    root = working_copy(tmp_path / "root")
    with (tmp_path / "out").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-c", UP, str(tmp_path / "state"), str(root)],
            cwd=ROOT,
            env=plain_environment(),
            stdout=output,
            stderr=output,
        )
