"""Names of locations, queues and tasks: their forms are those of the service's reference."""

import re
from typing import NamedTuple

from emulators.cloud_tasks.errors import (
    InvalidQueueName,
    InvalidTaskId,
    InvalidTaskName,
    ProjectDenied,
    QueueMismatch,
)

_PROJECT = r"[A-Za-z0-9:.\-]+"
_LOCATION = r"[A-Za-z0-9\-]+"
_QUEUE = r"[A-Za-z0-9\-]{1,100}"
_LOCATION_NAME = re.compile(rf"projects/({_PROJECT})/locations/({_LOCATION})")
_QUEUE_NAME = re.compile(rf"(projects/({_PROJECT})/locations/({_LOCATION}))/queues/({_QUEUE})")
#: The id is judged by itself: a wrong one gets another message than a name of another form.
_TASK_NAME = re.compile(
    rf"(projects/{_PROJECT}/locations/{_LOCATION}/queues/({_QUEUE}))/tasks/(.*)", re.DOTALL
)
_TASK_ID = re.compile(r"[A-Za-z0-9_\-]{1,500}")


class TaskName(NamedTuple):
    """A task's name, cut in two."""

    queue: str
    id: str


def location_name(name: str) -> str:
    """The name of a location, `projects/P/locations/L`; `ProjectDenied` if it has another form."""
    if not _LOCATION_NAME.fullmatch(name):
        raise ProjectDenied(name)
    return name


def queue_name(name: str) -> str:
    """The name of a queue, `projects/P/locations/L/queues/Q`; `InvalidQueueName` if it has another form."""
    if not _QUEUE_NAME.fullmatch(name):
        raise InvalidQueueName
    return name


def location_of(queue: str) -> str:
    """The location that a queue lies in."""
    return queue.rpartition("/queues/")[0]


def project_of(name: str) -> str:
    """The project of any name."""
    return name.split("/", 2)[1]


def queue_id(queue: str) -> str:
    """The last part of a queue's name."""
    return queue.rpartition("/")[2]


def task_name(name: str) -> TaskName:
    """A task's name in its parts; `InvalidTaskName` or `InvalidTaskId`."""
    found = _TASK_NAME.fullmatch(name)
    if found is None:
        raise InvalidTaskName
    return TaskName(found[1], task_id(found[3]))


def task_name_in(queue: str, name: str) -> str:
    """The id of a task that is to be created in a queue; `QueueMismatch` if its name lies in another one."""
    found = _TASK_NAME.fullmatch(name)
    if found is None:
        raise InvalidTaskName
    if found[1] != queue:
        raise QueueMismatch(queue, found[1])
    return task_id(found[3])


def task_id(text: str) -> str:
    """A task's id; `InvalidTaskId` if it has other characters or too many."""
    if not _TASK_ID.fullmatch(text):
        raise InvalidTaskId(text)
    return text
