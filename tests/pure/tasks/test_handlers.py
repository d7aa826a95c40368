"""Handlers: declared, found, run; each that misbehaves is one failed attempt of its own task alone."""

import asyncio
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.deadlines import WAIT_SECONDS_MAX
from tests.pure.tasks import some_handlers
from tests.pure.tasks.factories import NOON, a_task
from turnout.base.errors import ServiceUnavailable, SettingsInvalid
from turnout.tasks.handlers import Context, Fail, Retry, Snooze, task
from turnout.tasks.handlers.finding import Handlers, find_handlers
from turnout.tasks.handlers.processes import HandlerDied, HandlerRaised, Processes
from turnout.tasks.handlers.running import HandlerRunner, ResultUnusable, attempted
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.running import Run

MODULE = "tests.pure.tasks.some_handlers"


@pytest.fixture(scope="module")
def handlers() -> Handlers:
    return find_handlers(MODULE)


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    pool = Processes(1, memory_mb_max=1_024)
    yield pool
    pool.close()


@pytest.fixture
async def runner(handlers: Handlers, processes: Processes) -> HandlerRunner:
    return HandlerRunner(handlers, processes, threads_max=2, abandoned_max=2)


def attempt(handler: str, payload: object = None, **more: Any) -> Run:
    return Run(a_task(7, handler=handler, payload=payload, **more), 2, NOON)


async def run(runner: HandlerRunner, handler: str, payload: object = None, **more: Any) -> Any:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        return msgspec.json.decode(await runner.run(attempt(handler, payload, **more)))


async def test_an_async_handler_is_given_its_payload_and_context(runner: HandlerRunner) -> None:
    result = await run(runner, "async", {"id": 4}, context={"user": "ann"})
    assert result == {"id": 4, "key": "thumbnails/7", "values": {"user": "ann"}}


async def test_a_plain_handler_runs_in_a_thread_or_a_process(runner: HandlerRunner) -> None:
    assert await run(runner, "thread", {"id": 4}) == 4
    result = await run(runner, "process", {"id": 4})
    assert result["pid"] != os.getpid()
    assert (result["id"], result["attempt"], result["key"]) == (4, 2, "thumbnails/7")


async def test_a_handler_may_do_without_payload_context_and_annotations(runner: HandlerRunner) -> None:
    assert await run(runner, "nothing", {"ignored": 1}) is None
    assert await run(runner, "any", {"a": [1.5, None]}) == {"a": [1.5, None]}


@pytest.mark.parametrize("handler", ["async", "thread", "process"])
async def test_a_payload_of_another_shape_fails_for_good_with_its_path(
    runner: HandlerRunner, handler: str
) -> None:
    with pytest.raises(Fail, match=r"\$\.lines\[1\]"):
        await run(runner, handler, {"id": 1, "lines": ["a", 2]})


@pytest.mark.parametrize("handler", ["not-json", "endless"])
async def test_what_is_not_json_is_a_failure(runner: HandlerRunner, handler: str) -> None:
    with pytest.raises(ResultUnusable, match="not JSON"):
        await run(runner, handler)


@pytest.mark.parametrize("handler", ["exits", "exits-in-a-thread", "stops", "cancels-itself"])
async def test_neither_an_exit_nor_a_cancellation_reaches_the_worker(
    runner: HandlerRunner, handler: str
) -> None:
    with pytest.raises(RuntimeError, match="the handler"):
        await run(runner, handler)


async def test_a_handler_that_this_worker_does_not_have_may_come_with_the_next(runner: HandlerRunner) -> None:
    with pytest.raises(ServiceUnavailable, match="none of that name"):
        await run(runner, "unheard-of")


async def test_a_thread_whose_time_is_up_is_told_and_its_place_is_free(runner: HandlerRunner) -> None:
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await runner.run(attempt("sleeps", 60.0))
    assert await run(runner, "sleeps", 0.0) is False


