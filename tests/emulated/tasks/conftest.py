"""Tasks on the local cloud: a topic of each test's own, and workers that stay for a module."""

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from emulators.execution import Execution
from emulators.stack import LocalCloud
from tests.conftest import run_apart
from tests.deadlines import WAIT_SECONDS_MAX

Json = dict[str, Any]
#: Leases are renewed each three seconds: with that, a task's progress is stored and its cancellation heard of.
SETTINGS = {"TURNOUT_IDLE_SECONDS": "600", "TURNOUT_TASK_LEASE_SECONDS": "9", "TURNOUT_SHUTDOWN_SECONDS": "2"}
Adder = Callable[..., int]


@pytest.fixture(scope="module")
def workers(local_cloud: LocalCloud) -> Iterator[Execution]:
    """Two workers, started once for the module's tests."""
    execution = local_cloud.start_job("work", tasks=2, settings=SETTINGS)
    yield execution
    run_apart(execution.stop())


@pytest.fixture
def topic() -> str:
    """A topic of the test's own."""
    return f"topic-{secrets.token_hex(6)}"


@pytest.fixture
def add(api: httpx.Client, topic: str) -> Adder:
    """Adds a task to the test's topic, and returns its id: `add("echo", 7, delay="1s")`."""

    def post(handler: str, payload: object = None, **more: Any) -> int:
        reply = api.post("/tasks", json={"topic": topic, "handler": handler, "payload": payload, **more})
        assert reply.status_code == 202, reply.text
        return int(reply.json()["id"])

    return post


@pytest.fixture
def ended(api: httpx.Client) -> Callable[[int], Json]:
    """Waits for a task's end, and returns it."""

    def wait(task_id: int) -> Json:
        until = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < until:
            reply = api.get(f"/tasks/{task_id}", params={"wait": "20s"})
            assert reply.status_code in (200, 202), reply.text
            if reply.status_code == 200:
                return dict(reply.json())
        raise AssertionError(f"task {task_id} has not ended: {reply.text}")

    return wait
