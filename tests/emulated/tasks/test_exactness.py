"""Tasks stay exact while workers are killed and stopped, and while their topic is paused."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from emulators.execution import Execution
from emulators.stack import LocalCloud
from tests.conftest import run_apart
from tests.deadlines import WAIT_SECONDS_MAX
from tests.emulated.tasks.conftest import Adder, Json
from turnout.base.environment import read
from turnout.gcp.connections import Connections
from turnout.gcp.tasks.settings import Settings
from turnout.gcp.tasks.store import FirestoreTaskStore
from turnout.tasks.books import Books

TASKS = 300
#: Leases as short as they may be, so that what a killed worker held is taken over soon.
SHORT = {
    "TURNOUT_IDLE_SECONDS": "600",
    "TURNOUT_TASK_LEASE_SECONDS": "6",
    "TURNOUT_CLOCKS_OFF_SECONDS": "1",
    "TURNOUT_SHUTDOWN_SECONDS": "3",
}

Start = Callable[[], Execution]


@pytest.fixture
def start(local_cloud: LocalCloud) -> Iterator[Start]:
    """Starts a worker; at the end all are stopped."""
    started: list[Execution] = []

    def start() -> Execution:
        started.append(local_cloud.start_job("work", settings=SHORT))
        return started[-1]

    yield start
    for each in started:
        run_apart(each.stop())


def kill(worker: Execution) -> None:
    worker.kill()
    run_apart(worker.wait())


def books(local_cloud: LocalCloud, topic: str) -> Books:
    async def read_them() -> Books:
        async with Connections(read(Settings, local_cloud.environment)) as connections:
            return await FirestoreTaskStore(connections.firestore()).books(topic)

    return run_apart(read_them())


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not holds():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.2)


def topic_of(api: httpx.Client, topic: str) -> Json:
    return dict(api.get(f"/tasks/topics/{topic}").json())


def test_every_task_ends_once_though_workers_are_killed(
    api: httpx.Client, topic: str, local_cloud: LocalCloud, start: Start
) -> None:
    workers = [start(), start()]
    body = [
        {
            "topic": topic,
            "handler": "flaky" if number % 3 else "slow",
            "payload": 1 if number % 3 else 0.3,
            "retry": {"first": "50ms", "crashes": 100},
        }
        for number in range(TASKS)
    ]
    for first in range(0, TASKS, 50):
        reply = api.post(
            "/tasks", json=body[first : first + 50], headers={"Idempotency-Key": f"{topic}-{first}"}
        )
        assert reply.status_code == 202
        if first == 100:
            kill(workers[0])
            start()
    until(lambda: topic_of(api, topic)["depth"] < TASKS * 3 // 4, "a quarter of the tasks")
    kill(workers[1])
    start()
    until(lambda: topic_of(api, topic)["depth"] == 0, "the end of all tasks")

    counted = topic_of(api, topic)
    assert (counted["created"], counted["succeeded"]) == (TASKS, TASKS)
    assert books(local_cloud, topic).balance
    page = api.get("/tasks", params={"topic": topic, "limit": 1_000}).json()
    assert {each["state"] for each in page["tasks"]} == {"succeeded"}
    assert len(page["tasks"]) == TASKS


def test_what_a_stopped_worker_ran_goes_to_another_and_is_no_crash(
    api: httpx.Client, add: Adder, start: Start
) -> None:
    worker = start()
    task_id = add("slow", 8.0)
    until(lambda: state_of(api, task_id) == "running", "the task's first attempt")
    assert run_apart(worker.stop()) == [0]
    released = api.get(f"/tasks/{task_id}").json()
    assert (released["state"], [each["ending"] for each in released["attempts"]]) == ("queued", ["released"])
    start()
    until(lambda: state_of(api, task_id) == "succeeded", "the task's end")
    ended = api.get(f"/tasks/{task_id}").json()
    assert (ended["crashes"], ended["failures"], ended["attempt"]) == (0, 0, 2)


def test_a_task_is_taken_from_its_worker_by_force_or_cancelled_and_that_worker_loses(
    api: httpx.Client, add: Adder, start: Start
) -> None:
    start()
    taken, cancelled = add("slow", 5.0), add("slow", 5.0)
    until(lambda: {state_of(api, each) for each in (taken, cancelled)} == {"running"}, "their attempts")
    assert api.post(f"/tasks/{taken}/release").json()["state"] in ("queued", "running")
    assert api.post(f"/tasks/{cancelled}/cancel").json()["state"] == "cancelled"
    until(lambda: state_of(api, taken) == "succeeded", "the second attempt's end")
    task = api.get(f"/tasks/{taken}").json()
    assert [each["ending"] for each in task["attempts"]] == ["released", "succeeded"]
    assert api.get(f"/tasks/{cancelled}").json()["state"] == "cancelled"


def test_a_paused_topics_tasks_wait_and_run_when_it_is_resumed(
    api: httpx.Client, topic: str, add: Adder, start: Start
) -> None:
    api.post(f"/tasks/topics/{topic}/pause")
    start()
    ids = [add("echo", each) for each in range(5)]
    other = api.post("/tasks", json={"topic": f"{topic}-2", "handler": "echo"}).json()["id"]
    until(lambda: state_of(api, other) == "succeeded", "another topic's task")
    assert {state_of(api, each) for each in ids} == {"queued"}
    # One that is put aside in the last moments of a worker's memory of the pause is woken by the next call.
    until(lambda: resumed(api, topic)["succeeded"] == 5, "the tasks' end")


def resumed(api: httpx.Client, topic: str) -> Json:
    api.post(f"/tasks/topics/{topic}/resume")
    return topic_of(api, topic)


def state_of(api: httpx.Client, task_id: int) -> str:
    return str(api.get(f"/tasks/{task_id}").json()["state"])
