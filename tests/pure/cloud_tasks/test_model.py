"""The engine beside a model that says the same in another way, over whatever calls, answers, times and restarts."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from emulators.api.refused import Code, Refused
from emulators.cloud_tasks.engine import Dispatch
from emulators.cloud_tasks.messages import Queue
from tests.pure.cloud_tasks.driving import PARENT, SECOND, Driven

#: Mostly one, so that the same tasks meet many rules.
QUEUES = ("a", "a", "a", "b")
TASKS = ("one", "two")
DAY = 86_400 * SECOND
STATUSES = (200, 204, 302, 404, 429, 500, 503)


@dataclass
class ModelTask:
    """A task as the reference tells of it."""

    created: int
    schedule: int
    attempts: int = 0
    responses: int = 0
    executions: int = 0
    first: int = 0
    in_flight: int = 0
    #: Whether it stands in line.
    armed: bool = True


@dataclass
class ModelQueue:
    """A queue as the reference tells of it; `rate` and `burst` are bounds on what is seen, not a bucket."""

    rate: float
    concurrent: int
    attempts_max: int
    duration: int
    paused: bool = False
    tasks: dict[str, ModelTask] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    #: When it dispatched since the last change of its rate, RunTask apart.
    dispatched: list[int] = field(default_factory=list)


def backoff_us(failures: int) -> int:
    """10, 20, 40, 80, 160, 240, 300, 300, … seconds, as the reference lists them."""
    listed = (10, 20, 40, 80, 160, 240, 300)
    return listed[min(failures, len(listed)) - 1] * SECOND


class BesideTheModel(RuleBasedStateMachine):
    """Calls, answers and time go to both, and what can be seen must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.driven = Driven()
        self.queues: dict[str, ModelQueue] = {}
        self.held_queues: dict[str, int] = {}
        self.in_flight: list[tuple[Dispatch, ModelQueue, ModelTask]] = []
        self.names = Counter[str]()

    def call(self, expected: Code, method: str, *arguments: object) -> object:
        found, result = Code.OK, None
        try:
            result = getattr(self.driven.engine, method)(*arguments)
        except Refused as fault:
            found = fault.code
        self.driven.disk.write(self.driven.engine.take_changes())
        assert found is expected, f"{method}{arguments}"
        return result

    def on_queue(self, name: str) -> Code:
        return Code.OK if name in self.queues else Code.NOT_FOUND

    @property
    def now(self) -> int:
        return self.driven.now_us

    # Queues

    @initialize()
    def begin(self) -> None:
        self.configure("a", 3.0, 1000, -1, 0, updates=False)

    @rule(
        name=st.sampled_from(QUEUES),
        rate=st.sampled_from((0.5, 3.0, 500.0)),
        concurrent=st.sampled_from((1, 2, 1000)),
        attempts=st.sampled_from((-1, 1, 3)),
        duration=st.sampled_from((0, 45)),
        updates=st.booleans(),
    )
    def configure(
        self, name: str, rate: float, concurrent: int, attempts: int, duration: int, *, updates: bool
    ) -> None:
        config = Queue(name=f"{PARENT}/queues/{name}")
        config.rate_limits.max_dispatches_per_second = rate
        config.rate_limits.max_concurrent_dispatches = concurrent
        config.retry_config.max_attempts = attempts
        config.retry_config.max_retry_duration.FromSeconds(duration)
        config.retry_config.min_backoff.FromSeconds(10)
        config.retry_config.max_backoff.FromSeconds(300)
        config.retry_config.max_doublings = 3
        known = self.queues.get(name)
        expected = Code.OK
        if known is None and self.held_queues.get(name, 0) > self.now:
            expected = Code.FAILED_PRECONDITION
        elif known is not None and not updates:
            expected = Code.ALREADY_EXISTS
        if updates:
            self.call(expected, "update_queue", config, ())
        else:
            self.call(expected, "create_queue", PARENT, config)
        if expected is Code.OK:
            changed = ModelQueue(rate, concurrent, attempts, duration * SECOND)
            if known is not None:
                changed.paused, changed.tasks, changed.held = known.paused, known.tasks, known.held
                changed.in_flight = known.in_flight
                self.in_flight = [
                    (dispatch, changed if queue is known else queue, task)
                    for dispatch, queue, task in self.in_flight
                ]
            self.queues[name] = changed

    @rule(name=st.sampled_from(QUEUES))
    def pause(self, name: str) -> None:
        self.call(self.on_queue(name), "pause_queue", f"{PARENT}/queues/{name}")
        if name in self.queues:
            self.queues[name].paused = True

    @rule(name=st.sampled_from(QUEUES))
    def resume(self, name: str) -> None:
        self.call(self.on_queue(name), "resume_queue", f"{PARENT}/queues/{name}")
        if name in self.queues:
            self.queues[name].paused = False

    @rule(name=st.sampled_from(QUEUES))
    def purge(self, name: str) -> None:
        self.call(self.on_queue(name), "purge_queue", f"{PARENT}/queues/{name}")
        for task in list(self.queues[name].tasks) if name in self.queues else []:
            self.end(self.queues[name], task)

    @rule(name=st.sampled_from(QUEUES))
    def delete_queue(self, name: str) -> None:
        self.call(self.on_queue(name), "delete_queue", f"{PARENT}/queues/{name}")
        if self.queues.pop(name, None):
            self.held_queues[name] = self.now + 3 * DAY

    # Tasks

    @rule(
        queue=st.sampled_from(QUEUES),
        task=st.sampled_from(TASKS),
        delay=st.sampled_from((-5, 0, 1, 15, 86_400)),
    )
    def create_task(self, queue: str, task: str, delay: int) -> None:
        known = self.queues.get(queue)
        expected = Code.OK
        if known is None:
            expected = Code.NOT_FOUND
        elif task in known.tasks or known.held.get(task, 0) > self.now:
            expected = Code.ALREADY_EXISTS
        try:
            self.driven.task(task, queue=f"{PARENT}/queues/{queue}", delay=delay)
            found = Code.OK
        except Refused as fault:
            found = fault.code
        self.driven.disk.write(self.driven.engine.take_changes())
        assert found is expected
        if known is not None and expected is Code.OK:
            known.tasks[task] = ModelTask(self.now, max(self.now, self.now + delay * SECOND))

    @precondition(lambda self: self.queues)
    @rule(which=st.integers(0, 1), tasks=st.sampled_from((1, 13)))
    def create_tasks_without_names(self, which: int, tasks: int) -> None:
        name = sorted(self.queues)[which % len(self.queues)]
        for _ in range(tasks):
            made = self.driven.task(queue=f"{PARENT}/queues/{name}")
            self.queues[name].tasks[made.rpartition("/")[2]] = ModelTask(self.now, self.now)
        self.driven.disk.write(self.driven.engine.take_changes())

    @rule(queue=st.sampled_from(QUEUES), task=st.sampled_from(TASKS))
    def delete_task(self, queue: str, task: str) -> None:
        exists = queue in self.queues and task in self.queues[queue].tasks
        name = f"{PARENT}/queues/{queue}/tasks/{task}"
        self.call(Code.OK if exists else Code.NOT_FOUND, "delete_task", name)
        if exists:
            self.end(self.queues[queue], task)

    @rule(queue=st.sampled_from(QUEUES), task=st.sampled_from(TASKS))
    def run_task(self, queue: str, task: str) -> None:
        known = self.queues.get(queue)
        exists = known is not None and task in known.tasks
        name = f"{PARENT}/queues/{queue}/tasks/{task}"
        if exists and self.names[f"{self.now // SECOND}"] >= 20:
            return
        self.names[f"{self.now // SECOND}"] += 1
        self.call(Code.OK if exists else Code.NOT_FOUND, "run_task", name)
        if known is None or not exists:
            return
        runs = [each for each in self.driven.due() if self.take(each)]
        assert [each.task_id for each in runs if each.forced] == [task]

    # Time and answers

    @rule(seconds=st.sampled_from((0.001, 0.3, 1, 10, 61, 300, 7200, 86_400)))
    def pass_time(self, seconds: float) -> None:
        until = self.now + round(seconds * SECOND)
        while (moment := self.driven.engine.next_moment()) is not None and moment <= until:
            assert moment >= self.now, "a moment in the past"
            self.driven.now_us = moment
            self.forget_old()
            for dispatch in self.driven.due():
                self.take(dispatch)
        self.driven.now_us = until
        self.forget_old()

    @precondition(lambda self: any(queue.tasks for queue in self.queues.values()))
    @rule(which=st.integers(0, 50))
    def run_a_task(self, which: int) -> None:
        known = sorted((queue, task) for queue, each in self.queues.items() for task in each.tasks)
        self.run_task(*known[which % len(known)])

    @precondition(lambda self: self.in_flight)
    @rule(which=st.integers(0, 50), status=st.sampled_from(STATUSES), silent=st.booleans())
    def answer(self, which: int, status: int, *, silent: bool) -> None:
        dispatch, queue, task = self.in_flight.pop(which % len(self.in_flight))
        self.driven.answer(dispatch, 504 if silent else status, answered=not silent)
        queue.in_flight -= 1
        task.in_flight -= 1
        if queue.tasks.get(dispatch.task_id) is not task:
            return
        if not silent and status in (200, 204):
            self.end(queue, dispatch.task_id)
            return
        task.responses += not silent
        task.executions += not silent and status < 500
        start = dispatch.dispatch_us if dispatch.forced else self.now
        following = start + backoff_us(task.attempts)
        enough = queue.attempts_max != -1 and task.attempts >= queue.attempts_max
        long = queue.duration > 0 and following - task.first >= queue.duration
        limits = [
            reached
            for limit, reached in ((queue.attempts_max != -1, enough), (queue.duration > 0, long))
            if limit
        ]
        if limits and all(limits):
            self.end(queue, dispatch.task_id)
        else:
            task.schedule, task.armed = following, True

    @precondition(lambda self: self.in_flight)
    @rule(which=st.integers(0, 50), times=st.integers(1, 9))
    def fail_again_and_again(self, which: int, times: int) -> None:
        """One task's attempts fail one after the other, so that the back-off is seen to its end."""
        dispatch, _, _ = self.in_flight[which % len(self.in_flight)]
        for _ in range(times):
            places = [
                index
                for index, (each, _, _) in enumerate(self.in_flight)
                if (each.queue, each.task_id) == (dispatch.queue, dispatch.task_id)
            ]
            if not places:
                return
            self.answer(places[0], 404, silent=False)
            self.pass_time(300)

    @rule()
    def restart(self) -> None:
        self.driven.restart()
        for _, queue, task in self.in_flight:
            queue.in_flight = 0
            if task.in_flight:
                task.in_flight, task.armed = 0, True
        self.in_flight.clear()
        for queue in self.queues.values():
            queue.in_flight = 0
            queue.dispatched.clear()
            for task in queue.tasks.values():
                task.armed = True

    def take(self, dispatch: Dispatch) -> bool:
        """Holds one dispatch against what the model allows now."""
        queue = self.queues[dispatch.queue.rpartition("/")[2]]
        task = queue.tasks[dispatch.task_id]
        assert dispatch.dispatch_us == self.now
        assert dispatch.retry_count == task.attempts
        assert dispatch.execution_count == task.executions
        if not dispatch.forced:
            assert not queue.paused
            assert task.armed, "dispatched twice"
            assert task.schedule <= self.now, "dispatched too early"
            assert dispatch.schedule_us == task.schedule
            assert queue.in_flight < queue.concurrent
            queue.dispatched.append(self.now)
        queue.in_flight += 1
        task.armed = False
        task.in_flight += 1
        task.attempts += 1
        task.first = task.first or self.now
        self.in_flight.append((dispatch, queue, task))
        return True

    def end(self, queue: ModelQueue, task: str) -> None:
        del queue.tasks[task]
        queue.held[task] = self.now + DAY

    def forget_old(self) -> None:
        for queue in self.queues.values():
            for name, task in list(queue.tasks.items()):
                if task.created + 31 * DAY <= self.now:
                    self.end(queue, name)

    # What can be seen

    @invariant()
    def the_same_queues_and_tasks(self) -> None:
        engine = self.driven.engine
        assert {name.rpartition("/")[2] for name in engine.queues} == set(self.queues)
        for name, queue in self.queues.items():
            live = engine.queues[f"{PARENT}/queues/{name}"]
            assert live.paused is queue.paused
            assert live.in_flight == queue.in_flight
            found = {
                key: (task.schedule_us, task.dispatch_count, task.response_count, task.execution_count)
                for key, task in live.tasks.items()
            }
            assert found == {
                key: (task.schedule, task.attempts, task.responses, task.executions)
                for key, task in queue.tasks.items()
            }

    @invariant()
    def no_more_than_the_rate(self) -> None:
        for queue in self.queues.values():
            times = queue.dispatched
            for start in range(len(times)):
                allowed = max(10, queue.rate / 5) + queue.rate * (times[-1] - times[start]) / SECOND
                assert len(times) - start <= allowed + 1e-6

    @invariant()
    def whoever_can_go_has_a_moment(self) -> None:
        moment = self.driven.engine.next_moment()
        for queue in self.queues.values():
            ready = [task for task in queue.tasks.values() if task.armed]
            if ready and not queue.paused and queue.in_flight < queue.concurrent:
                assert moment is not None, "a task waits and nobody will look"
                # Six halvings of half a dispatch a second: the longest that a token can take, and its start.
                latest = max(self.now, min(task.schedule for task in ready)) + 200 * SECOND
                assert moment <= latest


BesideTheModel.TestCase.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestBesideTheModel = BesideTheModel.TestCase
