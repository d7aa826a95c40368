"""The service's own refusals, as aertje/cloud-tasks-emulator recorded them from it (`golden/errors.json`)."""

from collections.abc import Callable
from typing import Any

import pytest

from emulators.api.refused import Code
from emulators.cloud_tasks.messages import Queue, Task
from tests.pure.cloud_tasks.driving import QUEUE, Driven, refusal

NO_QUEUE = (
    "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
)
NO_ENTITY = "Requested entity was not found."
HTTP_DEADLINE = "Task.dispatchDeadline must be between [15s, 30m]."
URL_SCHEME = "HttpTarget.url must start with 'http://' or 'https://'."


def http_task(task_id: str = "", *, url: str = "https://example.com/", deadline: int = 0) -> Any:
    task = Task(name=f"{QUEUE}/tasks/{task_id}" if task_id else "")
    task.http_request.url = url
    if deadline:
        task.dispatch_deadline.FromSeconds(deadline)
    return task


def app_engine_task(deadline: int) -> Any:
    task = Task()
    task.app_engine_http_request.relative_uri = "/"
    task.dispatch_deadline.FromSeconds(deadline)
    return task


@pytest.fixture
def driven() -> Driven:
    return Driven()


@pytest.mark.parametrize("method", ["queue", "pause_queue", "resume_queue", "purge_queue"])
@pytest.mark.parametrize("deleted", [False, True])
def test_methods_on_a_queue_that_does_not_exist(driven: Driven, method: str, deleted: bool) -> None:  # noqa: FBT001
    if deleted:
        driven.queue()
        driven.engine.delete_queue(QUEUE)
    assert refusal(getattr(driven.engine, method), QUEUE) == (Code.NOT_FOUND, NO_QUEUE)


def test_deleting_a_queue_that_does_not_exist_has_a_message_of_its_own(driven: Driven) -> None:
    assert refusal(driven.engine.delete_queue, QUEUE) == (Code.NOT_FOUND, NO_ENTITY)


def test_creating_a_queue_twice(driven: Driven) -> None:
    driven.queue()
    assert refusal(driven.queue) == (Code.ALREADY_EXISTS, "Queue already exists")


def test_creating_a_queue_that_was_deleted_a_short_while_ago(driven: Driven) -> None:
    driven.queue()
    driven.engine.delete_queue(QUEUE)
    expected = "The queue cannot be created because a queue with this name existed too recently."
    assert refusal(driven.queue) == (Code.FAILED_PRECONDITION, expected)


def test_a_queue_with_another_form_of_name(driven: Driven) -> None:
    expected = (
        'Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".'
    )
    assert refusal(driven.queue, "not-a-valid-queue-name") == (Code.INVALID_ARGUMENT, expected)


def test_a_parent_that_is_no_location_is_taken_for_a_project(driven: Driven) -> None:
    found = refusal(driven.engine.create_queue, "not-a-valid-parent", Queue(name=QUEUE))
    assert found == (Code.PERMISSION_DENIED, "Permission denied on resource project not-a-valid-parent.")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "rate_limits__max_dispatches_per_second",
            -1.0,
            "RateLimits.maxDispatchesPerSecond cannot be negative.",
        ),
        (
            "rate_limits__max_dispatches_per_second",
            500.5,
            "RateLimits.maxDispatchesPerSecond must be less than or equal to 500.",
        ),
        (
            "rate_limits__max_concurrent_dispatches",
            -1,
            "RateLimits.maxConcurrentDispatches cannot be negative.",
        ),
        (
            "rate_limits__max_concurrent_dispatches",
            5001,
            "RateLimits.maxConcurrentDispatches must be less than or equal to 5000.",
        ),
        ("retry_config__max_attempts", -2, "RetryConfig.maxAttempts must be greater or equal to -1."),
        ("retry_config__max_doublings", -1, "RetryConfig.maxDoublings cannot be negative."),
        ("retry_config__min_backoff", -1.0, "RetryConfig.minBackoff cannot be negative."),
    ],
)
def test_a_configuration_out_of_bounds(driven: Driven, field: str, value: float, message: str) -> None:
    assert refusal(driven.queue, **{field: value}) == (Code.INVALID_ARGUMENT, message)


def test_backoffs_in_the_wrong_order(driven: Driven) -> None:
    expected = "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."
    found = refusal(driven.queue, retry_config__min_backoff=10.0, retry_config__max_backoff=5.0)
    assert found == (Code.INVALID_ARGUMENT, expected)


@pytest.mark.parametrize("given", [-5, 7, 1000])
def test_a_burst_size_is_ignored_without_a_word(driven: Driven, given: int) -> None:
    assert driven.queue(rate_limits__max_burst_size=given).rate_limits.max_burst_size == 100


def test_creating_a_task_in_a_queue_that_does_not_exist(driven: Driven) -> None:
    assert refusal(driven.task) == (Code.NOT_FOUND, NO_QUEUE)
    driven.queue()
    driven.engine.delete_queue(QUEUE)
    assert refusal(driven.task) == (Code.NOT_FOUND, NO_QUEUE)


def test_creating_a_task_twice(driven: Driven) -> None:
    driven.queue()
    driven.task("once")
    assert refusal(driven.task, "once") == (Code.ALREADY_EXISTS, "Requested entity already exists")


def test_creating_a_task_that_ended_a_short_while_ago(driven: Driven) -> None:
    driven.queue()
    driven.engine.delete_task(driven.task("once"))
    assert refusal(driven.task, "once") == (
        Code.ALREADY_EXISTS,
        (
            "The task cannot be created because a task with this name existed too recently. For more information "
            "about task de-duplication see https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations."
            "queues.tasks/create#body.request_body.FIELDS.task."
        ),
    )


