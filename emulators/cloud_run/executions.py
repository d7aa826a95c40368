"""The books of what ran: one owner of all executions, and of how many of a job may run at once."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from emulators.cloud_run.jobs import NOTHING, LocalJob, Overrides
from emulators.errors import LocalCloudError

#: On one machine, more executions of a job only stand in each other's way.
AT_ONCE_MAX = 2
#: Ended executions that are remembered, with their logs.
KEPT_MAX = 100


class Running(Protocol):
    """An execution's processes, one for each task."""

    name: str

    @property
    def logs(self) -> list[Path]:
        """The tasks' outputs, by task index."""
        ...

    @property
    def attempts(self) -> list[int]:
        """How often each task was tried again, by task index."""
        ...

    @property
    def late(self) -> bool:
        """Whether a task failed for good since it took too long."""
        ...

    def codes(self) -> list[int | None]:
        """The tasks' exit codes; None for what runs, or waits to begin or to be tried again."""
        ...

    async def wait(self, seconds_max: float) -> list[int]:
        """Sees all tasks through, whose attempts have so long each."""
        ...

    async def stop(self) -> list[int]:
        """SIGTERM, a grace period, SIGKILL."""
        ...

    def let_go(self) -> None:
        """Kills what still runs, without a wait."""
        ...


#: Starts the processes of a job.
Launch = Callable[[LocalJob, Overrides], Running]


class TooManyExecutions(LocalCloudError):
    """As many executions of a job run as may."""

    def __init__(self, job: str, running: int) -> None:
        super().__init__(f"{running} executions of the job {job} run already; wait for one to end.")


@dataclass
class Run:
    """One execution: what was asked for, and what became of it."""

    job: LocalJob
    overrides: Overrides
    processes: Running
    began: datetime
    uid: str
    ended: datetime | None = None
    cancelled: bool = False

    @property
    def name(self) -> str:
        """Its short name, such as `drain-abcdefgh`."""
        return self.processes.name

    @property
    def seconds_max(self) -> float:
        """How long an attempt of a task may take."""
        return self.overrides.task_seconds or self.job.task_seconds

    def codes(self) -> list[int | None]:
        """The tasks' exit codes; None for what still runs."""
        return self.processes.codes()

    @property
    def running(self) -> bool:
        """Whether a task still runs."""
        return None in self.codes()


@dataclass
class Executions:
    """All executions of some jobs."""

    jobs: Mapping[str, LocalJob]
    launch: Launch
    at_once_max: int = AT_ONCE_MAX
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _runs: list[Run] = field(default_factory=list)
    _beginning: asyncio.Lock = field(default_factory=asyncio.Lock)
    _watching: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, job: str, overrides: Overrides = NOTHING) -> Run:
        """Starts an execution; `KeyError` without such a job, `TooManyExecutions` if enough of it run."""
        definition = self.jobs[job]
        running = sum(each.job.name == job and each.running for each in self._runs)
        if running >= self.at_once_max:
            raise TooManyExecutions(job, running)
        self._forget()
        processes = self.launch(definition, overrides)
        run = Run(definition, overrides, processes, self.clock(), str(uuid.uuid4()))
        self._runs.append(run)
        return run

    async def begin(self, job: str, overrides: Overrides = NOTHING) -> Run:
        """Starts an execution without holding anybody up, and sees its tasks through."""
        async with self._beginning:
            run = await asyncio.to_thread(self.start, job, overrides)
        self._in_background(self._watch(run), run.uid)
        return run

    def runs(self, job: str = "") -> Sequence[Run]:
        """The executions of a job, or of all; the latest first."""
        self._note_ends()
        return [each for each in reversed(self._runs) if not job or each.job.name == job]

    def cancel(self, run: Run) -> None:
        """Ends an execution as Cloud Run does, without waiting for it."""
        if run.running and not run.cancelled:
            run.cancelled = True
            self._in_background(self._stop(run), run.uid)

    async def close(self) -> None:
        """Watches no longer; what runs goes on until its holder ends it."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    async def until_changed(self, run: Run, seconds: float) -> None:
        """Waits until an execution has ended, or for so long."""
        watching = [task for task in self._watching if task.get_name() == run.uid]
        if watching:
            await asyncio.wait(watching, timeout=seconds)
        self._note_ends()

    def _in_background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _watch(self, run: Run) -> None:
        await run.processes.wait(run.seconds_max)
        self._note_ends()

    async def _stop(self, run: Run) -> None:
        await run.processes.stop()
        self._note_ends()

    def _note_ends(self) -> None:
        for run in self._runs:
            if run.ended is None and not run.running:
                run.ended = self.clock()

    def _forget(self) -> None:
        ended = [each for each in self._runs if not each.running]
        for run in ended[:-KEPT_MAX]:
            self._runs.remove(run)
            for log in run.processes.logs:
                log.unlink(missing_ok=True)
