"""What an attempt sends: addresses under a queue's override, headers as they were recorded, tokens."""

from typing import Any

import pytest

from emulators.cloud_tasks.engine import Dispatch
from emulators.cloud_tasks.messages import Queue, Task, UriOverride
from emulators.cloud_tasks.outgoing import AccessToken, IdToken, NoTarget, outgoing, overridden
from tests.pure.cloud_tasks.driving import QUEUE, SECOND, Driven

URL = "https://old.example:8443/path/x?a=1"


def override(mode: str = "ALWAYS", **fields: Any) -> Any:
    made = UriOverride(uri_override_enforce_mode=UriOverride.UriOverrideEnforceMode.Value(mode))
    for name, value in fields.items():
        match name:
            case "scheme":
                made.scheme = UriOverride.Scheme.Value(value)
            case "path":
                made.path_override.path = value
            case "query":
                made.query_override.query_params = value
            case _:
                setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, URL),
        ({"scheme": "HTTP"}, "http://old.example:8443/path/x?a=1"),
        ({"host": "new.example"}, "https://new.example:8443/path/x?a=1"),
        ({"host": "::1"}, "https://[::1]:8443/path/x?a=1"),
        ({"port": 99}, "https://old.example:99/path/x?a=1"),
        ({"port": 0}, "https://old.example/path/x?a=1"),
        ({"path": "/new"}, "https://old.example:8443/new?a=1"),
        ({"path": "new"}, "https://old.example:8443/new?a=1"),
        ({"path": ""}, "https://old.example:8443?a=1"),
        ({"query": "b=2&c=3"}, "https://old.example:8443/path/x?b=2&c=3"),
        ({"query": ""}, "https://old.example:8443/path/x"),
        (
            {"host": "new.example", "path": "/n", "query": "q", "port": 1, "scheme": "HTTP"},
            "http://new.example:1/n?q",
        ),
    ],
)
def test_an_override_replaces_its_parts_alone(fields: dict[str, Any], expected: str) -> None:
    assert overridden(URL, override(**fields)) == expected


@pytest.mark.parametrize(
    ("url", "fields", "expected"),
    [
        (URL, {"host": "new.example", "path": "/n", "query": "q", "port": 1, "scheme": "HTTP"}, URL),
        ("http://a.example", {"path": "/n", "query": "q", "port": 1}, "http://a.example:1/n?q"),
        ("http://a.example/x", {"path": "/n", "query": "q"}, "http://a.example/x?q"),
        ("", {"host": "new.example", "path": "/n"}, "https://new.example/n"),
    ],
)
def test_an_override_of_what_is_missing_leaves_what_is_there(
    url: str, fields: dict[str, Any], expected: str
) -> None:
    assert overridden(url, override("IF_NOT_EXISTS", **fields)) == expected


def attempt(task: Any, *, previous: int = -1, queue: Any = None) -> Any:
    driven = Driven()
    driven.engine.create_queue(QUEUE.rpartition("/queues/")[0], queue or Queue(name=QUEUE))
    live, definition = driven.engine.create_task(QUEUE, task)
    dispatch = Dispatch(
        task=live,
        queue=QUEUE,
        task_id=live.id,
        order=live.order,
        app_engine=live.app_engine,
        retry_count=0 if previous < 0 else 1,
        execution_count=0,
        schedule_us=1_234_567_890 * SECOND + 5_000,
        dispatch_us=0,
        previous=previous,
        forced=False,
    )
    return outgoing(dispatch, definition, live.queue.config, "http://localhost:8080")


def http_task(**fields: Any) -> Any:
    task = Task()
    task.http_request.url = "http://localhost/x"
    for name, value in fields.items():
        setattr(task.http_request, name, value)
    return task


def test_the_moment_is_told_in_seconds_and_six_places() -> None:
    assert attempt(http_task()).headers["X-CloudTasks-TaskETA"] == "1234567890.005000"


@pytest.mark.parametrize(
    ("previous", "reason"), [(503, "App Error"), (404, "App Error"), (0, "Instance Unavailable")]
)
def test_app_engine_is_told_why_it_is_asked_again(previous: int, reason: str) -> None:
    task = Task()
    task.app_engine_http_request.relative_uri = "/work?x=1"
    task.app_engine_http_request.body = b"b"
    sent = attempt(task, previous=previous)
    assert sent.url == "http://localhost:8080/work?x=1"
    assert sent.headers["X-AppEngine-TaskPreviousResponse"] == str(previous)
    assert sent.headers["X-AppEngine-TaskRetryReason"] == reason
    assert sent.headers["Content-Type"] == "application/octet-stream"


def test_app_engine_tasks_need_to_be_told_where_to_go() -> None:
    task = Task()
    task.app_engine_http_request.relative_uri = "/"
    driven = Driven()
    driven.queue()
    live, definition = driven.engine.create_task(QUEUE, task)
    (dispatch,) = driven.due()
    with pytest.raises(NoTarget, match="--app-engine-url"):
        outgoing(dispatch, definition, live.queue.config, "")


def test_headers_that_only_the_service_sends_are_not_taken_from_a_task() -> None:
    task = http_task()
    task.http_request.headers["x-cloudtasks-taskretrycount"] = "99"
    sent = attempt(task)
    found = {key: value for key, value in sent.headers.items() if "retrycount" in key.lower()}
    assert found == {"X-CloudTasks-TaskRetryCount": "0"}


def test_a_queues_method_without_a_body_sends_none() -> None:
    queue = Queue(name=QUEUE)
    queue.http_target.http_method = "GET"
    sent = attempt(http_task(body=b"unsent"), queue=queue)
    assert (sent.method, sent.body) == ("GET", b"")


def test_a_token_is_for_the_overridden_address() -> None:
    queue = Queue(name=QUEUE)
    queue.http_target.uri_override.host = "new.example"
    task = http_task()
    task.http_request.oidc_token.service_account_email = "a@b"
    assert attempt(task, queue=queue).token == IdToken("a@b", "http://new.example/x")
    task.http_request.oauth_token.service_account_email = "a@b"
    assert attempt(task, queue=queue).token == AccessToken(
        "a@b", "https://www.googleapis.com/auth/cloud-platform"
    )
