"""What has changed and is to be kept: the engine says it as data, the store writes it."""

import msgspec


class TaskRecord(msgspec.Struct, frozen=True):
    """All of a task but its definition; moments in microseconds since 1970, 0 where there was none."""

    #: Unique, and grows with each task that is created.
    order: int
    queue: str
    id: str
    #: Whether the caller chose the id: only then it is held back after the task's end.
    named: bool
    app_engine: bool
    create_us: int
    schedule_us: int
    dispatch_count: int
    response_count: int
    #: The answers that count as executions: X-CloudTasks-TaskExecutionCount.
    execution_count: int
    first_dispatch_us: int
    last_schedule_us: int
    last_dispatch_us: int
    #: 0 while the last attempt runs, or if it was cut off.
    last_response_us: int
    #: HTTP's status of the last answer, 504 for none in time; -1 before the first.
    previous: int


class TaskCreated(msgspec.Struct, frozen=True):
    """A new task; `definition` is the serialized Task message, `own_retry` its RetryConfig or empty."""

    record: TaskRecord
    own_retry: bytes
    definition: bytes


class TaskChanged(msgspec.Struct, frozen=True):
    """A task that was dispatched, answered or scheduled anew."""

    record: TaskRecord


class TaskEnded(msgspec.Struct, frozen=True):
    """A task that is done, has failed for good, was deleted, purged or grew too old."""

    order: int
    queue: str
    id: str
    #: Until when the name is held back; 0 if it is not kept.
    held_until_us: int


class QueueSaved(msgspec.Struct, frozen=True):
    """A queue as it is now; `definition` is the serialized Queue message."""

    name: str
    definition: bytes


class QueueEnded(msgspec.Struct, frozen=True):
    """A queue that was deleted, with all of its tasks."""

    name: str
    held_until_us: int


class PolicySaved(msgspec.Struct, frozen=True):
    """A queue's IAM policy, serialized."""

    queue: str
    policy: bytes


class EncryptionSaved(msgspec.Struct, frozen=True):
    """A location's CMEK configuration, serialized."""

    name: str
    config: bytes


Change = TaskCreated | TaskChanged | TaskEnded | QueueSaved | QueueEnded | PolicySaved | EncryptionSaved


class Kept(msgspec.Struct, frozen=True):
    """What a store holds when it is opened."""

    #: Serialized Queue messages.
    queues: list[bytes]
    #: Each task with its `own_retry`, in the order of their creation.
    tasks: list[tuple[TaskRecord, bytes]]
    held_queues: dict[str, int]
    #: (queue, id, until), the earliest first.
    held_tasks: list[tuple[str, str, int]]
    policies: dict[str, bytes]
    encryption: dict[str, bytes]
