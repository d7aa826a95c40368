"""The API: each call decides with the engine, stores what changed, and answers; a loop makes the attempts that are due."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from google.cloud.scheduler_v1 import types
from google.protobuf.empty_pb2 import Empty

from emulators.api import Code, Method, Refused, Route
from emulators.api.paging import page
from emulators.api.refused import invalid
from emulators.cloud_scheduler import jobs
from emulators.cloud_scheduler.engine import Attempt, Clock, Engine, Entry
from emulators.cloud_scheduler.store import Store
from emulators.cloud_scheduler.target import Outcome, Targets

T = TypeVar("T")

SERVICE = "google.cloud.scheduler.v1.CloudScheduler"
PAGE_SIZE_MAX = 500
ATTEMPTS_AT_ONCE_MAX = 100
#: The wall clock may be set, or a laptop sleep: it is looked at again after so long.
LOOK_AGAIN_SECONDS = 30.0
#: A disk that takes nothing is tried again after so long; no attempt begins meanwhile.
DISK_AGAIN_SECONDS = 5.0
#: Attempts that are under way at the end may take so long.
STOP_SECONDS = 3.0

_LOCATION = "projects/*/locations/*"
_JOB = f"{_LOCATION}/jobs/*"

logger = logging.getLogger(__name__)


class CloudScheduler:
    """Jobs in a store, kept by an engine, attempted at targets."""

    def __init__(
        self, store: Store, targets: Targets, clock: Clock, stop_seconds: float = STOP_SECONDS
    ) -> None:
        self._store = store
        self._targets = targets
        self._clock = clock
        self._stop_seconds = stop_seconds
        entries = store.load()
        executions = [execution.id for entry in entries.values() for execution in entry.executions]
        self._engine = Engine(entries, next_execution=max(executions, default=0) + 1)
        self._one_at_a_time = asyncio.Lock()
        self._woken = asyncio.Event()
        self._unsaved: set[str] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._changing: set[asyncio.Task[Any]] = set()

    @property
    def methods(self) -> tuple[Method, ...]:
        """The service's table."""
        request = types.cloudscheduler
        return (
            _method(
                "ListJobs", request.ListJobsRequest, self._list, "GET", f"/v1/{{parent={_LOCATION}}}/jobs"
            ),
            _method("GetJob", request.GetJobRequest, self._get, "GET", f"/v1/{{name={_JOB}}}"),
            _method(
                "CreateJob",
                request.CreateJobRequest,
                self._create,
                "POST",
                f"/v1/{{parent={_LOCATION}}}/jobs",
                "job",
            ),
            _method(
                "UpdateJob",
                request.UpdateJobRequest,
                self._update,
                "PATCH",
                f"/v1/{{job.name={_JOB}}}",
                "job",
            ),
            _method("DeleteJob", request.DeleteJobRequest, self._delete, "DELETE", f"/v1/{{name={_JOB}}}"),
            _method(
                "PauseJob", request.PauseJobRequest, self._pause, "POST", f"/v1/{{name={_JOB}}}:pause", "*"
            ),
            _method(
                "ResumeJob",
                request.ResumeJobRequest,
                self._resume,
                "POST",
                f"/v1/{{name={_JOB}}}:resume",
                "*",
            ),
            _method("RunJob", request.RunJobRequest, self._run, "POST", f"/v1/{{name={_JOB}}}:run", "*"),
        )

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All jobs by their names, with what the API has no field for."""
        return self._engine.entries

    def wake(self) -> None:
        """Looks at the clock now: it was turned."""
        self._woken.set()

    async def run(self) -> None:
        """Makes attempts until it is cancelled; those under way then have a moment to end."""
        await self._changed(self._engine.recover)
        try:
            while True:
                self._woken.clear()
                await self._begin_due()
                await self._sleep()
        finally:
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=self._stop_seconds)
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, *self._changing, return_exceptions=True)

    async def _begin_due(self) -> None:
        free = ATTEMPTS_AT_ONCE_MAX - len(self._under_way)
        try:
            attempts = await self._changed(lambda now: self._engine.due(now, free))
        except Refused as refused:
            logger.warning("no attempt begins: %s", refused.message)
            asyncio.get_running_loop().call_later(DISK_AGAIN_SECONDS, self._woken.set)
            await self._woken.wait()
            return
        for attempt in attempts:
            task = asyncio.create_task(self._attempt(attempt))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("an attempt could not be reported", exc_info=error)
        self._woken.set()

    async def _sleep(self) -> None:
        due = self._engine.next_due()
        full = len(self._under_way) >= ATTEMPTS_AT_ONCE_MAX
        seconds = None if due is None or full else (due - self._clock()).total_seconds()
        try:
            async with asyncio.timeout(
                None if seconds is None else min(max(0.0, seconds), LOOK_AGAIN_SECONDS)
            ):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _attempt(self, attempt: Attempt) -> None:
        outcome = await self._targets.attempt(attempt)
        _log(attempt, outcome)

        def finish(now: datetime) -> None:
            self._engine.finished(attempt.job.name, attempt.execution, outcome.number, outcome.answer, now)

        await self._changed(finish, keep=True)

    async def _changed(self, change: Callable[[datetime], T], *, keep: bool = False) -> T:
        """Makes a change and stores it before anybody is told; `keep` goes on with it though the disk failed.

        A client that goes away does not cut it short: what is half stored would be half known.
        """
        task = asyncio.create_task(self._change(change, keep=keep))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def _change(self, change: Callable[[datetime], T], *, keep: bool) -> T:
        async with self._one_at_a_time:
            try:
                done = change(self._clock())
            except BaseException:
                self._engine.undo()
                raise
            changes = self._engine.changes()
            entries = self._engine.entries
            changes.update({name: entries.get(name) for name in self._unsaved})
            if changes:
                await self._saved(changes, keep=keep)
                self._woken.set()
            self._engine.settle()
        return done

    async def _saved(self, changes: dict[str, Any], *, keep: bool) -> None:
        try:
            await asyncio.to_thread(self._store.save, changes)
        except sqlite3.Error as error:
            if keep:
                logger.warning("what ended could not be stored yet: %s", error)
                self._unsaved.update(changes)
                return
            self._engine.undo()
            raise Refused(
                Code.UNAVAILABLE,
                f"The job could not be stored, and nothing was changed: {error}. Mend the disk and try again.",
            ) from error
        self._unsaved.clear()

    async def _list(self, request: Any) -> Any:
        found = self._engine.listed(jobs.checked_parent(request.parent))
        shown, token = page(
            found,
            lambda job: str(job.name),
            size=request.page_size,
            token=request.page_token,
            size_max=PAGE_SIZE_MAX,
        )
        return types.ListJobsResponse.meta.pb(jobs=shown, next_page_token=token)

    async def _get(self, request: Any) -> Any:
        return self._engine.get(request.name)

    async def create(self, parent: str, given: types.Job) -> types.Job:
        """Creates a job from within the process, by the API's own way."""
        request = types.CreateJobRequest(parent=parent, job=given)
        made: types.Job = types.Job.wrap(await self._create(types.CreateJobRequest.pb(request)))
        return made

    async def _create(self, request: Any) -> Any:
        parent = jobs.checked_parent(request.parent)
        job = jobs.Job()
        job.CopyFrom(request.job)
        if not job.name:
            job.name = f"{parent}/jobs/{self._clock().timestamp() * 1_000_000:.0f}"
        if jobs.parent_of(jobs.checked_name(job.name)) != parent:
            raise invalid(jobs.NAME_FORM)
        return await self._changed(lambda now: self._engine.create(job, now))

    async def _update(self, request: Any) -> Any:
        paths = tuple(request.update_mask.paths)
        return await self._changed(lambda now: self._engine.update(request.job, paths, now))

    async def _delete(self, request: Any) -> Any:
        await self._changed(lambda _: self._engine.delete(request.name))
        return Empty()

    async def _pause(self, request: Any) -> Any:
        return await self._changed(lambda now: self._engine.pause(request.name, now))

    async def _resume(self, request: Any) -> Any:
        return await self._changed(lambda now: self._engine.resume(request.name, now))

    async def _run(self, request: Any) -> Any:
        return await self._changed(lambda now: self._engine.run(request.name, now))


def _method(name: str, request: Any, handle: Any, verb: str, template: str, body: str = "") -> Method:
    return Method(name, request.meta.pb, handle, Route(verb, template, body))


def _log(attempt: Attempt, outcome: Outcome) -> None:
    level = logging.INFO if outcome.code is Code.OK else logging.WARNING
    name, slot = jobs.short_name(attempt.job.name), attempt.slot.isoformat()
    logger.log(level, "%s, scheduled for %s: %s (%s)", name, slot, outcome.code.name, outcome.answer)
