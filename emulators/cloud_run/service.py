"""The API: jobs are run, executions are looked at and cancelled, and each is an operation that clients wait for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.cloud.run_v2 import types
from google.longrunning import operations_pb2

from emulators.api import Code, Method, Refused, Route
from emulators.api.paging import page
from emulators.api.refused import failed_precondition, not_found
from emulators.cloud_run.executions import Executions, Run, TooManyExecutions
from emulators.cloud_run.jobs import LocalJob, overrides_of
from emulators.cloud_run.views import Place, execution_message, job_message, operation_message
from emulators.errors import ProcessUnstartable

JOBS_SERVICE = "google.cloud.run.v2.Jobs"
EXECUTIONS_SERVICE = "google.cloud.run.v2.Executions"
OPERATIONS_SERVICE = "google.longrunning.Operations"
PAGE_SIZE_MAX = 1_000
#: `operations.wait` answers after so long at most, as the service does.
WAIT_SECONDS_MAX = 240.0

_LOCATION = "projects/*/locations/*"
_JOB = f"{_LOCATION}/jobs/*"
_EXECUTION = f"{_JOB}/executions/*"
_OPERATION = f"{_LOCATION}/operations/*"


class CloudRunJobs:
    """The jobs of one place, over the executions of their owner."""

    def __init__(self, executions: Executions, place: Place, since: datetime) -> None:
        self.executions = executions
        self.place = place
        self._since = since

    @property
    def services(self) -> dict[str, tuple[Method, ...]]:
        """The services' tables."""
        job, execution, pb = types.job, types.execution, operations_pb2
        return {
            JOBS_SERVICE: (
                _method("GetJob", job.GetJobRequest.meta.pb, self._job, "GET", f"/v2/{{name={_JOB}}}"),
                _method(
                    "ListJobs",
                    job.ListJobsRequest.meta.pb,
                    self._list,
                    "GET",
                    f"/v2/{{parent={_LOCATION}}}/jobs",
                ),
                _method(
                    "RunJob", job.RunJobRequest.meta.pb, self._run, "POST", f"/v2/{{name={_JOB}}}:run", "*"
                ),
            ),
            EXECUTIONS_SERVICE: (
                _method(
                    "GetExecution",
                    execution.GetExecutionRequest.meta.pb,
                    self._execution,
                    "GET",
                    f"/v2/{{name={_EXECUTION}}}",
                ),
                _method(
                    "ListExecutions",
                    execution.ListExecutionsRequest.meta.pb,
                    self._executions,
                    "GET",
                    f"/v2/{{parent={_JOB}}}/executions",
                ),
                _method(
                    "CancelExecution",
                    execution.CancelExecutionRequest.meta.pb,
                    self._cancel,
                    "POST",
                    f"/v2/{{name={_EXECUTION}}}:cancel",
                    "*",
                ),
            ),
            OPERATIONS_SERVICE: (
                _method(
                    "GetOperation",
                    pb.GetOperationRequest,
                    self._operation,
                    "GET",
                    f"/v2/{{name={_OPERATION}}}",
                ),
                _method(
                    "WaitOperation",
                    pb.WaitOperationRequest,
                    self._wait,
                    "POST",
                    f"/v2/{{name={_OPERATION}}}:wait",
                    "*",
                ),
            ),
        }

    def cancel(self, run: Run) -> None:
        """Ends an execution; `Refused` if it has ended."""
        if not run.running:
            raise failed_precondition(f"Execution {run.name} has completed and cannot be cancelled.")
        self.executions.cancel(run)

    def run_named(self, name: str) -> Run:
        """The execution of a full name; of a job's `-`, of any job."""
        for run in self.executions.runs():
            if name == self.place.execution(run):
                return run
        raise _missing("EXECUTION", name)

    async def _list(self, request: Any) -> Any:
        jobs = sorted(self.executions.jobs.values(), key=lambda job: job.name)
        shown, token = page(
            jobs if request.parent == self.place.parent else [],
            lambda job: job.name,
            size=request.page_size,
            token=request.page_token,
            size_max=PAGE_SIZE_MAX,
        )
        return types.ListJobsResponse.meta.pb(
            jobs=[self._job_message(each) for each in shown], next_page_token=token
        )

    async def _job(self, request: Any) -> Any:
        return self._job_message(self._definition(request.name))

    async def _run(self, request: Any) -> Any:
        job = self._definition(request.name)
        overrides = overrides_of(request.overrides)
        if request.validate_only:
            return operations_pb2.Operation(done=True)
        try:
            run = await self.executions.begin(job.name, overrides)
        except TooManyExecutions as error:
            raise Refused(Code.RESOURCE_EXHAUSTED, str(error)) from error
        except ProcessUnstartable as error:
            raise failed_precondition(str(error)) from error
        return operation_message(self.place, run)

    async def _executions(self, request: Any) -> Any:
        job = self._definition(request.parent)
        runs = self.executions.runs(job.name)
        # The latest first: pages are counted off by how many there are after.
        numbered = {each.uid: f"{index:09d}" for index, each in enumerate(runs)}
        shown, token = page(
            runs,
            lambda run: numbered[run.uid],
            size=request.page_size,
            token=request.page_token,
            size_max=PAGE_SIZE_MAX,
        )
        return types.ListExecutionsResponse.meta.pb(
            executions=[execution_message(self.place, each) for each in shown], next_page_token=token
        )

    async def _execution(self, request: Any) -> Any:
        return execution_message(self.place, self.run_named(request.name))

    async def _cancel(self, request: Any) -> Any:
        run = self.run_named(request.name)
        if not request.validate_only:
            self.cancel(run)
        return operation_message(self.place, run)

    async def _operation(self, request: Any) -> Any:
        return operation_message(self.place, self._run_of_operation(request.name))

    async def _wait(self, request: Any) -> Any:
        run = self._run_of_operation(request.name)
        asked = request.timeout.seconds + request.timeout.nanos / 1e9
        await self.executions.until_changed(run, min(asked or WAIT_SECONDS_MAX, WAIT_SECONDS_MAX))
        return operation_message(self.place, self._run_of_operation(request.name))

    def _run_of_operation(self, name: str) -> Run:
        for run in self.executions.runs():
            if name == self.place.operation(run):
                return run
        raise not_found(f"Operation {name} was not found.")

    def _definition(self, name: str) -> LocalJob:
        for job in self.executions.jobs.values():
            if name == self.place.job(job.name):
                return job
        raise _missing("JOB", name)

    def _job_message(self, job: LocalJob) -> Any:
        runs: Sequence[Run] = self.executions.runs(job.name)
        return job_message(self.place, job, list(runs), self._since)


def _missing(kind: str, name: str) -> Refused:
    parts = name.split("/")
    if len(parts) < 6:  # noqa: PLR2004  # projects/…/locations/…/jobs/…
        return not_found(f"Resource {name!r} of kind {kind!r} does not exist.")
    return not_found(
        f"Resource {parts[-1]!r} of kind {kind!r} in region {parts[3]!r} in project {parts[1]!r} does not exist."
    )


def _method(name: str, request: Any, handle: Any, verb: str, template: str, body: str = "") -> Method:
    return Method(name, request, handle, Route(verb, template, body))
