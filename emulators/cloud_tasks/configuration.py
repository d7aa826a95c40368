"""A queue's configuration: defaults, bounds, and what an update with a mask changes."""

from collections.abc import Sequence
from typing import Any

from emulators.cloud_tasks import limits
from emulators.cloud_tasks.errors import InvalidArgument
from emulators.cloud_tasks.messages import Queue
from emulators.cloud_tasks.rate import burst_size

PORT_MAX = 65535
#: What UpdateQueue leaves alone without a word; `state` is changed by PauseQueue and ResumeQueue only.
_OUTPUT_ONLY = frozenset({"name", "state", "purge_time", "rate_limits.max_burst_size"})


def completed(given: Any, current: Any) -> Any:
    """A queue as it is stored: what was asked for, checked, with the defaults; its name and state are those of `current`."""
    queue = Queue()
    queue.CopyFrom(given)
    queue.name = current.name
    queue.state = current.state
    queue.ClearField("purge_time")
    if current.HasField("purge_time"):
        queue.purge_time.CopyFrom(current.purge_time)
    _check_rates(queue.rate_limits)
    _complete_rates(queue.rate_limits)
    check_retries(queue.retry_config)
    complete_retries(queue.retry_config)
    _check_backoff_order(queue.retry_config)
    if queue.HasField("http_target"):
        _check_http_target(queue.http_target)
    ratio = queue.stackdriver_logging_config.sampling_ratio
    if not 0.0 <= ratio <= 1.0:
        raise InvalidArgument("StackdriverLoggingConfig.samplingRatio must be between 0.0 and 1.0.")
    return queue


def changed(current: Any, given: Any, paths: Sequence[str]) -> Any:
    """A queue after UpdateQueue: an empty mask is all fields, and a nested path that field alone."""
    if not paths:
        return completed(given, current)
    merged = Queue()
    merged.CopyFrom(current)
    for path in paths:
        _copy_path(given, merged, path)
    return completed(merged, current)


def _copy_path(source: Any, target: Any, path: str) -> None:
    if path in _OUTPUT_ONLY:
        _field(source, path.split(".", maxsplit=1)[0], path)
        return
    *parents, leaf = path.split(".")
    for parent in parents:
        field = _field(source, parent, path)
        if field.message_type is None or field.is_repeated:
            raise _unknown_path(path)
        source, target = getattr(source, parent), getattr(target, parent)
    field = _field(source, leaf, path)
    is_set = bool(getattr(source, leaf)) if not field.has_presence else source.HasField(leaf)
    target.ClearField(leaf)
    if not is_set:
        return
    if field.message_type is not None and not field.is_repeated:
        getattr(target, leaf).CopyFrom(getattr(source, leaf))
    elif field.is_repeated:
        getattr(target, leaf).extend(getattr(source, leaf))
    else:
        setattr(target, leaf, getattr(source, leaf))


def _field(message: Any, name: str, path: str) -> Any:
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise _unknown_path(path)
    return field


def _unknown_path(path: str) -> InvalidArgument:
    return InvalidArgument(f"Invalid field mask: {path} is not a field of Queue.")


def _check_rates(rates: Any) -> None:
    if rates.max_dispatches_per_second < 0:
        raise InvalidArgument("RateLimits.maxDispatchesPerSecond cannot be negative.")
    if not rates.max_dispatches_per_second <= limits.DISPATCHES_PER_SECOND_MAX:
        raise InvalidArgument("RateLimits.maxDispatchesPerSecond must be less than or equal to 500.")
    if rates.max_concurrent_dispatches < 0:
        raise InvalidArgument("RateLimits.maxConcurrentDispatches cannot be negative.")
    if rates.max_concurrent_dispatches > limits.CONCURRENT_DISPATCHES_MAX:
        raise InvalidArgument("RateLimits.maxConcurrentDispatches must be less than or equal to 5000.")


def _complete_rates(rates: Any) -> None:
    rates.max_dispatches_per_second = rates.max_dispatches_per_second or limits.DISPATCHES_PER_SECOND_DEFAULT
    rates.max_concurrent_dispatches = rates.max_concurrent_dispatches or limits.CONCURRENT_DISPATCHES_DEFAULT
    rates.max_burst_size = burst_size(rates.max_dispatches_per_second)


def check_retries(retries: Any) -> None:
    """`InvalidArgument` if a retry configuration is out of bounds; unset fields are in order."""
    if retries.max_attempts < -1:
        raise InvalidArgument("RetryConfig.maxAttempts must be greater or equal to -1.")
    if retries.max_doublings < 0:
        raise InvalidArgument("RetryConfig.maxDoublings cannot be negative.")
    for field, name in (
        ("max_retry_duration", "maxRetryDuration"),
        ("min_backoff", "minBackoff"),
        ("max_backoff", "maxBackoff"),
    ):
        if getattr(retries, field).ToNanoseconds() < 0:
            raise InvalidArgument(f"RetryConfig.{name} cannot be negative.")


def complete_retries(retries: Any) -> None:
    """Fills in what the service chooses where nothing is asked for."""
    retries.max_attempts = retries.max_attempts or limits.ATTEMPTS_DEFAULT
    retries.max_doublings = retries.max_doublings or limits.DOUBLINGS_DEFAULT
    if not retries.HasField("min_backoff") or retries.min_backoff.ToMicroseconds() == 0:
        retries.min_backoff.FromMicroseconds(limits.BACKOFF_MIN_US_DEFAULT)
    if not retries.HasField("max_backoff") or retries.max_backoff.ToMicroseconds() == 0:
        retries.max_backoff.FromMicroseconds(limits.BACKOFF_MAX_US_DEFAULT)


def _check_backoff_order(retries: Any) -> None:
    if retries.min_backoff.ToMicroseconds() > retries.max_backoff.ToMicroseconds():
        raise InvalidArgument("RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.")


def complete_task_retries(retries: Any) -> None:
    """Checks a task's own retry configuration, and fills in its defaults."""
    check_retries(retries)
    complete_retries(retries)
    _check_backoff_order(retries)


def _check_http_target(target: Any) -> None:
    uri = target.uri_override
    if uri.HasField("host") and not uri.host:
        raise InvalidArgument("UriOverride.host cannot be empty.")
    if uri.HasField("port") and not 0 <= uri.port <= PORT_MAX:
        raise InvalidArgument("UriOverride.port must be between 0 and 65535.")
    if target.HasField("oauth_token"):
        token = target.oauth_token
        if not (token.service_account_email and token.scope):
            raise InvalidArgument("HttpTarget.oauthToken needs both serviceAccountEmail and scope.")
    if target.HasField("oidc_token"):
        token = target.oidc_token
        if not (token.service_account_email and token.audience):
            raise InvalidArgument("HttpTarget.oidcToken needs both serviceAccountEmail and audience.")
    for each in target.header_overrides:
        if not each.header.key:
            raise InvalidArgument("HttpTarget.headerOverrides: a header needs a key.")
