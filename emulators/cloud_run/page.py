"""The page: each job, and what ran of it and runs."""

import shlex
from collections.abc import Callable

from emulators.api.page import Action, Cell, Row, Table, table_of
from emulators.cloud_run.executions import Run
from emulators.cloud_run.jobs import LocalJob
from emulators.cloud_run.service import CloudRunJobs
from emulators.cloud_run.views import fault_of

COLUMNS = ["Execution", "Tasks", "Began", "Ended", "State"]
EMPTY = "There are no jobs here. Name one at the start: turnout emulate run --job 'tick=python -m tick'"


def executions_table(jobs: CloudRunJobs) -> Callable[[], Table]:
    """Describes jobs and executions as they are now."""

    def describe() -> Table:
        runs = jobs.executions.runs()
        rows = [_job_row(jobs, job) for _, job in sorted(jobs.executions.jobs.items())]
        rows += [_row(jobs, run) for run in runs]
        place = f"{jobs.place.project} · {jobs.place.location}"
        return table_of("Cloud Run jobs", place, COLUMNS, rows, empty=EMPTY, now=jobs.executions.clock())

    return describe


def _job_row(jobs: CloudRunJobs, job: LocalJob) -> Row:
    count = len(jobs.executions.runs(job.name))
    path = f"/v2/{jobs.place.job(job.name)}:run"
    return Row(
        key=job.name,
        cells=[
            Cell(f"Job {job.name}", note=shlex.join(job.command)),
            Cell(str(job.tasks)),
            Cell("–"),
            Cell("–"),
            Cell(f"{count} {'execution' if count == 1 else 'executions'}"),
        ],
        actions=[Action("Run now", job.name, "POST", path, f"An execution of {job.name} has begun.")],
    )


def _row(jobs: CloudRunJobs, run: Run) -> Row:
    codes = run.codes()
    asks = f"Cancel the execution {run.name}?"
    path = f"/v2/{jobs.place.execution(run)}:cancel"
    cancel = Action("Cancel", run.name, "POST", path, f"{run.name} is being cancelled.", asks=asks)
    return Row(
        key=run.uid,
        cells=[
            Cell(run.name, note=str(run.processes.logs[0])),
            Cell(f"{sum(code is not None for code in codes)} of {len(codes)}", note=_tried_again(run)),
            Cell(moment=run.began.isoformat()),
            Cell("" if run.ended else "–", moment=run.ended.isoformat() if run.ended else ""),
            _state(run),
        ],
        actions=[] if run.ended or run.cancelled else [cancel],
    )


def _tried_again(run: Run) -> str:
    retries = sum(run.processes.attempts)
    return f"tried again {retries}×" if retries else ""


def _state(run: Run) -> Cell:
    if run.ended is None:
        return Cell("cancelling" if run.cancelled else "running")
    fault = fault_of(run)
    if run.cancelled:
        return Cell("cancelled")
    return Cell("failed", note=fault, kind="bad") if fault else Cell("succeeded", kind="good")
