"""The stand-in for Cloud Run's jobs, called by Google's own client over gRPC and REST; processes are real ones."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2
from google.cloud.run_v2.services.executions.transports import (
    ExecutionsGrpcTransport,
    ExecutionsRestTransport,
)
from google.cloud.run_v2.services.jobs.transports import JobsGrpcTransport, JobsRestTransport
from google.protobuf import duration_pb2

from emulators.api.serving import Ports, choose_ports
from emulators.cloud_run.executions import AT_ONCE_MAX, KEPT_MAX, Executions
from emulators.cloud_run.jobs import LocalJob, Overrides
from emulators.cloud_run.server import cloud_run
from emulators.cloud_run.views import Place
from emulators.errors import ProcessUnstartable
from emulators.execution import Execution
from tests.deadlines import WAIT_SECONDS_MAX
from tests.local_cloud.helpers import eventually

PLACE = Place("demo", "europe-west1")
#: Processes of an execution at once.
PLACES = 3
#: Says what it was told, and ends as it is told.
TICK = """
import json, os, signal, sys, time
print(json.dumps({"environment": dict(os.environ), "arguments": sys.argv[1:]}), flush=True)
if os.environ.get("WAITS"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    print("waits", flush=True)
    time.sleep(600)
if os.environ["CLOUD_RUN_TASK_ATTEMPT"] >= os.environ.get("SUCCEEDS_AT", "9"):
    sys.exit(0)
sys.exit(int(os.environ.get("ENDS", "0")))
"""


@dataclass
class Stand:
    """A running stand-in."""

    executions: Executions
    ports: Ports

    def jobs(self, transport: str = "grpc") -> Any:
        return run_v2.JobsClient(transport=self._transport(JobsGrpcTransport, JobsRestTransport, transport))

    def runs(self, transport: str = "grpc") -> Any:
        return run_v2.ExecutionsClient(
            transport=self._transport(ExecutionsGrpcTransport, ExecutionsRestTransport, transport)
        )

    def _transport(self, over_grpc: Any, over_rest: Any, transport: str) -> Any:
        if transport == "grpc":
            return over_grpc(channel=grpc.insecure_channel(self.ports.grpc_host))
        host = self.ports.url.removeprefix("http://")
        return over_rest(host=host, url_scheme="http", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    def launch(job: LocalJob, overrides: Overrides) -> Execution:
        return Execution(
            job.name,
            (*job.command, *overrides.arguments),
            {**job.environment, **overrides.environment},
            log_folder=tmp_path,
            tasks=overrides.tasks or job.tasks,
            retries_max=job.retries_max,
            at_once_max=PLACES,
        )

    command = (sys.executable, "-c", TICK)
    environment = {"PATH": os.environ["PATH"], "GIVEN": "by the job"}
    jobs = {name: LocalJob(name, command, environment, retries_max=0) for name in ("tick", "tock")}
    jobs["again"] = LocalJob("again", command, environment, retries_max=2)
    executions, ports = Executions(jobs, launch), choose_ports("it")
    async with cloud_run(executions, PLACE, ports):
        yield Stand(executions, ports)
    for run in {each.uid: each for each in executions.runs()}.values():
        await run.processes.stop()


async def called(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return await asyncio.to_thread(call, *arguments, **named)


def told(stand: Stand, index: int = 0) -> Any:
    return json.loads(stand.executions.runs()[0].processes.logs[index].read_text().splitlines()[0])


def request(job: str = "tick", **overrides: Any) -> Any:
    return run_v2.RunJobRequest(name=PLACE.job(job), overrides=overrides)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
async def test_a_job_is_run_and_waited_for_by_googles_client(stand: Stand, transport: str) -> None:
    operation = await called(stand.jobs(transport).run_job, name=PLACE.job("tick"))
    execution = await called(operation.result, timeout=WAIT_SECONDS_MAX)
    assert execution.name.startswith(PLACE.job("tick") + "/executions/tick-")
    assert (execution.task_count, execution.succeeded_count, execution.failed_count) == (1, 1, 0)
    assert execution.completion_time >= execution.start_time
    assert {each.type_: each.state.name for each in execution.conditions} == {
        "Completed": "CONDITION_SUCCEEDED",
        "Started": "CONDITION_SUCCEEDED",
    }
    assert told(stand)["environment"]["CLOUD_RUN_EXECUTION"] == execution.name.rpartition("/")[2]
    assert (await called(stand.runs(transport).get_execution, name=execution.name)) == execution
    job = await called(stand.jobs(transport).get_job, name=PLACE.job("tick"))
    assert (job.execution_count, job.latest_created_execution.completion_status.name) == (
        1,
        "EXECUTION_SUCCEEDED",
    )


@pytest.mark.parametrize("transport", ["grpc", "rest"])
async def test_overrides_hold_for_one_execution_alone(stand: Stand, transport: str) -> None:
    container = {"args": ["--now", "a b"], "env": [{"name": "TICK_TOPIC", "value": "mail"}]}
    operation = await called(
        stand.jobs(transport).run_job, request(container_overrides=[container], task_count=3)
    )
    execution = await called(operation.result, timeout=WAIT_SECONDS_MAX)
    assert execution.succeeded_count == 3
    found = [told(stand, index) for index in range(3)]
    assert {tuple(each["arguments"]) for each in found} == {("--now", "a b")}
    assert {each["environment"]["TICK_TOPIC"] for each in found} == {"mail"}
    assert [each["environment"]["CLOUD_RUN_TASK_INDEX"] for each in found] == ["0", "1", "2"]
    assert {each["environment"]["GIVEN"] for each in found} == {"by the job"}
    await called((await called(stand.jobs(transport).run_job, request())).result, timeout=WAIT_SECONDS_MAX)
    assert told(stand)["arguments"] == []
    assert "TICK_TOPIC" not in told(stand)["environment"]


async def test_an_execution_that_fails_is_an_error_with_the_exit_code(stand: Stand) -> None:
    container = {"env": [{"name": "ENDS", "value": "7"}]}
    operation = await called(stand.jobs().run_job, request(container_overrides=[container]))
    with pytest.raises(exceptions.GoogleAPICallError, match="failed with exit code 7"):
        await called(operation.result, timeout=WAIT_SECONDS_MAX)
    (execution,) = await called(lambda: list(stand.runs().list_executions(parent=PLACE.job("tick"))))
    assert (execution.failed_count, execution.conditions[0].state.name) == (1, "CONDITION_FAILED")
    assert execution.conditions[0].execution_reason.name == "NON_ZERO_EXIT_CODE"


async def test_a_task_that_fails_is_tried_again_until_it_succeeds(stand: Stand) -> None:
    container = {"env": [{"name": "ENDS", "value": "7"}, {"name": "SUCCEEDS_AT", "value": "1"}]}
    operation = await called(stand.jobs().run_job, request("again", container_overrides=[container]))
    execution = await called(operation.result, timeout=WAIT_SECONDS_MAX)
    assert (execution.succeeded_count, execution.failed_count, execution.retried_count) == (1, 0, 1)
    (log,) = stand.executions.runs()[0].processes.logs
    attempts = [
        json.loads(line)["environment"]["CLOUD_RUN_TASK_ATTEMPT"] for line in log.read_text().splitlines()
    ]
    assert attempts == ["0", "1"]


async def test_a_task_fails_for_good_when_its_retries_are_used_up(stand: Stand) -> None:
    container = {"env": [{"name": "ENDS", "value": "7"}]}
    operation = await called(stand.jobs().run_job, request("again", container_overrides=[container]))
    with pytest.raises(exceptions.GoogleAPICallError, match="failed with exit code 7"):
        await called(operation.result, timeout=WAIT_SECONDS_MAX)
    assert stand.executions.runs()[0].processes.attempts == [2]
    job = await called(stand.jobs().get_job, name=PLACE.job("again"))
    assert job.template.template.max_retries == 2


async def test_tasks_beyond_the_places_wait_for_one(stand: Stand) -> None:
    operation = await called(stand.jobs().run_job, request(task_count=PLACES + 2))
    execution = await called(operation.result, timeout=WAIT_SECONDS_MAX)
    assert (execution.task_count, execution.succeeded_count) == (PLACES + 2, PLACES + 2)
    indices = [told(stand, index)["environment"]["CLOUD_RUN_TASK_INDEX"] for index in range(PLACES + 2)]
    assert indices == ["0", "1", "2", "3", "4"]


async def test_a_task_that_cannot_be_started_in_its_turn_has_failed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Execution._start

    def break_down(execution: Execution, task: Any) -> None:
        if task.index == PLACES:
            raise ProcessUnstartable("it", "no process can be had")
        start(execution, task)

    monkeypatch.setattr(Execution, "_start", break_down)
    operation = await called(stand.jobs().run_job, request(task_count=PLACES + 1))
    with pytest.raises(exceptions.GoogleAPICallError, match=f"task{PLACES} failed with exit code 127"):
        await called(operation.result, timeout=WAIT_SECONDS_MAX)


async def test_what_waits_for_a_place_never_begins_when_the_execution_is_cancelled(stand: Stand) -> None:
    container = {"env": [{"name": "WAITS", "value": "1"}]}
    asked = request("again", container_overrides=[container], task_count=PLACES + 1)
    operation = await called(stand.jobs().run_job, asked)
    logs = stand.executions.runs()[0].processes.logs
    await eventually(lambda: all("waits" in log.read_text() for log in logs[:PLACES]), "the tasks wait")
    cancelling = await called(stand.runs().cancel_execution, name=operation.metadata.name)
    with pytest.raises(exceptions.GoogleAPICallError, match="cancelled"):
        await called(cancelling.result, timeout=WAIT_SECONDS_MAX)
    execution = await called(stand.runs().get_execution, name=operation.metadata.name)
    assert (execution.cancelled_count, execution.retried_count) == (PLACES + 1, 0)
    assert not logs[PLACES].exists()


@pytest.mark.parametrize("transport", ["grpc", "rest"])
async def test_an_execution_is_cancelled_by_sigterm(stand: Stand, transport: str) -> None:
    container = {"env": [{"name": "WAITS", "value": "1"}]}
    operation = await called(stand.jobs(transport).run_job, request(container_overrides=[container]))
    (log,) = stand.executions.runs()[0].processes.logs
    await eventually(lambda: "waits" in log.read_text(), "the task waits")
    name = operation.metadata.name
    cancelling = await called(stand.runs(transport).cancel_execution, name=name)
    with pytest.raises(exceptions.GoogleAPICallError, match="cancelled"):
        await called(cancelling.result, timeout=WAIT_SECONDS_MAX)
    execution = await called(stand.runs(transport).get_execution, name=name)
    assert (execution.cancelled_count, execution.running_count, execution.failed_count) == (1, 0, 0)
    assert execution.conditions[0].execution_reason.name == "CANCELLED"
    assert stand.executions.runs()[0].codes() == [3]
    with pytest.raises(exceptions.GoogleAPICallError, match="has completed"):
        await called(stand.runs(transport).cancel_execution, name=name)


async def test_a_task_that_takes_too_long_is_ended(stand: Stand) -> None:
    container = {"env": [{"name": "WAITS", "value": "1"}]}
    timeout = duration_pb2.Duration(seconds=1)
    operation = await called(stand.jobs().run_job, request(container_overrides=[container], timeout=timeout))
    with pytest.raises(exceptions.GoogleAPICallError, match="took longer than 1 s"):
        await called(operation.result, timeout=WAIT_SECONDS_MAX)
    assert stand.executions.runs()[0].codes() in ([3], [-signal.SIGTERM])


async def test_executions_of_a_job_are_bounded_and_others_are_not_held_up(stand: Stand) -> None:
    container = {"env": [{"name": "WAITS", "value": "1"}]}
    for _ in range(AT_ONCE_MAX):
        await called(stand.jobs().run_job, request(container_overrides=[container]))
    with pytest.raises(exceptions.ResourceExhausted, match="wait for one to end"):
        await called(stand.jobs().run_job, request())
    await called((await called(stand.jobs().run_job, request("tock"))).result, timeout=WAIT_SECONDS_MAX)


async def test_jobs_and_executions_are_listed_in_pages(stand: Stand) -> None:
    names = []
    for _ in range(3):
        operation = await called(stand.jobs().run_job, request())
        names.append((await called(operation.result, timeout=WAIT_SECONDS_MAX)).name)
    listed = await called(
        lambda: list(stand.runs().list_executions(request={"parent": PLACE.job("tick"), "page_size": 2}))
    )
    assert [each.name for each in listed] == names[::-1]
    assert not await called(lambda: list(stand.runs().list_executions(parent=PLACE.job("tock"))))
    jobs = await called(
        lambda: list(stand.jobs().list_jobs(request={"parent": PLACE.parent, "page_size": 1}))
    )
    assert [each.name for each in jobs] == [PLACE.job("again"), PLACE.job("tick"), PLACE.job("tock")]
    assert not await called(lambda: list(stand.jobs().list_jobs(parent="projects/x/locations/y")))


async def test_what_was_started_here_is_seen_there(stand: Stand) -> None:
    run = stand.executions.start("tick")
    await run.processes.wait(WAIT_SECONDS_MAX)
    (found,) = await called(lambda: list(stand.runs().list_executions(parent=PLACE.job("tick"))))
    assert (found.name, found.succeeded_count) == (PLACE.execution(run), 1)


async def test_ended_executions_are_forgotten_with_their_logs(stand: Stand) -> None:
    first = stand.executions.start("tick")
    await first.processes.wait(WAIT_SECONDS_MAX)
    stand.executions._runs.extend([first] * KEPT_MAX)
    stand.executions.start("tick")
    assert len(stand.executions.runs()) == KEPT_MAX + 1
    assert not first.processes.logs[0].exists()


async def test_rest_answers_an_operation_at_once_and_waits_when_asked(stand: Stand) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(
            f"{stand.ports.url}/v2/{PLACE.job('tick')}:run",
            json={"overrides": {"containerOverrides": [{"env": [{"name": "ENDS", "value": "0"}]}]}},
        ) as answer:
            operation = await answer.json()
        assert answer.status == 200
        assert operation["metadata"]["@type"] == "type.googleapis.com/google.cloud.run.v2.Execution"
        async with session.post(
            f"{stand.ports.url}/v2/{operation['name']}:wait", json={"timeout": "30s"}
        ) as answer:
            done = await answer.json()
    assert done["done"] is True
    assert done["response"]["succeededCount"] == 1


async def test_a_command_that_cannot_be_started_is_said(stand: Stand) -> None:
    stand.executions.jobs = {"none": LocalJob("none", ("/nowhere/none",), {"PATH": "/bin"})}
    with pytest.raises(exceptions.FailedPrecondition, match="could not be started"):
        await called(stand.jobs().run_job, name=PLACE.job("none"))
    assert not stand.executions.runs()


async def test_validate_only_starts_nothing(stand: Stand) -> None:
    asked = request()
    asked.validate_only = True
    await called(stand.jobs().run_job, asked)
    assert not stand.executions.runs()


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"task_count": 10_001}, exceptions.InvalidArgument, "task_count must be between"),
    ({"task_count": -1}, exceptions.InvalidArgument, "task_count must be between"),
    ({"timeout": duration_pb2.Duration()}, exceptions.InvalidArgument, "timeout must be"),
    ({"timeout": duration_pb2.Duration(seconds=604_801)}, exceptions.InvalidArgument, "timeout must be"),
    ({"container_overrides": [{}, {}]}, exceptions.InvalidArgument, "one container"),
    ({"container_overrides": [{"env": [{"name": "A=B"}]}]}, exceptions.InvalidArgument, "not a valid name"),
    (
        {"container_overrides": [{"env": [{"name": "CLOUD_RUN_TASK_INDEX", "value": "1"}]}]},
        exceptions.InvalidArgument,
        "set by Cloud Run itself",
    ),
    (
        {
            "container_overrides": [
                {"env": [{"name": "A", "value_source": {"secret_key_ref": {"secret": "s"}}}]}
            ]
        },
        exceptions.MethodNotImplemented,
        "no secrets",
    ),
    ({"container_overrides": [{"args": ["a"], "clear_args": True}]}, exceptions.InvalidArgument, "exclude"),
    ({"container_overrides": [{"args": ["a\0"]}]}, exceptions.InvalidArgument, "null character"),
]


@pytest.mark.parametrize(("overrides", "fault", "message"), WRONG, ids=[row[2] for row in WRONG])
async def test_wrong_overrides_are_refused_and_start_nothing(
    stand: Stand, overrides: dict[str, Any], fault: type[Exception], message: str
) -> None:
    with pytest.raises(fault, match=message):
        await called(stand.jobs().run_job, request(**overrides))
    assert not stand.executions.runs()


async def test_what_is_not_there_is_refused_in_the_words_of_the_service(stand: Stand) -> None:
    other = Place("demo", "us-central1").job("tick")
    for name in (PLACE.job("none"), other, "tick"):
        with pytest.raises(exceptions.NotFound, match="does not exist"):
            await called(stand.jobs().run_job, name=name)
        with pytest.raises(exceptions.NotFound, match="does not exist"):
            await called(stand.jobs().get_job, name=name)
    with pytest.raises(
        exceptions.NotFound,
        match="Resource 'x' of kind 'EXECUTION' in region 'europe-west1' in project 'demo' does not exist",
    ):
        await called(stand.runs().get_execution, name=PLACE.job("tick") + "/executions/x")
    operations = stand.jobs().transport.operations_client
    with pytest.raises(exceptions.NotFound, match="was not found"):
        await called(operations.get_operation, f"{PLACE.parent}/operations/x")
    with pytest.raises(exceptions.MethodNotImplemented):
        await called(stand.jobs().delete_job, name=PLACE.job("tick"))
