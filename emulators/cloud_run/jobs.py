"""Jobs that can be run, and what one call may change of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from emulators.api.refused import Code, Refused, invalid

TASKS_MAX = 10_000
#: How often Cloud Run tries a task again that failed, if nothing else is said.
RETRIES_DEFAULT = 3
#: Cloud Run's default and longest time of an attempt.
TASK_SECONDS_DEFAULT = 600.0
TASK_SECONDS_MAX = 168 * 3_600.0
#: Set by Cloud Run itself.
RESERVED = re.compile(r"CLOUD_RUN_(JOB|EXECUTION|TASK_(INDEX|COUNT|ATTEMPT))")
ENVIRONMENT_NAME = re.compile(r"[^=\0]+")


@dataclass(frozen=True)
class LocalJob:
    """A job of this machine: a command, run as a process for each task."""

    name: str
    command: tuple[str, ...]
    #: All that its processes have as their environment, without what Cloud Run adds.
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    tasks: int = 1
    task_seconds: float = TASK_SECONDS_DEFAULT
    retries_max: int = RETRIES_DEFAULT


@dataclass(frozen=True)
class Overrides:
    """What one execution has otherwise than its job; None: as the job has it."""

    environment: Mapping[str, str] = field(default_factory=dict)
    #: Given to the command after its own words.
    arguments: tuple[str, ...] = ()
    tasks: int | None = None
    task_seconds: float | None = None


NOTHING = Overrides()


def overrides_of(message: Any) -> Overrides:
    """The overrides of a `RunJobRequest`, held against the service's limits."""
    containers: Sequence[Any] = message.container_overrides
    if len(containers) > 1:
        raise invalid("A job of this machine has one container; more than one cannot be overridden.")
    container = containers[0] if containers else None
    seconds = message.timeout.seconds + message.timeout.nanos / 1e9
    if message.HasField("timeout") and not 0 < seconds <= TASK_SECONDS_MAX:
        raise invalid(
            f"overrides.timeout must be more than 0 and at most {timedelta(seconds=TASK_SECONDS_MAX)}."
        )
    if message.task_count and not 1 <= message.task_count <= TASKS_MAX:
        raise invalid(f"overrides.task_count must be between 1 and {TASKS_MAX}.")
    return Overrides(
        environment=_environment(container.env) if container else {},
        arguments=_arguments(container) if container else (),
        tasks=message.task_count or None,
        task_seconds=seconds if message.HasField("timeout") else None,
    )


def _environment(variables: Sequence[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in variables:
        if not ENVIRONMENT_NAME.fullmatch(each.name) or "\0" in each.value:
            raise invalid(f"overrides.container_overrides.env: {each.name!r} is not a valid name or value.")
        if RESERVED.fullmatch(each.name):
            raise invalid(f"overrides.container_overrides.env: {each.name} is set by Cloud Run itself.")
        if each.HasField("value_source"):
            raise Refused(Code.UNIMPLEMENTED, "There are no secrets on this machine: give the value itself.")
        found[each.name] = each.value
    return found


def _arguments(container: Any) -> tuple[str, ...]:
    if container.clear_args and container.args:
        raise invalid("overrides.container_overrides: clear_args and args exclude each other.")
    if any("\0" in each for each in container.args):
        raise invalid("overrides.container_overrides.args: an argument holds a null character.")
    return tuple(container.args)
