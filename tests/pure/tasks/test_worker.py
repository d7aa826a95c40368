"""What a worker does with messages of tasks: side by side, given back, put aside; over the ports in memory."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.deadlines import WAIT_SECONDS_MAX
from tests.pure.tasks.factories import a_task
from turnout.base.chance import random_id
from turnout.base.clock import SystemClock
from turnout.memory.queue import Mailbox, MemoryConsumerLog, MemorySubscription, MemoryTopic
from turnout.memory.tasks import MemoryAlarms, MemoryTaskStore
from turnout.queue.consumer import Consumer
from turnout.tasks.callbacks.addresses import Allowed
from turnout.tasks.claiming import Claiming
from turnout.tasks.commits import Commits
from turnout.tasks.errors import TopicFull
from turnout.tasks.handler import assemble_lanes
from turnout.tasks.herding import Herding
from turnout.tasks.intake import Accepted, TaskIntake
from turnout.tasks.new_task import Checking, NewTask
from turnout.tasks.ports import HandlerLimits
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.running import Run
from turnout.tasks.settings import TaskSettings
from turnout.tasks.steering import Steering
from turnout.tasks.task import Change, State, Task
from turnout.tasks.telling import Telling
from turnout.tasks.timetable import Timetable
from turnout.tasks.topics import Topics
from turnout.tasks.work import RESULT_TTL_SECONDS_DEFAULT

CLOCK = SystemClock()
LIMITS = HandlerLimits(60.0, TaskRetry())


class AnyHandler:
    def limits(self, name: str) -> HandlerLimits | None:
        return LIMITS

    def names(self) -> Sequence[str]:
        return ()


class Doing:
    """Does tasks when it is told to, by their payload: a name."""

    def __init__(self) -> None:
        self.begun: dict[str, asyncio.Event] = {}
        self.may_end: dict[str, asyncio.Event] = {}

    def event(self, events: dict[str, asyncio.Event], name: str) -> asyncio.Event:
        return events.setdefault(name, asyncio.Event())

    async def run(self, run: Run) -> str:
        name = bytes(run.task.work.payload).decode().strip('"')
        self.event(self.begun, name).set()
        await self.event(self.may_end, name).wait()
        return '"done"'


class SlowStore(MemoryTaskStore):
    """Holds commits that a test wants to see under way."""

    def __init__(self) -> None:
        super().__init__()
        self.holds: Callable[[Change], bool] = lambda _: False
        self.held = asyncio.Event()
        self.go_on = asyncio.Event()

    async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
        if any(map(self.holds, changes)):
            self.held.set()
            await self.go_on.wait()
        return await super().commit(changes, book_shard=book_shard)


class World:
    """A store, a queue, an intake and workers."""

    def __init__(self, **settings: Any) -> None:
        usual = {"idle_seconds": 0.3, "shutdown_seconds": 1.0, "lanes": 1, "topic_cache_seconds": 1e-9}
        self.settings = TaskSettings(**{**usual, **settings})
        self.store = SlowStore()
        self.mailbox = Mailbox(clock=CLOCK)
        self.commits = Commits(self.store, self.settings, clock=CLOCK, chance=random.random)
        self.timetable = Timetable(
            MemoryTopic(self.mailbox), MemoryAlarms(), self.settings, clock=CLOCK, chance=random.random
        )
        self.doing = Doing()

    def intake(self) -> TaskIntake:
        return TaskIntake(
            self.store,
            self.commits,
            self.timetable,
            Topics(self.store, self.settings, clock=CLOCK),
            Checking(AnyHandler(), Allowed(), self.settings),
            self.settings,
            clock=CLOCK,
            chance=random.random,
            new_id=random_id,
        )

    def herding(self) -> Herding:
        steering = Steering(self.store, self.commits, self.timetable, clock=CLOCK, new_id=random_id)
        return Herding(self.store, self.commits, self.timetable, steering, clock=CLOCK, new_id=random_id)

    def claiming(self) -> Claiming:
        return Claiming(
            "worker",
            self.store,
            self.commits,
            self.timetable,
            Topics(self.store, self.settings, clock=CLOCK),
            Telling(clock=CLOCK, chance=random.random, new_id=random_id),
            self.settings,
            clock=CLOCK,
            new_id=random_id,
        )

    def worker(self) -> Consumer:
        lanes = assemble_lanes(
            "worker",
            self.store,
            self.commits,
            self.timetable,
            self.doing,
            self.settings,
            clock=CLOCK,
            chance=random.random,
            new_id=random_id,
        )
        return Consumer(
            "worker",
            lanes,
            subscription=MemorySubscription(self.mailbox, ack_deadline_seconds=60, clock=CLOCK),
            dead_letters=MemoryTopic(Mailbox(clock=CLOCK)),
            consumer_log=MemoryConsumerLog(),
            settings=self.settings,
            clock=CLOCK,
            chance=random.random,
        )

    async def add(self, *names: str) -> list[int]:
        new = [a_new_task(name) for name in names]
        return [each.task_id for each in await self.intake().add(new) if isinstance(each, Accepted)]

    async def task(self, task_id: int) -> Task:
        return (await self.store.get([task_id]))[task_id].task

    async def until(self, task_id: int, state: State) -> Task:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while (task := await self.task(task_id)).state is not state:  # noqa: ASYNC110  # the store tells nobody
                await asyncio.sleep(0.01)
        return task


def a_new_task(name: str) -> NewTask:
    work = a_task(payload=name).work
    return NewTask(
        topic="thumbnails", handler="h", payload=work.payload, result_ttl_seconds=RESULT_TTL_SECONDS_DEFAULT
    )


async def test_a_lane_goes_on_while_a_task_takes_its_time() -> None:
    world = World(lease_messages_max=1, lane_tasks_max=2)
    slow, quick, last = await world.add("slow", "quick", "last")
    working = asyncio.create_task(world.worker().run())
    for name in ("quick", "last"):
        world.doing.event(world.doing.may_end, name).set()
    await world.until(quick, State.SUCCEEDED)
    await world.until(last, State.SUCCEEDED)
    assert (await world.task(slow)).state is State.RUNNING
    world.doing.event(world.doing.may_end, "slow").set()
    progress = await working
    assert (await world.task(slow)).state is State.SUCCEEDED
    assert (progress.messages, progress.released) == (3, 0)


async def test_a_lane_begins_no_more_than_it_may() -> None:
    world = World(lease_messages_max=1, lane_tasks_max=2)
    first, second, third = await world.add("first", "second", "third")
    working = asyncio.create_task(world.worker().run())
    await world.until(first, State.RUNNING)
    await world.until(second, State.RUNNING)
    await asyncio.sleep(0.1)
    assert (await world.task(third)).state is State.WAITING
    for name in ("first", "second", "third"):
        world.doing.event(world.doing.may_end, name).set()
    await working
    assert (await world.task(third)).state is State.SUCCEEDED


async def test_a_stopped_worker_gives_back_what_does_not_end_in_time() -> None:
    world = World()
    (task_id,) = await world.add("slow")
    worker = world.worker()
    working = asyncio.create_task(worker.run())
    await world.until(task_id, State.RUNNING)
    worker.stop()
    await working
    task = await world.task(task_id)
    assert (task.state, task.progress.crashes, task.progress.attempts[0].ending) == (
        State.WAITING,
        0,
        "released",
    )


async def test_a_claim_that_is_called_off_while_it_is_written_is_given_back_and_is_no_crash() -> None:
    world = World()
    (task_id,) = await world.add("slow")
    stored = (await world.store.get([task_id]))[task_id]
    world.store.holds = lambda change: change.after.state is State.RUNNING
    claiming = asyncio.create_task(world.claiming().claim(stored))
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await world.store.held.wait()
    claiming.cancel()
    world.store.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    task = await world.task(task_id)
    assert (task.state, task.progress.attempt, task.progress.crashes) == (State.WAITING, 1, 0)
    assert [each.ending for each in task.progress.attempts] == ["released"]


async def test_tasks_of_a_paused_topic_are_put_aside_and_woken_when_it_is_resumed() -> None:
    world = World()
    (task_id,) = await world.add("slow")
    world.doing.event(world.doing.may_end, "slow").set()
    await world.herding().pause("thumbnails")
    await world.worker().run()
    aside = await world.task(task_id)
    assert (aside.state, aside.progress.attempt) == (State.WAITING, 0)
    assert aside.progress.due_at is not None
    assert (aside.progress.due_at - aside.progress.run_at).total_seconds() > 3_000
    herded = await world.herding().resume("thumbnails")
    assert herded.tasks == 1
    await world.worker().run()
    assert (await world.task(task_id)).state is State.SUCCEEDED


async def test_a_full_topic_refuses_and_takes_again_when_there_is_room() -> None:
    world = World(topic_tasks_max=2)
    first, _ = await world.add("a", "b")
    intake = world.intake()
    with pytest.raises(TopicFull, match="has 2 tasks that have not ended"):
        await intake.add([a_new_task("c")])
    await Steering(world.store, world.commits, world.timetable, clock=CLOCK, new_id=random_id).cancel(first)
    assert len(await intake.add([a_new_task("c")])) == 1


async def test_a_caller_of_a_full_topic_may_wait_for_room() -> None:
    world = World(topic_tasks_max=1, topic_full_wait_seconds=30.0)
    (first,) = await world.add("a")
    adding = asyncio.create_task(world.intake().add([a_new_task("b")]))
    await asyncio.sleep(0.05)
    assert not adding.done()
    await Steering(world.store, world.commits, world.timetable, clock=CLOCK, new_id=random_id).cancel(first)
    assert len(await adding) == 1


async def test_without_a_limit_nothing_is_read_before_a_task_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(topic_tasks_max=0)

    async def read(_: str) -> Any:
        raise AssertionError("the books were read")

    monkeypatch.setattr(world.store, "entries", read)
    assert len(await world.add("a")) == 1


async def test_a_mistake_of_ours_ends_the_worker_and_its_message_comes_again() -> None:
    world = World()
    await world.add("slow")

    async def broken(_: object) -> Any:
        raise ZeroDivisionError

    world.store.commit = broken  # type: ignore[method-assign,assignment]
    with pytest.raises(TypeError):
        await world.worker().run()
