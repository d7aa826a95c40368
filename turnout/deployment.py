"""What is deployed: one table of the functions and jobs, read by the local cloud and held against terraform."""

import re
from typing import Literal

import msgspec


class Function(msgspec.Struct, frozen=True):
    """An HTTP Cloud Function: `functions/main.py` holds its target."""

    #: The target in `functions/main.py`, and the last part of the deployed name.
    name: str
    #: Paths that a load balancer sends to it: each one, and everything below it.
    paths: tuple[str, ...]
    #: `public` may be called by everyone, `private` by named identities alone.
    access: Literal["public", "private"]
    #: The settings (environment variables) that it reads beyond `COMMON_SETTINGS`.
    settings: tuple[str, ...]
    #: What its identity may do, on the very resources that it touches.
    roles: tuple[str, ...]
    #: A cron schedule on which Cloud Scheduler calls its first path with POST; empty: nothing calls it but clients.
    schedule: str = ""


class Job(msgspec.Struct, frozen=True):
    """A Cloud Run job: `python -m jobs.<module>`."""

    name: str
    module: str
    settings: tuple[str, ...]
    roles: tuple[str, ...]
    schedule: str = ""


#: What every function and job is told.
COMMON_SETTINGS = ("GOOGLE_CLOUD_PROJECT", "TURNOUT_FIRESTORE_DATABASE")

FUNCTIONS = (
    Function(
        name="vote",
        paths=("/vote", "/votes"),
        access="public",
        settings=("TURNOUT_TOPIC", "TURNOUT_PEPPER"),
        roles=("pubsub.publisher:topic", "datastore.viewer:firestore", "secretmanager.secretAccessor:pepper"),
    ),
    Function(
        name="results",
        paths=("/results",),
        access="public",
        settings=("TURNOUT_DATASTORE_DATABASE",),
        roles=("datastore.viewer:firestore", "datastore.viewer:datastore"),
    ),
    Function(
        name="polls",
        paths=("/polls",),
        access="private",
        # Who certifies waits for as long as the subscription can hide a message.
        settings=(
            "TURNOUT_DATASTORE_DATABASE",
            "TURNOUT_ACK_DEADLINE_SECONDS",
            "TURNOUT_RETRY_BACKOFF_MAX_SECONDS",
        ),
        roles=("datastore.user:firestore", "datastore.user:datastore"),
    ),
    Function(
        name="persist",
        paths=("/persist",),
        access="private",
        settings=(
            "TURNOUT_DATASTORE_DATABASE",
            "TURNOUT_ACK_DEADLINE_SECONDS",
            "TURNOUT_RETRY_BACKOFF_MAX_SECONDS",
        ),
        # Certification marks the poll.
        roles=("datastore.user:firestore", "datastore.user:datastore"),
        schedule="* * * * *",
    ),
)

JOBS = (
    Job(
        name="drain",
        module="drain",
        settings=(
            "TURNOUT_SUBSCRIPTION",
            "TURNOUT_DEAD_LETTER_TOPIC",
            "TURNOUT_ACK_DEADLINE_SECONDS",
            "TURNOUT_MESSAGE_RETENTION_DAYS",
            "TURNOUT_LANES",
            "TURNOUT_IDLE_SECONDS",
        ),
        roles=(
            "pubsub.subscriber:subscription",
            "pubsub.publisher:dead_letter_topic",
            "datastore.user:firestore",
        ),
        schedule="* * * * *",
    ),
    Job(
        name="audit",
        module="audit",
        settings=("TURNOUT_DATASTORE_DATABASE", "TURNOUT_MESSAGE_RETENTION_DAYS"),
        roles=("datastore.viewer:firestore", "datastore.viewer:datastore"),
        schedule="17 * * * *",
    ),
)

#: What tasks need. Terraform does not deploy it yet; the local cloud runs it.
_TASKS_ADDING = (
    "TURNOUT_TASKS_TOPIC",
    "TURNOUT_ALARMS_QUEUE",
    "TURNOUT_ALARMS_ACCOUNT",
    "TURNOUT_DUE_URL",
)
_TASKS_ADDING_ROLES = (
    "pubsub.publisher:tasks_topic",
    "cloudtasks.enqueuer:alarms_queue",
    "datastore.user:firestore",
)
TASK_FUNCTIONS = (
    Function(
        name="tasks",
        paths=("/tasks",),
        access="private",
        settings=(*_TASKS_ADDING, "TURNOUT_HANDLERS", "TURNOUT_CALLBACK_HOSTS"),
        roles=_TASKS_ADDING_ROLES,
    ),
    Function(
        name="delay",
        paths=("/delay",),
        access="private",
        settings=(*_TASKS_ADDING, "TURNOUT_DELAY_SERVICES"),
        roles=_TASKS_ADDING_ROLES,
    ),
    Function(
        name="due",
        paths=("/due",),
        access="private",
        settings=_TASKS_ADDING,
        roles=_TASKS_ADDING_ROLES,
    ),
    Function(
        name="sweep",
        paths=("/sweep",),
        access="private",
        settings=_TASKS_ADDING,
        roles=_TASKS_ADDING_ROLES,
        schedule="* * * * *",
    ),
)
TASK_JOBS = (
    Job(
        name="work",
        module="work",
        settings=(
            *_TASKS_ADDING,
            "TURNOUT_TASKS_SUBSCRIPTION",
            "TURNOUT_TASKS_DEAD_LETTER_TOPIC",
            "TURNOUT_ACK_DEADLINE_SECONDS",
            "TURNOUT_HANDLERS",
            "TURNOUT_CALLBACK_HOSTS",
            "TURNOUT_CALLBACK_SECRETS",
            "TURNOUT_DELAY_SERVICES",
            "TURNOUT_DELAY_TOPIC",
            "TURNOUT_LANES",
            "TURNOUT_IDLE_SECONDS",
        ),
        roles=(
            *_TASKS_ADDING_ROLES,
            "pubsub.subscriber:tasks_subscription",
            "pubsub.publisher:tasks_dead_letter_topic",
            "secretmanager.secretAccessor:callback_secrets",
        ),
        schedule="* * * * *",
    ),
)

ALL_FUNCTIONS = (*FUNCTIONS, *TASK_FUNCTIONS)
ALL_JOBS = (*JOBS, *TASK_JOBS)


#: The APIs of Google's that it stands on, by their short names.
APIS = (
    "artifactregistry",
    "cloudbuild",
    "cloudfunctions",
    "cloudresourcemanager",
    "cloudscheduler",
    "datastore",
    "firestore",
    "iam",
    "logging",
    "monitoring",
    "pubsub",
    "run",
    "secretmanager",
    "storage",
)


def function_for_path(path: str) -> Function | None:
    """The function that a load balancer sends a request path to; None: no function has it."""
    for function in ALL_FUNCTIONS:
        for prefix in function.paths:
            if re.fullmatch(re.escape(prefix) + r"(/.*)?", path, re.DOTALL):
                return function
    return None
