"""What a job may be: the fields that a user sets, held against the service's limits, with its defaults filled in.

Messages that were recorded of the service are its own; the others are ours, and docs/cloud-scheduler.md tells them apart.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from google.cloud.scheduler_v1 import types
from google.protobuf.message import Message

from emulators.api.refused import Code, Refused, invalid
from emulators.cloud_scheduler.moments import Schedule
from emulators.cloud_scheduler.retries import (
    MAX_BACKOFF,
    MAX_DOUBLINGS,
    MIN_BACKOFF,
    RETRY_COUNT_MAX,
    Retries,
)
from emulators.cloud_scheduler.schedule import parse
from emulators.identity.tokens import CLOUD_PLATFORM

Job = types.Job.meta.pb

JOB_BYTES_MAX = 1_000_000
DESCRIPTION_LENGTH_MAX = 500
JOB_ID_LENGTH_MAX = 500
URI_LENGTH_MAX = 2_083
HEADERS_BYTES_MAX = 80_000
DEADLINE_DEFAULT = timedelta(minutes=3)
DEADLINE_MIN = timedelta(seconds=15)
DEADLINE_MAX = timedelta(minutes=30)
WITH_BODY = (types.HttpMethod.POST, types.HttpMethod.PUT, types.HttpMethod.PATCH)

#: What an update may change.
FIELDS = (
    "description",
    "pubsub_target",
    "app_engine_http_target",
    "http_target",
    "schedule",
    "time_zone",
    "retry_config",
    "attempt_deadline",
)
TARGETS = ("pubsub_target", "app_engine_http_target", "http_target")

_PARENT = re.compile(r"projects/[A-Za-z0-9:.-]+/locations/[a-z0-9-]+")
_NAME = re.compile(r"(projects/([A-Za-z0-9:.-]+)/locations/[a-z0-9-]+)/jobs/([A-Za-z0-9_-]+)")
_TOPIC = re.compile(r"projects/([^/]+)/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}")

NAME_FORM = 'Job name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/jobs/<JOB_ID>".'


def checked_parent(parent: str) -> str:
    """The place of jobs: `projects/…/locations/…`."""
    if not _PARENT.fullmatch(parent):
        raise invalid('Parent must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>".')
    return parent


def checked_name(name: str) -> str:
    """A job's full name."""
    matched = _NAME.fullmatch(name)
    if matched is None or len(matched.group(3)) > JOB_ID_LENGTH_MAX:
        raise invalid(NAME_FORM)
    return name


def parent_of(name: str) -> str:
    """Where a job is."""
    return name.rpartition("/jobs/")[0]


def short_name(name: str) -> str:
    """A job's id, as the header `X-CloudScheduler-JobName` has it."""
    return name.rpartition("/")[2]


def completed(given: Any) -> Any:
    """The job that is kept: what the user gave, without what is output only, with the service's defaults."""
    job = Job(name=given.name)
    for field in FIELDS:
        _take(given, job, field)
    job.time_zone = job.time_zone or "UTC"
    if job.HasField("http_target"):
        job.http_target.http_method = job.http_target.http_method or types.HttpMethod.POST
        _complete_token(job.http_target)
        if not _length(job.attempt_deadline):
            job.attempt_deadline.FromTimedelta(DEADLINE_DEFAULT)
    else:
        job.ClearField("attempt_deadline")
    if job.HasField("retry_config"):
        _complete_retries(job.retry_config)
    _check(job)
    return job


def updated(job: Any, given: Any, paths: Sequence[str]) -> Any:
    """A job with the fields of a mask taken from another; without a mask, all that is set in it."""
    changed = Job()
    changed.CopyFrom(job)
    for path in paths or [field.name for field, _ in given.ListFields() if field.name in FIELDS]:
        first, *rest = path.split(".")
        if first not in FIELDS:
            raise invalid(f"Invalid mask for Job: {path}")
        _assign(given, changed, [first, *rest], path)
    return completed(changed)


def schedule_of(job: Any) -> Schedule:
    """When the job runs."""
    return parse(job.schedule, job.time_zone)


def retries_of(job: Any) -> Retries:
    """How its failed attempts are made again; none without a retry configuration."""
    config = job.retry_config
    if not job.HasField("retry_config"):
        return Retries()
    return Retries(
        count=config.retry_count,
        duration=_length(config.max_retry_duration),
        min_backoff=_length(config.min_backoff_duration),
        max_backoff=_length(config.max_backoff_duration),
        max_doublings=config.max_doublings,
    )


def deadline_of(job: Any) -> timedelta:
    """How long an attempt may take."""
    return _length(job.attempt_deadline) or DEADLINE_DEFAULT


def _length(duration: Any) -> timedelta:
    return timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1_000)


def _take(source: Any, target: Any, field: str) -> None:
    kind = source.DESCRIPTOR.fields_by_name[field]
    value = getattr(source, field)
    if isinstance(value, Message):
        if source.HasField(field):
            getattr(target, field).CopyFrom(value)
    elif kind.message_type is not None:
        target.ClearField(field)
        getattr(target, field).MergeFrom(value)
    else:
        setattr(target, field, value)