@pytest.mark.parametrize("method", ["task", "delete_task", "run_task"])
def test_methods_on_a_task_that_never_existed(driven: Driven, method: str) -> None:
    driven.queue()
    assert refusal(getattr(driven.engine, method), f"{QUEUE}/tasks/none") == (Code.NOT_FOUND, NO_ENTITY)


def test_a_task_that_was_deleted_a_short_while_ago(driven: Driven) -> None:
    driven.queue()
    name = driven.task()
    driven.engine.delete_task(name)
    expected = (
        "The task no longer exists, though a task with this name existed recently. "
        "The task either successfully completed or was deleted."
    )
    assert refusal(driven.engine.task, name) == (Code.NOT_FOUND, expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            http_task("not a valid id"),
            (
                'Task ID "not a valid id" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or '
                "underscores (_). Task ID must between 1 and 500 characters."
            ),
        ),
        (http_task(url=""), "HttpRequest.url is required."),
        (http_task(url="example.com/path"), URL_SCHEME),
        (http_task(url="ftp://example.com/"), URL_SCHEME),
        (http_task(deadline=14), HTTP_DEADLINE),
        (http_task(deadline=1801), HTTP_DEADLINE),
        (app_engine_task(deadline=86_416), "Task.dispatchDeadline must be between [15s, 24h15s]."),
    ],
)
def test_a_task_that_is_not_accepted(driven: Driven, given: Any, message: str) -> None:
    driven.queue()
    assert refusal(driven.engine.create_task, QUEUE, given) == (Code.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    "given",
    [
        http_task(url="http://example.com/%zz"),
        http_task(deadline=15),
        http_task(deadline=1800),
        app_engine_task(3600),
    ],
)
def test_a_task_that_is_accepted_though_it_looks_odd(driven: Driven, given: Any) -> None:
    driven.queue()
    driven.engine.create_task(QUEUE, given)


def test_a_schedule_too_far_in_the_future_is_said_in_pacific_time(driven: Driven) -> None:
    driven.queue()
    task = http_task()
    task.schedule_time.FromJsonString("2100-01-01T00:00:00Z")
    expected = (
        "The Task.scheduleTime, 2099-12-31T16:00:00-08:00, is too far in the future. "
        "Schedule time must be no more than 720h in the future."
    )
    assert refusal(driven.engine.create_task, QUEUE, task) == (Code.INVALID_ARGUMENT, expected)


def test_a_task_that_names_another_queue(driven: Driven) -> None:
    driven.queue()
    task = http_task()
    task.name = f"{QUEUE}-other/tasks/t"
    expected = f"The queue name from request ('{QUEUE}') must be the same as the queue name in the named task ('{QUEUE}-other')."
    assert refusal(driven.engine.create_task, QUEUE, task) == (Code.INVALID_ARGUMENT, expected)


HTTP_AGENT = {"User-Agent": "Google-Cloud-Tasks"}
APP_ENGINE_AGENT = {
    "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
    "Content-Length": "17",
}


@pytest.mark.parametrize(
    ("kind", "sent", "stored"),
    [
        ("http_request", {}, HTTP_AGENT),
        ("http_request", {"content-type": "application/json"}, HTTP_AGENT),
        ("app_engine_http_request", {}, APP_ENGINE_AGENT | {"Content-Type": "application/octet-stream"}),
        ("app_engine_http_request", {"content-type": "application/json"}, APP_ENGINE_AGENT),
    ],
)
def test_headers_are_stored_as_they_are_spelled_with_the_services_own(
    driven: Driven, kind: str, sent: dict[str, str], stored: dict[str, str]
) -> None:
    driven.queue()
    task = Task()
    request: Any = getattr(task, kind)
    if kind == "http_request":
        request.url = "https://example.com/"
    request.body = b'{"hello":"world"}'
    given = {**sent, "X-Mixed-Case": "preserve-me"}
    for key, value in given.items():
        request.headers[key] = value
    _, definition = driven.engine.create_task(QUEUE, task)
    assert dict(getattr(definition, kind).headers) == {**given, **stored}


HTTP_COUNTS = [
    (0, 0, -1, 503),
    (1, 0, 503, 404),
    (2, 1, 404, 429),
    (3, 2, 429, 500),
    (4, 2, 500, 302),
    (5, 3, 302, 200),
]
APP_ENGINE_COUNTS = [
    (0, 0, -1, 503),
    (1, 1, 503, 404),
    (2, 2, 404, 429),
    (3, 3, 429, 500),
    (4, 4, 500, 302),
    (5, 5, 302, 200),
]


@pytest.mark.parametrize(
    ("kind", "counts"), [("http_request", HTTP_COUNTS), ("app_engine_http_request", APP_ENGINE_COUNTS)]
)
def test_what_attempts_count_and_report(
    driven: Driven, kind: str, counts: list[tuple[int, int, int, int]]
) -> None:
    driven.queue()
    task = Task()
    make: Callable[[], None] = getattr(task, kind).SetInParent
    make()
    if kind == "http_request":
        task.http_request.url = "http://localhost/"
    driven.engine.create_task(QUEUE, task)
    attempts = driven.attempts([status for *_, status in counts])
    found = [(each.retry_count, each.execution_count, each.previous) for each in attempts]
    assert found == [(retries, executions, previous) for retries, executions, previous, _ in counts]
    assert driven.engine.next_moment() is None or not driven.engine.queues[QUEUE].tasks
