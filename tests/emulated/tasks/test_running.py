"""Tasks from the outside: added over HTTP, run by workers of the job, asked for, told."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from emulators.execution import Execution
from tests.deadlines import WAIT_SECONDS_MAX
from tests.emulated.tasks.conftest import Adder, Json

pytestmark = pytest.mark.usefixtures("workers")

Ended = Callable[[int], Json]


def test_a_task_is_run_and_its_result_is_kept(add: Adder, ended: Ended, topic: str) -> None:
    task_id = add("area", {"width": 4})
    task = ended(task_id)
    assert (task["state"], task["result"], task["attempt"]) == ("succeeded", 40, 1)
    assert (task["topic"], task["handler"], task["payload"]) == (topic, "area", {"width": 4})
    assert [each["ending"] for each in task["attempts"]] == ["succeeded"]


def test_a_plain_handler_runs_in_a_thread_with_its_context(add: Adder, ended: Ended, topic: str) -> None:
    task_id = add("echo", {"any": ["JSON", None, 1.5]})
    assert ended(task_id)["result"] == {
        "payload": {"any": ["JSON", None, 1.5]},
        "attempt": 1,
        "key": f"{topic}/{task_id}",
    }


def test_a_handler_in_a_process_of_its_own_answers_and_one_that_dies_is_a_failed_attempt(
    add: Adder, ended: Ended, workers: Execution
) -> None:
    died = add("kills", retry={"failures": 2, "first": "10ms"})
    lived = add("apart", 21)
    task = ended(lived)
    assert task["result"]["double"] == 42
    assert task["result"]["pid"] not in workers.pids
    task = ended(died)
    assert (task["state"], task["failures"], task["crashes"]) == ("failed", 2, 0)
    assert "exit code 7" in task["error"]
    assert workers.running


def test_a_payload_of_another_shape_fails_for_good_with_the_fields_path(add: Adder, ended: Ended) -> None:
    task = ended(add("area", {"width": "four"}))
    assert (task["state"], task["attempt"]) == ("failed", 1)
    assert "$.width" in task["error"]


def test_an_attempt_that_fails_is_repeated(add: Adder, ended: Ended) -> None:
    task = ended(add("flaky", 2))
    assert (task["state"], task["result"], task["failures"]) == ("succeeded", "attempt 3", 2)
    assert [each["ending"] for each in task["attempts"]] == ["failed", "failed", "succeeded"]


def test_a_handler_says_that_no_attempt_will_succeed(add: Adder, ended: Ended) -> None:
    task = ended(add("hopeless", "the card is stolen"))
    assert (task["state"], task["attempt"], task["error"]) == ("failed", 1, "the card is stolen")


def test_a_handler_that_hangs_is_ended_at_its_own_timeout(add: Adder, ended: Ended) -> None:
    task = ended(add("hangs", retry={"failures": 1}))
    assert task["state"] == "failed"
    assert "within 0.5 s" in task["error"]


def test_a_task_with_a_delay_runs_at_its_moment_and_never_before(
    api: httpx.Client, add: Adder, ended: Ended
) -> None:
    task_id = add("echo", delay="4s")
    assert api.get(f"/tasks/{task_id}").json()["state"] == "scheduled"
    task = ended(task_id)
    assert task["state"] == "succeeded"
    assert task["attempts"][0]["began_at"] >= task["run_at"]


def test_who_wants_to_know_is_told_once_how_a_task_ended(
    api: httpx.Client, add: Adder, ended: Ended, topic: str
) -> None:
    good = add("area", {"width": 2}, on_success="echo", on_failure="hopeless")
    bad = add("hopeless", "no", on_success="hopeless", on_failure="echo")
    ended(good), ended(bad)
    told: list[Json] = []
    until = time.monotonic() + WAIT_SECONDS_MAX
    while len(told) < 2 and time.monotonic() < until:
        listed = api.get("/tasks", params={"topic": topic}).json()["tasks"]
        told = [ended(each["id"]) for each in listed if each["id"] not in (good, bad)]
    payloads = sorted((each["payload"] for each in told), key=lambda each: int(each["task"]))
    assert [(each["task"], each["state"], each["result"], each["error"]) for each in payloads] == [
        (good, "succeeded", 20, None),
        (bad, "failed", None, "no"),
    ]
    assert all(each["state"] == "succeeded" for each in told)


def test_a_running_task_tells_how_far_it_is_and_who_runs_it(api: httpx.Client, add: Adder) -> None:
    task_id = add("slow", 200.0, timeout="5m")
    seen: Json = {}
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not seen.get("progress") and time.monotonic() < until:
        time.sleep(0.2)
        seen = api.get(f"/tasks/{task_id}").json()
    assert (seen["state"], seen["progress"]) == ("running", "half way")
    assert seen["worker"].startswith("work-")
    assert seen["lease_until"] > seen["began_at"]
    api.post(f"/tasks/{task_id}/cancel")


def test_a_slow_task_holds_up_nobody(api: httpx.Client, add: Adder, ended: Ended) -> None:
    """Two workers of four lanes lease twenty messages at once: with forty slow ones, each would wait for one."""
    slow = [add("slow", 1_000.0, timeout="1h") for _ in range(40)]
    for each in [add("echo", each) for each in range(40)]:
        assert ended(each)["state"] == "succeeded"
    assert {api.get(f"/tasks/{each}").json()["state"] for each in slow} <= {"queued", "running"}
    for each in slow:
        assert api.post(f"/tasks/{each}/cancel").status_code == 200


def test_an_answer_comes_when_the_task_has_ended_or_the_wait_is_over(api: httpx.Client, add: Adder) -> None:
    task_id = add("slow", 3.0)
    early = api.get(f"/tasks/{task_id}", params={"wait": "100ms"})
    assert (early.status_code, early.json()["state"] in ("queued", "running")) == (202, True)
    late: Any = api.get(f"/tasks/{task_id}", params={"wait": "30s"})
    assert (late.status_code, late.json()["state"]) == (200, "succeeded")
