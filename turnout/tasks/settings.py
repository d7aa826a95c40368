"""The settings of tasks, beside those of their queue: environment variables, with the unit as the last word of each name."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from turnout.queue.message import PUBLISH_MESSAGES_MAX
from turnout.queue.settings import Count, QueueSettings, Seconds

#: Firestore takes 10 MiB in one commit, and Pub/Sub 10 MB in one publish; this leaves room for what surrounds the tasks.
COMMIT_BYTES_MAX = 8_000_000
#: Firestore takes 1 MiB in one document. Of it a payload may have half and a result a quarter; errors take 80,000 bytes.
DOCUMENT_BYTES_MAX = 1_000_000
#: What surrounds the kept answer of a callback in a task's result.
ANSWER_ENVELOPE_BYTES = 128


class TaskSettings(QueueSettings):
    """What anything that adds, wakes or runs tasks is told."""

    #: Pub/Sub's topic for tasks that are due, its pull subscription, and the topic for what cannot be read.
    tasks_topic: str = "tasks"
    tasks_subscription: str = "tasks"
    tasks_dead_letter_topic: str = "tasks-dead"
    tasks_dead_letter_subscription: str = "tasks-dead"

    # Adding.
    #: How long the body of one request may take.
    body_seconds_max: Seconds = 30.0
    #: The largest payload, as JSON.
    task_payload_bytes_max: Annotated[int, Field(gt=0, le=DOCUMENT_BYTES_MAX // 2)] = 262_144
    #: How far ahead a task's moment may lie.
    task_days_ahead_max: Annotated[int, Field(gt=0, le=3_660)] = 3_660
    #: Tasks in one commit: additions, claims, settlements.
    commit_tasks_max: Annotated[int, Field(gt=0, le=PUBLISH_MESSAGES_MAX)] = 200
    #: Commits of one kind that an instance has in flight.
    commits_in_flight_max: Count = 4
    #: Tasks that wait in an instance for their commit; beyond it, callers are refused.
    pending_tasks_max: Count = 20_000
    #: Documents over which the books of a topic are spread (Firestore sustains about a write a second on one).
    task_book_shards: Annotated[int, Field(gt=0, le=1_000)] = 16

    # Running. A worker's leases of messages and of tasks are extended apart; tasks may run as long as they like.
    lanes: Annotated[int, Field(gt=0, le=256)] = 4
    #: Messages that a lane leases at once; the lane runs their tasks side by side.
    lease_messages_max: Annotated[int, Field(gt=0, le=1_000)] = 20
    #: Tasks that a lane runs side by side at most; it leases again while there is room for another lease.
    lane_tasks_max: Annotated[int, Field(gt=0, le=10_000)] = 100
    #: How long nobody else may run a task that a worker has claimed or renewed; it renews three times as often.
    task_lease_seconds: Seconds = 30.0
    #: By how much the clocks of two machines may differ. Cloud Run's are within milliseconds; this is generous.
    clocks_off_seconds: Annotated[float, Field(ge=0, le=60)] = 2.0
    #: Plain handlers that a worker runs in threads at once; and threads that are abandoned before it ends.
    handler_threads_max: Annotated[int, Field(gt=0, le=1_000)] = 32
    abandoned_threads_max: Annotated[int, Field(gt=0, le=1_000)] = 16
    #: Processes for handlers that ask for one of their own, and the memory of each, in MiB (0: no limit).
    handler_processes_max: Annotated[int, Field(gt=0, le=100)] = 2
    handler_memory_mb_max: Annotated[int, Field(ge=0)] = 1_024
    #: The largest result of a handler, as JSON.
    task_result_bytes_max: Annotated[int, Field(gt=0, le=DOCUMENT_BYTES_MAX // 4)] = 16_384

    # Callbacks.
    #: Of an answer's body so much is kept as the result.
    callback_answer_bytes_max: Annotated[int, Field(gt=0, le=DOCUMENT_BYTES_MAX // 16)] = 16_000
    #: Callbacks that a worker has under way, and of these to one host.
    callbacks_in_flight_max: Count = 512
    callbacks_per_host_max: Count = 64

    # Topics.
    #: Tasks of one topic that have not ended; beyond it, callers are refused (known to `topic_cache_seconds`). 0: no limit.
    topic_tasks_max: Annotated[int, Field(ge=0)] = 1_000_000
    #: How long a caller waits for a full topic before it is refused. 0: it is refused at once.
    topic_full_wait_seconds: Annotated[float, Field(ge=0, le=30)] = 0.0
    #: For how long a process remembers whether a topic is paused, and how full it is.
    topic_cache_seconds: Seconds = 5.0

    # The clock.
    #: A task whose moment is no farther ahead is published at once, and the worker waits for the moment.
    publish_ahead_seconds: Annotated[float, Field(gt=0, le=5)] = 2.0
    #: Alarms that an instance remembers to have set.
    alarms_remembered_max: Count = 10_000
    #: Alarms that an instance sets at once.
    alarms_in_flight_max: Count = 32
    #: A task that is overdue for so long has been forgotten: the sweep publishes it.
    sweep_after_seconds: Seconds = 60.0
    #: The longest time after which the sweep looks again at a task that it has published.
    sweep_again_seconds_max: Seconds = 3_600.0
    #: Tasks that are read at once for an alarm or a sweep.
    due_tasks_max: Annotated[int, Field(gt=0, le=PUBLISH_MESSAGES_MAX)] = 500

    @model_validator(mode="after")
    def _task_bounds_fit(self) -> Self:
        faults = []
        if self.task_lease_seconds <= 2 * self.clocks_off_seconds:
            faults.append("TURNOUT_TASK_LEASE_SECONDS must exceed twice TURNOUT_CLOCKS_OFF_SECONDS")
        if self.sweep_again_seconds_max < self.sweep_after_seconds:
            faults.append("TURNOUT_SWEEP_AGAIN_SECONDS_MAX must not be below TURNOUT_SWEEP_AFTER_SECONDS")
        if self.pending_tasks_max < self.commit_tasks_max:
            faults.append("TURNOUT_PENDING_TASKS_MAX must not be below TURNOUT_COMMIT_TASKS_MAX")
        if self.callback_answer_bytes_max + ANSWER_ENVELOPE_BYTES > self.task_result_bytes_max:
            faults.append(
                f"TURNOUT_TASK_RESULT_BYTES_MAX must exceed TURNOUT_CALLBACK_ANSWER_BYTES_MAX by {ANSWER_ENVELOPE_BYTES}"
            )
        if self.lane_tasks_max < self.lease_messages_max:
            faults.append("TURNOUT_LANE_TASKS_MAX must not be below TURNOUT_LEASE_MESSAGES_MAX")
        if faults:
            raise ValueError("; ".join(faults))
        return self