async def test_a_worker_with_too_many_abandoned_threads_ends(
    handlers: Handlers, processes: Processes
) -> None:
    runner = HandlerRunner(handlers, processes, threads_max=4, abandoned_max=2)
    ended = asyncio.Event()
    runner.on_exhausted = ended.set
    work = [asyncio.create_task(runner.run(attempt("sleeps", 60.0))) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not ended.is_set()
    for each in work:
        each.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    assert ended.is_set()


async def test_a_process_whose_time_is_up_is_killed(runner: HandlerRunner, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    work = asyncio.create_task(runner.run(attempt("hangs-in-a-process", str(told))))
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not (told.exists() and told.read_text(encoding="utf-8")):  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    # The pool has one process: the next handler runs in another one.
    result = await run(runner, "process", {"id": 1})
    assert str(result["pid"]) != told.read_text(encoding="utf-8")


async def test_a_process_that_dies_is_a_failure(runner: HandlerRunner) -> None:
    with pytest.raises(HandlerDied, match="exit code"):
        await run(runner, "dies")
    assert (await run(runner, "process", {"id": 1}))["id"] == 1


async def test_a_process_that_eats_its_memory_is_a_failure(runner: HandlerRunner) -> None:
    with pytest.raises(HandlerRaised, match="MemoryError"):
        await run(runner, "eats")


async def test_what_is_raised_in_a_process_is_what_was_meant(runner: HandlerRunner) -> None:
    with pytest.raises(Retry, match="later") as retry:
        await run(runner, "raises-in-a-process", "retry")
    assert retry.value.after_seconds == 300
    with pytest.raises(Fail, match="never"):
        await run(runner, "raises-in-a-process", "fail")
    with pytest.raises(Snooze) as snooze:
        await run(runner, "raises-in-a-process", "snooze")
    assert snooze.value.seconds == 90
    with pytest.raises(HandlerRaised, match="RuntimeError: oops"):
        await run(runner, "raises-in-a-process", "other")
    with pytest.raises(HandlerRaised, match="SystemExit"):
        await run(runner, "exits-in-a-process")


def test_handlers_say_what_tasks_without_limits_of_their_own_get(handlers: Handlers) -> None:
    limits = handlers.limits("async")
    assert limits is not None
    assert (limits.timeout_seconds, limits.retry) == (30.0, TaskRetry(failures_max=3))
    assert handlers.limits("nobody") is None


def test_a_declared_function_can_be_called_as_it_is() -> None:
    assert some_handlers.in_a_thread(some_handlers.Order(4)) == 4


def test_a_package_is_searched_with_all_its_modules() -> None:
    assert {"async", "area"} <= set(find_handlers("tests.pure.tasks, tests.emulated.tasks.handlers").names())


def test_two_handlers_of_one_name_are_refused() -> None:
    @task("echo")
    async def one() -> None: ...

    @task("echo")
    async def other() -> None: ...

    def declared(function: object) -> Any:
        return vars(function)["__turnout_task__"]

    with pytest.raises(SettingsInvalid, match="two handlers are called echo"):
        Handlers([declared(one), declared(other)])
    assert Handlers([declared(one), declared(one)]).names() == ["echo"]


def test_a_package_that_cannot_be_imported_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match="TURNOUT_HANDLERS: the handlers of no_such_package"):
        find_handlers("no_such_package")
    monkeypatch.setitem(sys.modules, "empty_package", types.ModuleType("empty_package"))
    assert find_handlers("empty_package").names() == []
    assert find_handlers("").names() == []


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 101])
def test_a_handler_has_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="not a handler's name"):
        task(name)


def test_a_handler_that_could_not_run_is_refused_where_it_is_declared() -> None:
    with pytest.raises(ValueError, match="leave `process` out"):

        @task("a", process=True)
        async def _in_the_loop() -> None: ...

    with pytest.raises(ValueError, match="define it in a module"):

        @task("a", process=True)
        def _local() -> None: ...

    with pytest.raises(ValueError, match="one payload and one Context"):

        @task("a")
        def _many(a: int, b: int) -> None: ...

    with pytest.raises(ValueError, match="timeout"):
        task("a", timeout="2d")


@pytest.mark.parametrize("after", [-1, 86_401, float("nan"), float("inf"), "2d", "soon"])
def test_a_retry_is_bounded(after: float | str) -> None:
    with pytest.raises(Exception, match=r"after|duration"):
        Retry(after)


@pytest.mark.parametrize("seconds", [0, 0.5, -1, float("nan"), "367d"])
def test_a_snooze_is_bounded(seconds: float | str) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Snooze(seconds)


def test_durations_are_read() -> None:
    assert Retry("5m").after_seconds == 300
    assert Snooze("1d").seconds == 86_400


def test_progress_is_reported() -> None:
    said: list[str] = []
    run = Run(a_task(1), 1, NOON, said.append)
    context = Context(attempted(run), run.report)
    context.progress("half way")
    assert said == ["half way"]
