"""The page: each job's schedule, its next run, and how the last attempt ended."""

from collections.abc import Callable
from datetime import UTC

from emulators.api import Code
from emulators.api.page import Action, Cell, Row, Table, table_of
from emulators.cloud_scheduler.engine import NEVER_RUN, OK, PAUSED, Clock, Entry
from emulators.cloud_scheduler.jobs import parent_of, short_name
from emulators.cloud_scheduler.service import CloudScheduler

COLUMNS = ["Job", "Schedule", "Next run", "Last attempt", "Status"]
EMPTY = "There are no jobs. Create one by the API: gcloud, Terraform and Google's clients can."
CODES = {int(code): code.name for code in Code}


def scheduler_table(scheduler: CloudScheduler, clock: Clock) -> Callable[[], Table]:
    """Describes the jobs as they are now."""

    def describe() -> Table:
        rows = [_row(entry) for _, entry in sorted(scheduler.entries.items())]
        places = sorted({_place(entry) for entry in scheduler.entries.values()})
        return table_of("Cloud Scheduler", ", ".join(places), COLUMNS, rows, empty=EMPTY, now=clock())

    return describe


def _row(entry: Entry) -> Row:
    job = entry.shown()
    last = job.last_attempt_time.ToDatetime(UTC).isoformat() if job.HasField("last_attempt_time") else ""
    return Row(
        key=job.name,
        cells=[
            Cell(short_name(job.name), note=job.description or _target(entry)),
            Cell(job.schedule, note=job.time_zone, kind="code"),
            _next(entry),
            Cell("never" if not last else "", moment=last),
            _status(entry),
        ],
        actions=_actions(entry),
    )


def _next(entry: Entry) -> Cell:
    job = entry.shown()
    if job.state == PAUSED:
        return Cell("paused")
    note = "a failed attempt again" if any(each.failures for each in entry.executions) else ""
    return Cell(moment=job.schedule_time.ToDatetime(UTC).isoformat(), note=note)


def _status(entry: Entry) -> Cell:
    code = entry.job.status.code
    if entry.running:
        return Cell("running")
    if code == NEVER_RUN:
        return Cell("never run")
    name = CODES.get(code, str(code))
    return Cell(name, note=entry.answer, kind="good" if code == OK else "bad")


def _actions(entry: Entry) -> list[Action]:
    name, path = short_name(entry.job.name), f"/v1/{entry.job.name}"
    paused = entry.job.state == PAUSED
    turn = ("Resume", "resume", f"{name} goes on") if paused else ("Pause", "pause", f"{name} is paused")
    return [
        Action("Run now", name, "POST", f"{path}:run", f"{name} runs."),
        Action(turn[0], name, "POST", f"{path}:{turn[1]}", f"{turn[2]}."),
        Action("Delete", name, "DELETE", path, f"{name} is deleted.", asks=f"Delete the job {name}?"),
    ]


def _target(entry: Entry) -> str:
    job = entry.job
    return str(job.http_target.uri if job.HasField("http_target") else job.pubsub_target.topic_name)


def _place(entry: Entry) -> str:
    return parent_of(entry.job.name).removeprefix("projects/").replace("/locations/", " · ")
