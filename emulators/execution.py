"""An execution of a job: a process for each of its tasks, as Cloud Run runs them."""

import asyncio
import logging
import secrets
import signal
import string
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulators.errors import ProcessDied, ProcessUnstartable
from emulators.processes import GRACE_SECONDS, ROOT, Process, stop_all

#: Cloud Run's default time of an attempt, and its most tasks of an execution.
TASK_SECONDS_MAX = 600.0
TASKS_MAX = 10_000
LOOK_SECONDS = 0.01
#: What a shell answers for a command that it cannot start.
NOT_STARTED = 127
#: Processes of an execution: more at once would only bring a machine to its knees, so other tasks wait for a place.
AT_ONCE_MAX = 100


logger = logging.getLogger(__name__)


@dataclass
class _Task:
    index: int
    log: Path
    #: Of its last attempt; None before the first.
    process: Process | None = None
    #: 0 is the first.
    attempt: int = 0
    #: Whether the last attempt was ended since it took too long.
    late: bool = False
    #: Whether it was its turn, and its process could not be started.
    unstartable: bool = False


class Execution:
    """One execution: the first tasks begin with it; `wait` begins the others, and makes attempts that failed again."""

    def __init__(
        self,
        job: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log_folder: Path,
        tasks: int = 1,
        retries_max: int = 0,
        at_once_max: int = AT_ONCE_MAX,
        root: Path = ROOT,
    ) -> None:
        if not 1 <= tasks <= TASKS_MAX:
            raise ValueError(f"a job has 1 to {TASKS_MAX:,} tasks, not {tasks:,}")
        self.job = job
        #: Unique per execution, as Cloud Run's.
        self.name = f"{job}-{''.join(secrets.choice(string.ascii_lowercase) for _ in range(8))}"
        self._command = command
        self._environment = environment
        self._root = root
        self._retries_max = retries_max
        self._at_once_max = at_once_max
        self._stopping = False
        self._tasks = [_Task(index, log_folder / f"{self.name}-{index}.log") for index in range(tasks)]
        try:
            for task in self._tasks[:at_once_max]:
                self._start(task)
        except BaseException:
            self.let_go()
            raise

    @property
    def processes(self) -> list[Process]:
        """The last process of each task that has begun."""
        return [task.process for task in self._tasks if task.process]

    @property
    def pids(self) -> list[int]:
        """The process ids of the tasks that have begun."""
        return [process.pid for process in self.processes]

    @property
    def logs(self) -> list[Path]:
        """The tasks' outputs, by task index; of all attempts, one after the other."""
        return [task.log for task in self._tasks]

    @property
    def attempts(self) -> list[int]:
        """How often each task was tried again, by task index."""
        return [task.attempt for task in self._tasks]

    @property
    def late(self) -> bool:
        """Whether a task failed for good since it took too long."""
        return any(task.late for task in self._tasks)

    def codes(self) -> list[int | None]:
        """The tasks' exit codes; None for what runs, or waits to begin or to be tried again."""
        return [self._code(task) for task in self._tasks]

    @property
    def running(self) -> bool:
        """Whether a task still runs."""
        return None in self.codes()

    async def wait(self, seconds_max: float = TASK_SECONDS_MAX) -> list[int]:
        """Waits for all tasks, whose attempts have so long each; the exit codes."""
        places = asyncio.Semaphore(self._at_once_max)
        await asyncio.gather(*(self._see_through(task, seconds_max, places) for task in self._tasks))
        return [code for code in self.codes() if code is not None]

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> list[int]:
        """SIGTERM, a grace period, SIGKILL; nothing begins any more; answers the exit codes."""
        self._stopping = True
        await stop_all(self.processes, grace_seconds)
        for process in self.processes:
            await process.wait()
        return [code for code in self.codes() if code is not None]

    def terminate(self) -> None:
        """SIGTERM to each task, without a wait."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to each task, without a wait."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to each task."""
        for process in self.processes:
            process.signal(number)

    def let_go(self) -> None:
        """Lets the guards kill what still runs."""
        self._stopping = True
        for process in self.processes:
            process.let_go()

    def raise_if_failed(self) -> None:
        """`ProcessDied`, with the log's end, for the first task that failed."""
        for process in self.processes:
            code = process.code()
            if code:
                raise ProcessDied(process.name, code, process.log)

    def _start(self, task: _Task) -> None:
        task.late = False
        task.process = Process(
            f"Task {task.index} of the job {self.job}",
            self._command,
            log=task.log,
            environment={
                **self._environment,
                "CLOUD_RUN_JOB": self.job,
                "CLOUD_RUN_EXECUTION": self.name,
                "CLOUD_RUN_TASK_INDEX": str(task.index),
                "CLOUD_RUN_TASK_COUNT": str(len(self._tasks)),
                "CLOUD_RUN_TASK_ATTEMPT": str(task.attempt),
                "PYTHONUNBUFFERED": "1",
            },
            folder=self._root,
        )
        if self._stopping:
            # It began while the execution was stopped, which may not have seen it.
            task.process.let_go()
            while task.process.code() is None:
                time.sleep(LOOK_SECONDS)

    def _code(self, task: _Task) -> int | None:
        if task.unstartable:
            return NOT_STARTED
        if task.process is None:
            return -signal.SIGTERM if self._stopping else None
        code = task.process.code()
        if code == 0 and task.late:
            # It heeded the signal: it failed all the same.
            code = -signal.SIGTERM
        return None if code and self._is_tried_again(task) else code

    def _is_tried_again(self, task: _Task) -> bool:
        return task.attempt < self._retries_max and not self._stopping

    async def _see_through(self, task: _Task, seconds_max: float, places: asyncio.Semaphore) -> None:
        async with places:
            if task.process is None and not self._stopping:
                await self._start_later(task)
            while task.process is not None and not task.unstartable:
                await self._end(task, task.process, seconds_max)
                if self._code(task) is not None:
                    return
                task.attempt += 1
                await self._start_later(task)

    async def _start_later(self, task: _Task) -> None:
        try:
            await asyncio.to_thread(self._start, task)
        except (ProcessUnstartable, OSError):
            logger.exception("task %d of %s could not be started", task.index, self.name)
            task.unstartable = True

    @staticmethod
    async def _end(task: _Task, process: Process, seconds_max: float) -> None:
        try:
            async with asyncio.timeout(seconds_max):
                await process.wait()
        except TimeoutError:
            task.late = True
            await process.stop()