def _assign(given: Any, changed: Any, path: Sequence[str], whole: str) -> None:
    for name in path[:-1]:
        kind = changed.DESCRIPTOR.fields_by_name.get(name)
        if kind is None or kind.message_type is None or kind.message_type.GetOptions().map_entry:
            raise invalid(f"Invalid mask for Job: {whole}")
        given, changed = getattr(given, name), getattr(changed, name)
    field = path[-1]
    if field not in changed.DESCRIPTOR.fields_by_name:
        raise invalid(f"Invalid mask for Job: {whole}")
    changed.ClearField(field)
    _take(given, changed, field)


def _complete_token(target: Any) -> None:
    if target.HasField("oidc_token") and not target.oidc_token.audience:
        target.oidc_token.audience = target.uri
    if target.HasField("oauth_token") and not target.oauth_token.scope:
        target.oauth_token.scope = CLOUD_PLATFORM


def _complete_retries(config: Any) -> None:
    # Recorded: what is zero, or not there, comes back as these. A duration of zero stays.
    config.max_retry_duration.SetInParent()
    if not _length(config.min_backoff_duration):
        config.min_backoff_duration.FromTimedelta(MIN_BACKOFF)
    if not _length(config.max_backoff_duration):
        config.max_backoff_duration.FromTimedelta(MAX_BACKOFF)
    config.max_doublings = config.max_doublings or MAX_DOUBLINGS


def _check(job: Any) -> None:
    if job.ByteSize() > JOB_BYTES_MAX:
        raise invalid("Job size must not exceed 1MB.")
    if len(job.description) > DESCRIPTION_LENGTH_MAX:
        raise invalid(f"Job.description must not exceed {DESCRIPTION_LENGTH_MAX} characters.")
    if job.HasField("retry_config"):
        _check_retries(job.retry_config)
    if job.HasField("http_target"):
        _check_http(job)
    elif job.HasField("pubsub_target"):
        _check_pubsub(job)
    elif job.HasField("app_engine_http_target"):
        raise _app_engine()
    else:
        raise invalid("Job.target is required: set http_target or pubsub_target.")
    schedule_of(job)


def _app_engine() -> Refused:
    return Refused(
        Code.UNIMPLEMENTED,
        "App Engine targets are not there on this machine: give the job an HTTP target.",
    )


def _check_retries(config: Any) -> None:
    if not 0 <= config.retry_count <= RETRY_COUNT_MAX:
        raise invalid(
            "invalid retry count. The retry_count must be a positive integer less than 5: invalid argument"
        )
    if config.max_retry_duration.nanos:
        raise invalid("retryConfig.max_retry_duration.nanos cannot be set: invalid argument")
    for name in ("max_retry_duration", "min_backoff_duration", "max_backoff_duration"):
        if _length(getattr(config, name)) < timedelta(0):
            raise invalid(f"retryConfig.{name} must not be negative: invalid argument")
    if config.max_doublings < 0:
        raise invalid("retryConfig.max_doublings must not be negative: invalid argument")
    if _length(config.min_backoff_duration) > _length(config.max_backoff_duration):
        raise invalid(
            "retryConfig.min_backoff_duration must not exceed max_backoff_duration: invalid argument"
        )


def _check_http(job: Any) -> None:
    target = job.http_target
    _check_uri(target.uri)
    _check_headers(target.headers)
    if target.http_method not in list(types.HttpMethod):
        raise invalid("HttpTarget.http_method is not one of the methods.")
    if target.body and target.http_method not in WITH_BODY:
        method = types.HttpMethod(target.http_method).name
        raise invalid(f"HttpTarget.body is allowed with POST, PUT and PATCH only, not with {method}.")
    for kind in ("oidc_token", "oauth_token"):
        if target.HasField(kind) and not getattr(target, kind).service_account_email:
            raise invalid(f"HttpTarget.{kind}.service_account_email is required.")
    if not DEADLINE_MIN <= deadline_of(job) <= DEADLINE_MAX:
        raise invalid("Job.attempt_deadline must be between [15s, 30m].")


def _check_uri(uri: str) -> None:
    if not uri:
        raise invalid("HttpTarget.uri is required.")
    if not re.match(r"https?://[^/?#\s]", uri):
        raise invalid("HttpTarget.uri must start with 'http://' or 'https://'.")
    if len(uri) > URI_LENGTH_MAX:
        raise invalid(f"HttpTarget.uri must not exceed {URI_LENGTH_MAX} characters.")


def _check_headers(headers: Mapping[str, str]) -> None:
    if sum(len(name) + len(value) for name, value in headers.items()) >= HEADERS_BYTES_MAX:
        raise invalid("HttpTarget.headers must be smaller than 80KB.")
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\r\n\0]", value):
            raise invalid(f"HttpTarget.headers: {name!r} is not a valid header.")


def _check_pubsub(job: Any) -> None:
    matched = _TOPIC.fullmatch(job.pubsub_target.topic_name)
    if matched is None:
        raise invalid('PubsubTarget.topic_name must be formatted: "projects/<PROJECT_ID>/topics/<TOPIC_ID>".')
    name = _NAME.fullmatch(job.name)
    if name and matched.group(1) != name.group(2):
        raise invalid("The topic must be in the same project as the Cloud Scheduler job.")
    if not job.pubsub_target.data and not job.pubsub_target.attributes:
        raise invalid("Pubsub message must contain either non-empty data, or at least one attribute.")
