"""What programs see of the stand-in, through Google's unchanged client: over gRPC and over REST alike."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import field_mask_pb2, timestamp_pb2

from emulators.cloud_tasks import CloudTasks, limits
from tests.standins.cloud_tasks.conftest import PARENT, SECONDS_MAX, Client, Target

GONE = "The task no longer exists, though a task with this name existed recently."


async def ended(client: Client, name: str) -> None:
    """Waits until a task is no longer there."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            try:
                await client("get_task", name=name)
            except exceptions.NotFound as fault:
                if GONE not in fault.message:
                    raise
                return
            await asyncio.sleep(0.02)


async def answered(client: Client, name: str) -> Any:
    """Waits until a task's last attempt has ended; the task."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            task = await client("get_task", name=name)
            if task.last_attempt.response_time:
                return task
            await asyncio.sleep(0.02)


async def test_a_task_arrives_as_it_was_created(client: Client, target: Target) -> None:
    queue = await client.new_queue()
    created = await client.new_task(
        queue, f"{target.url}/work?n=1", headers={"X-Mixed": "kept", "host": "evil"}, body=b'{"n": 1}'
    )
    (arrived,) = await target.requests(1)
    assert (arrived.method, arrived.path, arrived.body) == ("POST", "/work?n=1", b'{"n": 1}')
    own = {
        key.lower(): value
        for key, value in arrived.headers.items()
        if key.lower().startswith("x-cloudtasks-")
    }
    eta = created.schedule_time.timestamp_pb().ToMicroseconds()
    assert own == {
        "x-cloudtasks-queuename": queue.rpartition("/")[2],
        "x-cloudtasks-taskname": created.name.rpartition("/")[2],
        "x-cloudtasks-taskretrycount": "0",
        "x-cloudtasks-taskexecutioncount": "0",
        "x-cloudtasks-tasketa": f"{eta // 1_000_000}.{eta % 1_000_000:06d}",
    }
    assert arrived.headers["User-Agent"] == "Google-Cloud-Tasks"
    assert arrived.headers["X-Mixed"] == "kept"
    assert arrived.headers["Host"] in target.url
    # "Content-Type won't be set by Cloud Tasks."
    assert "Content-Type" not in arrived.headers
    await ended(client, created.name)


async def test_a_failed_task_comes_again_and_says_why(client: Client, target: Target) -> None:
    target.answers = [503, 404]
    queue = await client.new_queue()
    await client.new_task(queue, target.url)
    first, second, third = await target.requests(3)
    retry = ("TaskRetryCount", "TaskExecutionCount", "TaskPreviousResponse", "TaskRetryReason")
    found = [[each.headers.get(f"X-CloudTasks-{name}") for name in retry] for each in (first, second, third)]
    assert found == [["0", "0", None, None], ["1", "0", "503", ""], ["2", "1", "404", ""]]


async def test_redirects_are_not_followed(client: Client, target: Target) -> None:
    async def redirect() -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"{target.url}/elsewhere"})

    target.answers = [redirect]
    queue = await client.new_queue()
    await client.new_task(queue, f"{target.url}/here")
    first, second = await target.requests(2)
    assert (first.path, second.path) == ("/here", "/here")
    assert second.headers["X-CloudTasks-TaskPreviousResponse"] == "302"


async def test_a_task_shows_its_attempts(client: Client, target: Target) -> None:
    target.answers = [500]
    queue = await client.new_queue(retry_config={"min_backoff": {"seconds": 600}})
    created = await client.new_task(queue, target.url, body=b"secret")
    assert created.http_request.body == b""
    assert created.view == tasks_v2.Task.View.BASIC
    await target.requests(1)
    task = await answered(client, created.name)
    assert (task.dispatch_count, task.response_count) == (1, 1)
    assert task.last_attempt.response_status.message == "INTERNAL(13): HTTP status code 500"
    assert task.first_attempt.dispatch_time == task.last_attempt.dispatch_time
    assert (task.schedule_time - task.last_attempt.response_time).total_seconds() == pytest.approx(600)
    full = await client("get_task", request={"name": created.name, "response_view": tasks_v2.Task.View.FULL})
    assert full.http_request.body == b"secret"
    assert full.view == tasks_v2.Task.View.FULL


async def test_queues_are_created_read_changed_and_deleted(client: Client) -> None:
    name = await client.new_queue(rate_limits={"max_dispatches_per_second": 5})
    queue = await client("get_queue", name=name)
    assert queue.rate_limits.max_burst_size == 10
    assert queue.state == tasks_v2.Queue.State.RUNNING
    mask = field_mask_pb2.FieldMask(paths=["retry_config.max_attempts"])
    changed = await client(
        "update_queue", queue={"name": name, "retry_config": {"max_attempts": 3}}, update_mask=mask
    )
    assert changed.retry_config.max_attempts == 3
    assert changed.rate_limits.max_dispatches_per_second == 5
    assert (await client("pause_queue", name=name)).state == tasks_v2.Queue.State.PAUSED
    assert (await client("resume_queue", name=name)).state == tasks_v2.Queue.State.RUNNING
    assert (await client("purge_queue", name=name)).purge_time
    await client("delete_queue", name=name)
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        await client("get_queue", name=name)
    with pytest.raises(exceptions.GoogleAPICallError, match="existed too recently") as caught:
        await client("create_queue", parent=PARENT, queue={"name": name})
    assert caught.value.code == 400


async def test_refusals_have_their_code_and_message_and_details(client: Client) -> None:
    queue = await client.new_queue()
    with pytest.raises(exceptions.BadRequest, match=r"HttpRequest\.url is required\.") as plain:
        await client.new_task(queue, "")
    assert plain.value.details == []
    with pytest.raises(exceptions.BadRequest, match="Queue name must be formatted") as helped:
        await client("create_queue", parent=PARENT, queue={"name": "odd"})
    assert "Definition of queue name" in str(helped.value.details)
    with pytest.raises(exceptions.Conflict, match="Queue already exists"):
        await client("create_queue", parent=PARENT, queue={"name": queue})


async def test_lists_come_in_pages(client: Client, target: Target) -> None:
    queue = await client.new_queue()
    await client("pause_queue", name=queue)
    created = [(await client.new_task(queue, target.url, body=b"x")).name for _ in range(5)]
    request = {"parent": queue, "page_size": 2, "response_view": tasks_v2.Task.View.FULL}
    pages = await asyncio.to_thread(
        lambda: [list(page.tasks) for page in client.google.list_tasks(request=request).pages]
    )
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [task.name for page in pages for task in page] == created
    assert {task.http_request.body for page in pages for task in page} == {b"x"}
    found = await asyncio.to_thread(
        lambda: list(
            client.google.list_queues(request={"parent": PARENT, "page_size": 1, "filter": "state: PAUSED"})
        )
    )
    assert [each.name for each in found] == [queue]
    with pytest.raises(exceptions.BadRequest, match="page token"):
        await client("list_tasks", request={"parent": queue, "page_token": "odd"})


async def test_a_running_task_is_run_at_once_and_without_waiting_for_its_answer(
    client: Client, target: Target
) -> None:
    release = asyncio.Event()

    async def held() -> web.StreamResponse:
        await release.wait()
        return web.Response()

    target.answers = [held]
    queue = await client.new_queue()
    await client("pause_queue", name=queue)
    moment = timestamp_pb2.Timestamp()
    moment.GetCurrentTime()
    moment.seconds += 3600
    task = {"http_request": {"url": target.url}, "schedule_time": moment}
    created = await client("create_task", parent=queue, task=task)
    before = await client("run_task", name=created.name)
    assert before.dispatch_count == 0
    await target.requests(1)
    release.set()
    await ended(client, created.name)
    assert len(target.arrived) == 1


async def test_batches_create_and_delete(client: Client, target: Target) -> None:
    queue = await client.new_queue()
    await client("pause_queue", name=queue)
    good = {"parent": queue, "task": {"http_request": {"url": target.url}}}
    bad = {"parent": queue, "task": {"http_request": {"url": "ftp://odd"}}}
    operation = await client(
        "batch_create_tasks", request={"parent": queue, "requests": [good, bad, good], "request_id": "mine"}
    )
    made = operation.result()
    assert len(made.tasks) == 2
    assert list(operation.metadata.failed_requests) == [1]
    assert operation.metadata.failed_requests[1].code == 3
    again = await client(
        "batch_create_tasks", request={"parent": queue, "requests": [good], "request_id": "mine"}
    )
    assert again.result() == made
    names = [task.name for task in made.tasks]
    deleted = await client("batch_delete_tasks", request={"parent": queue, "names": names})
    assert deleted.metadata.state.name == "SUCCEEDED"
    listed = await asyncio.to_thread(lambda: list(client.google.list_tasks(parent=queue)))
    assert listed == []


async def test_policies_are_kept_and_permissions_are_all_granted(client: Client) -> None:
    queue = await client.new_queue()
    policy = policy_pb2.Policy(bindings=[policy_pb2.Binding(role="roles/viewer", members=["user:a@b.c"])])
    await client("set_iam_policy", request={"resource": queue, "policy": policy})
    assert (await client("get_iam_policy", request={"resource": queue})).bindings == policy.bindings
    wanted = ["cloudtasks.tasks.create", "cloudtasks.tasks.fullView"]
    granted = await client("test_iam_permissions", request={"resource": queue, "permissions": wanted})
    assert list(granted.permissions) == wanted
    nowhere = f"{PARENT}/queues/none"
    empty = await client("test_iam_permissions", request={"resource": nowhere, "permissions": wanted})
    assert list(empty.permissions) == []
    assert isinstance(iam_policy_pb2.TestIamPermissionsResponse(), type(empty))


async def test_locations_are_listed(client: Client) -> None:
    queue = await client.new_queue()
    found = await client("list_locations", request={"name": "projects/test"})
    ids = [location.location_id for location in found.locations]
    assert "us-central1" in ids
    assert "here" in ids
    one = await client("get_location", request={"name": queue.rpartition("/queues/")[0]})
    assert one.name == PARENT


async def test_an_encryption_key_is_kept(client: Client) -> None:
    name = f"{PARENT}/cmekConfig"
    key = "projects/test/locations/here/keyRings/r/cryptoKeys/k"
    await client("update_cmek_config", cmek_config={"name": name, "kms_key": key})
    assert (await client("get_cmek_config", name=name)).kms_key == key


async def test_a_queues_target_changes_what_its_tasks_ask_for(client: Client, target: Target) -> None:
    host, port = target.url.removeprefix("http://").split(":")
    uri: dict[str, Any] = {
        "scheme": "HTTP",
        "host": host,
        "port": int(port),
        "path_override": {"path": "/queue"},
    }
    headers = [{"header": {"key": "X-From", "value": "queue"}}]
    queue = await client.new_queue(
        http_target={"uri_override": uri, "http_method": "PUT", "header_overrides": headers}
    )
    await client.new_task(queue, "https://nowhere.invalid/task?kept=1", headers={"x-from": "task"}, body=b"b")
    (arrived,) = await target.requests(1)
    assert (arrived.method, arrived.path, arrived.body) == ("PUT", "/queue?kept=1", b"b")
    assert arrived.headers["X-From"] == "queue"


async def test_a_deadline_that_passes_is_504(
    over_grpc: Client, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The service takes none below 15 s.
    monkeypatch.setattr(limits, "DEADLINE_SECONDS_MIN", 0)

    async def silent() -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    target.answers = [silent]
    queue = await over_grpc.new_queue()
    task = {"http_request": {"url": target.url}, "dispatch_deadline": {"nanos": 200_000_000}}
    await over_grpc("create_task", parent=queue, task=task)
    _, second = await target.requests(2)
    assert second.headers["X-CloudTasks-TaskPreviousResponse"] == "504"
    assert second.headers["X-CloudTasks-TaskExecutionCount"] == "0"


async def test_a_target_that_is_not_there_is_a_failed_attempt(over_grpc: Client, tasks: CloudTasks) -> None:
    queue = await over_grpc.new_queue(retry_config={"min_backoff": {"seconds": 600}})
    created = await over_grpc.new_task(queue, "http://127.0.0.1:9/")
    task = await answered(over_grpc, created.name)
    assert task.last_attempt.response_status.message == "UNAVAILABLE(14): HTTP status code 503"
    assert task.response_count == 0


@pytest.mark.parametrize("path", ["/%zz", "/a b", "/ü", "/x?q=%ff&r=a+b"])
async def test_odd_addresses_are_sent_all_the_same(over_grpc: Client, target: Target, path: str) -> None:
    queue = await over_grpc.new_queue()
    await over_grpc.new_task(queue, target.url + path)
    (arrived,) = await target.requests(1)
    assert arrived.path == path.replace(" ", "%20").replace("ü", "%C3%BC")
