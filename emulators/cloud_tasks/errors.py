"""What the service refuses, with its own codes and texts.

Texts marked [G] were recorded from the real service by aertje/cloud-tasks-emulator (`test/conformance/golden/errors.json`);
the others are ours, and docs/cloud-tasks.md says so.
"""

from typing import Any

from emulators.api.refused import Code, Refused
from emulators.cloud_tasks.messages import ErrorInfo, Help, LocalizedMessage

DOCUMENTATION = "https://cloud.google.com/tasks/docs/reference/rest/v2"


class InvalidArgument(Refused):
    """A field that the service does not take."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(Code.INVALID_ARGUMENT, message, *details)


class InvalidQueueName(InvalidArgument):
    """A queue's name of another form [G]."""

    def __init__(self) -> None:
        super().__init__(
            'Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".',
            _help("Definition of queue name", "projects.locations.queues#Queue.FIELDS.name"),
        )


class InvalidTaskName(InvalidArgument):
    """A task's name of another form; the text follows the queue's."""

    def __init__(self) -> None:
        super().__init__(
            'Task name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>".',
            _help("Definition of task name", "projects.locations.queues.tasks#Task.FIELDS.name"),
        )


class InvalidTaskId(InvalidArgument):
    """A task's id with other characters, or too long [G]."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f'Task ID "{task_id}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or underscores (_). '
            "Task ID must between 1 and 500 characters.",
            _help("Definition of task ID", "projects.locations.queues.tasks#Task.FIELDS.name"),
        )


class QueueMismatch(InvalidArgument):
    """A task whose name lies in another queue than the one it is created in [G]."""

    def __init__(self, parent: str, queue: str) -> None:
        super().__init__(
            f"The queue name from request ('{parent}') must be the same as the queue name in the named task ('{queue}')."
        )


class ProjectDenied(Refused):
    """A parent that is no location: the real service takes its first part for a project [G]."""

    def __init__(self, parent: str) -> None:
        message = f"Permission denied on resource project {parent}."
        super().__init__(
            Code.PERMISSION_DENIED,
            message,
            ErrorInfo(
                reason="CONSUMER_INVALID",
                domain="googleapis.com",
                metadata={
                    "consumer": f"projects/{parent}",
                    "containerInfo": parent,
                    "service": "cloudtasks.googleapis.com",
                },
            ),
            LocalizedMessage(locale="en-US", message=message),
            Help(
                links=[
                    Help.Link(
                        description="Google developers console", url="https://console.developers.google.com"
                    )
                ]
            ),
        )


class NotFound(Refused):
    """Nothing has this name [G]."""

    def __init__(self, message: str = "Requested entity was not found.") -> None:
        super().__init__(Code.NOT_FOUND, message)


class QueueNotFound(NotFound):
    """No queue has this name [G]."""

    def __init__(self) -> None:
        super().__init__(
            "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
        )


class TaskGone(NotFound):
    """A task of this name existed a short while ago [G]."""

    def __init__(self) -> None:
        super().__init__(
            "The task no longer exists, though a task with this name existed recently. "
            "The task either successfully completed or was deleted."
        )


class QueueExists(Refused):
    """A queue of this name exists [G]."""

    def __init__(self) -> None:
        super().__init__(Code.ALREADY_EXISTS, "Queue already exists")


class QueueExistedRecently(Refused):
    """A queue of this name was deleted a short while ago [G]."""

    def __init__(self) -> None:
        super().__init__(
            Code.FAILED_PRECONDITION,
            "The queue cannot be created because a queue with this name existed too recently.",
        )


class TaskExists(Refused):
    """A task of this name waits or runs [G]."""

    def __init__(self) -> None:
        super().__init__(Code.ALREADY_EXISTS, "Requested entity already exists")


class TaskExistedRecently(Refused):
    """A task of this name ended a short while ago [G]."""

    def __init__(self) -> None:
        super().__init__(
            Code.ALREADY_EXISTS,
            "The task cannot be created because a task with this name existed too recently. "
            "For more information about task de-duplication see "
            f"{DOCUMENTATION}/projects.locations.queues.tasks/create#body.request_body.FIELDS.task.",
        )


class TooManyRuns(Refused):
    """More calls of RunTask than a project may make in a minute; the text is ours."""

    def __init__(self, runs_per_minute: int) -> None:
        super().__init__(
            Code.RESOURCE_EXHAUSTED,
            f"Quota exceeded for RunTask: {runs_per_minute} calls a minute in a project. Try again later.",
        )


class ServiceAccountNotFound(NotFound):
    """A token of a service account that does not exist; the code is the service's [G], the text is ours."""

    def __init__(self, email: str) -> None:
        super().__init__(f"The service account {email} does not exist.")


class Unwritable(Refused):
    """The state could not be written: nothing has changed, and the call can be made again."""

    def __init__(self, why: str) -> None:
        super().__init__(
            Code.UNAVAILABLE,
            f"The stand-in could not write its state, so nothing has changed: {why}. Free space or mend the state folder, and call again.",
        )


def _help(description: str, page: str) -> Any:
    return Help(links=[Help.Link(description=description, url=f"{DOCUMENTATION}/{page}")])
