"""Jobs and executions as the API's messages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud.run_v2 import types
from google.longrunning import operations_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2

from emulators.cloud_run.executions import Run
from emulators.cloud_run.jobs import LocalJob

State = types.Condition.State
Reason = types.Condition.ExecutionReason
Completion = types.ExecutionReference.CompletionStatus


@dataclass(frozen=True)
class Place:
    """Where the jobs of this machine are said to be."""

    project: str
    location: str

    @property
    def parent(self) -> str:
        """As names begin."""
        return f"projects/{self.project}/locations/{self.location}"

    def job(self, name: str) -> str:
        """A job's full name."""
        return f"{self.parent}/jobs/{name}"

    def execution(self, run: Run) -> str:
        """An execution's full name."""
        return f"{self.job(run.job.name)}/executions/{run.name}"

    def operation(self, run: Run) -> str:
        """The name of the operation that an execution is."""
        return f"{self.parent}/operations/{run.uid}"


def job_message(place: Place, job: LocalJob, runs: list[Run], since: datetime) -> Any:
    """A job; its executions are counted, and the latest one is referred to."""
    message = types.Job.meta.pb(
        name=place.job(job.name),
        generation=1,
        observed_generation=1,
        execution_count=len(runs),
        create_time=_moment(since),
        update_time=_moment(since),
    )
    message.template.task_count = job.tasks
    message.template.template.containers.add(command=job.command)
    message.template.template.max_retries = job.retries_max
    message.template.template.timeout.FromNanoseconds(int(job.task_seconds * 1e9))
    condition = message.terminal_condition
    condition.type_, condition.state = "Ready", State.CONDITION_SUCCEEDED
    if runs:
        latest = runs[0]
        reference = message.latest_created_execution
        reference.name = latest.name
        reference.create_time.CopyFrom(_moment(latest.began))
        reference.completion_status = _completion(latest)
        if latest.ended:
            reference.completion_time.CopyFrom(_moment(latest.ended))
    return message


def execution_message(place: Place, run: Run) -> Any:
    """An execution, as it stands now."""
    codes = run.codes()
    succeeded = codes.count(0)
    running = codes.count(None)
    message = types.Execution.meta.pb(
        name=place.execution(run),
        uid=run.uid,
        job=run.job.name,
        generation=1,
        observed_generation=1,
        create_time=_moment(run.began),
        start_time=_moment(run.began),
        update_time=_moment(run.ended or run.began),
        parallelism=len(codes),
        retried_count=sum(attempt > 0 for attempt in run.processes.attempts),
        task_count=len(codes),
        running_count=running,
        succeeded_count=succeeded,
        cancelled_count=len(codes) - succeeded - running if run.cancelled else 0,
        failed_count=0 if run.cancelled else len(codes) - succeeded - running,
        reconciling=run.ended is None,
        log_uri=run.processes.logs[0].as_uri(),
    )
    container = message.template.containers.add(command=run.job.command, args=run.overrides.arguments)
    for name, value in run.overrides.environment.items():
        container.env.add(name=name, value=value)
    message.template.max_retries = run.job.retries_max
    message.template.timeout.FromNanoseconds(int(run.seconds_max * 1e9))
    if run.ended:
        message.completion_time.CopyFrom(_moment(run.ended))
    _conditions(message, run, codes)
    return message


def operation_message(place: Place, run: Run) -> Any:
    """The operation that an execution is: done when it has ended, with the execution or an error."""
    execution = execution_message(place, run)
    operation = operations_pb2.Operation(name=place.operation(run), done=run.ended is not None)
    operation.metadata.Pack(execution)
    if run.ended is None:
        return operation
    fault = fault_of(run)
    if fault:
        operation.error.code = code_pb2.CANCELLED if run.cancelled else code_pb2.INTERNAL
        operation.error.message = fault
    else:
        operation.response.Pack(execution)
    return operation


def fault_of(run: Run) -> str:
    """Why an execution that has ended is no success; empty if it is one."""
    codes = run.codes()
    failed = next((index for index, code in enumerate(codes) if code), None)
    if run.cancelled:
        return "The execution was cancelled."
    if run.processes.late:
        return f"A task took longer than {run.seconds_max:g} s."
    if failed is not None:
        return f"Task {run.name}-task{failed} failed with exit code {codes[failed]}."
    return ""


def _conditions(message: Any, run: Run, codes: list[int | None]) -> None:
    completed = message.conditions.add(type_="Completed", state=State.CONDITION_RECONCILING)
    completed.last_transition_time.CopyFrom(_moment(run.ended or run.began))
    if run.cancelled:
        completed.execution_reason = Reason.CANCELLED if run.ended else Reason.CANCELLING
    if run.ended:
        fault = fault_of(run)
        completed.state = State.CONDITION_FAILED if fault else State.CONDITION_SUCCEEDED
        completed.message = fault or "Execution completed successfully."
        if any(codes) and not run.cancelled:
            completed.execution_reason = Reason.NON_ZERO_EXIT_CODE
    started = message.conditions.add(type_="Started", state=State.CONDITION_SUCCEEDED)
    started.last_transition_time.CopyFrom(_moment(run.began))


def _completion(run: Run) -> Any:
    if run.ended is None:
        return Completion.EXECUTION_RUNNING
    if run.cancelled:
        return Completion.EXECUTION_CANCELLED
    return Completion.EXECUTION_FAILED if fault_of(run) else Completion.EXECUTION_SUCCEEDED


def _moment(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
