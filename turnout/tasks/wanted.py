"""What a client sends to add tasks, parsed once, at the edge: durations and moments as people write them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import UNSET, UnsetType

from turnout.base.errors import BatchRefused, BodyInvalid, BodyTooLarge, TurnoutError, ValueRefused
from turnout.base.strict_json import decode, refuse_repeated_fields
from turnout.tasks.new_task import NewTask
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.times import read_duration, read_moment
from turnout.tasks.work import RESULT_TTL_SECONDS_DEFAULT, Call

Span = str | float
#: A retry's waits are at most this.
WAIT_SECONDS_MAX = 30 * 86_400.0
COUNT_MAX = 1_000


class WantedRetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a task is retried, as a client says it."""

    first: Span | UnsetType = UNSET
    max: Span | UnsetType = UNSET
    failures: int | UnsetType = UNSET
    crashes: int | UnsetType = UNSET


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task, as a client says it."""

    topic: str
    handler: str = ""
    url: str | UnsetType = UNSET
    method: str | UnsetType = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    payload: msgspec.Raw = msgspec.Raw(b"null")
    run_at: Span | UnsetType = UNSET
    delay: Span | UnsetType = UNSET
    id: str | None = None
    retry: WantedRetry | UnsetType = UNSET
    timeout: Span | UnsetType = UNSET
    result_ttl: Span | UnsetType = UNSET
    context: dict[str, str] = {}
    on_success: str = ""
    on_failure: str = ""


_one = msgspec.json.Decoder(Wanted)
_raws = msgspec.json.Decoder(list[msgspec.Raw])


def parse_one(body: bytes, now: datetime, key: str | None) -> NewTask:
    """The task in a JSON object; `BodyInvalid` or `ValueRefused` names the field at fault."""
    wanted = decode(body, _one)
    # What the decoder passed over, as a payload that stays as it came, is read once: a handler will have to.
    decode(bytes(wanted.payload), _any)
    refuse_repeated_fields(body)
    if key is not None and wanted.id is not None and wanted.id != key:
        raise ValueRefused("The Idempotency-Key and the field 'id' differ; send one of them.", field="/id")
    return NewTask(
        topic=wanted.topic,
        handler=wanted.handler,
        call=_call(wanted),
        payload=wanted.payload,
        run_at=_run_at(wanted, now),
        key=wanted.id if key is None else key,
        retry=None if wanted.retry is UNSET else _retry(wanted.retry),
        timeout_seconds=None if wanted.timeout is UNSET else read_duration(wanted.timeout, field="/timeout"),
        result_ttl_seconds=(
            RESULT_TTL_SECONDS_DEFAULT
            if wanted.result_ttl is UNSET
            else read_duration(wanted.result_ttl, field="/result_ttl")
        ),
        context=wanted.context,
        on_success=wanted.on_success,
        on_failure=wanted.on_failure,
    )


def parse_many(body: bytes, now: datetime, key: str | None, tasks_max: int) -> list[NewTask]:
    """The tasks in a JSON array; `BatchRefused` names each fault by its index, all or nothing.

    With an Idempotency-Key, each task's own key follows from it and its place.
    """
    bodies = decode(body, _raws)
    if len(bodies) > tasks_max:
        raise BodyTooLarge(tasks_max, "tasks")
    if not bodies:
        raise BodyInvalid("The body has no tasks.")
    return _parse_each(bodies, now, key)


def is_array(body: bytes) -> bool:
    """Whether a body is of several tasks."""
    return body.lstrip()[:1] == b"["


_any = msgspec.json.Decoder()


def _parse_each(bodies: Sequence[msgspec.Raw], now: datetime, key: str | None) -> list[NewTask]:
    tasks: list[NewTask] = []
    faults: dict[int, TurnoutError] = {}
    for index, body in enumerate(bodies):
        try:
            tasks.append(parse_one(bytes(body), now, None if key is None else f"{key}:{index}"))
        except TurnoutError as fault:
            faults[index] = fault
    if faults:
        raise BatchRefused(faults, len(bodies), "tasks")
    return tasks


def _call(wanted: Wanted) -> Call | None:
    if wanted.url is UNSET:
        for field, given in (("method", wanted.method), ("headers", wanted.headers)):
            if given is not UNSET:
                raise ValueRefused(f"The field {field!r} is for tasks with a url.", field=f"/{field}")
        return None
    headers: Mapping[str, str] = {} if wanted.headers is UNSET else wanted.headers
    return Call(
        url=wanted.url, method="POST" if wanted.method is UNSET else wanted.method.upper(), headers=headers
    )


def _run_at(wanted: Wanted, now: datetime) -> datetime | None:
    if wanted.delay is UNSET:
        return None if wanted.run_at is UNSET else read_moment(wanted.run_at, field="/run_at")
    if wanted.run_at is not UNSET:
        raise ValueRefused("A task has a moment or a delay, not both.", field="/delay")
    try:
        return now + timedelta(seconds=read_duration(wanted.delay, field="/delay"))
    except OverflowError:
        raise ValueRefused("The delay leads beyond the year 9999.", field="/delay") from None


def _retry(wanted: WantedRetry) -> TaskRetry:
    usual = TaskRetry()
    retry = TaskRetry(
        first_seconds=_wait(wanted.first, usual.first_seconds, "first"),
        max_seconds=_wait(wanted.max, usual.max_seconds, "max"),
        failures_max=_count(wanted.failures, usual.failures_max, "failures"),
        crashes_max=_count(wanted.crashes, usual.crashes_max, "crashes"),
    )
    if retry.first_seconds > retry.max_seconds:
        raise ValueRefused("The first wait must not exceed the longest.", field="/retry/first")
    return retry


def _wait(given: Span | UnsetType, usual: float, field: str) -> float:
    if given is UNSET:
        return usual
    seconds = read_duration(given, field=f"/retry/{field}")
    if seconds > WAIT_SECONDS_MAX:
        raise ValueRefused("A wait between attempts is 30 days at most.", field=f"/retry/{field}")
    return seconds


def _count(given: int | UnsetType, usual: int, field: str) -> int:
    if given is UNSET:
        return usual
    if not 1 <= given <= COUNT_MAX:
        raise ValueRefused(f"A limit of attempts is 1 to {COUNT_MAX:,}.", field=f"/retry/{field}")
    return given
