"""Durations and moments, as people and programs write them."""

import math
import re
from datetime import UTC, datetime

from turnout.base.errors import ValueRefused
from turnout.tasks.ids import EPOCH

#: `1w2d3h4m5.5s`, `500ms`: each unit once, the largest first.
_DURATION = re.compile(
    r"(?:(?P<w>\d+)w)?(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m(?!s))?(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+)ms)?",
    re.ASCII,
)
_SECONDS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
#: No duration is longer: a hundred years.
DURATION_SECONDS_MAX = 100 * 366 * 86_400.0
#: Unix seconds beyond the year 5138 are milliseconds, taken for seconds.
UNIX_SECONDS_MAX = 1e11
#: So much of what was given is shown in a message.
SHOWN_CHARACTERS_MAX = 40


def read_duration(given: str | float, *, field: str) -> float:
    """The seconds of `"90s"`, `"1h30m"`, `"500ms"` or a plain number; `ValueRefused` names the field and the mend."""
    if isinstance(given, str):
        match = _DURATION.fullmatch(given)
        if not given or match is None:
            raise ValueRefused(
                f"{_shown(given)} is not a duration: write seconds, or units as in 90s, 1h30m or 500ms.",
                field=field,
            )
        seconds = sum(float(number) * _SECONDS[unit] for unit, number in match.groupdict("0").items())
    else:
        seconds = float(given)
    if not 0 <= seconds <= DURATION_SECONDS_MAX:
        raise ValueRefused(
            f"{_shown(given)} is not a duration: it must lie between 0 and 100 years.", field=field
        )
    return seconds


def read_moment(given: str | float, *, field: str) -> datetime:
    """The moment of an RFC 3339 text with its offset, or of Unix seconds; `ValueRefused` names the field and the mend."""
    return _from_text(given, field) if isinstance(given, str) else _from_unix(given, field)


def _from_text(given: str, field: str) -> datetime:
    match = _RFC3339.fullmatch(given)
    # Python reads six digits of a second's fraction; more are cut, as RFC 3339 lets a reader do.
    text = "" if match is None else re.sub(r"(\.\d{6})\d+", r"\1", given.upper())
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueRefused(
            f"{_shown(given)} is not a moment: write RFC 3339 with its offset, as 2030-01-31T08:00:00Z, "
            "or Unix seconds as a number.",
            field=field,
        ) from None
    return _not_long_ago(moment, given, field)


def _from_unix(given: float, field: str) -> datetime:
    if not math.isfinite(given) or abs(given) > UNIX_SECONDS_MAX:
        raise ValueRefused(
            f"{_shown(given)} is not a moment in Unix seconds; divide milliseconds by 1,000.", field=field
        )
    return _not_long_ago(datetime.fromtimestamp(given, UTC), given, field)


def _not_long_ago(moment: datetime, given: str | float, field: str) -> datetime:
    if moment < EPOCH:
        raise ValueRefused(f"{_shown(given)} lies before 2020: no task can be of then.", field=field)
    return moment


def _shown(given: str | float) -> str:
    return repr(given)[:SHOWN_CHARACTERS_MAX]
