"""App Engine's English schedules, which Cloud Scheduler takes as well: `every 5 minutes`, `1st friday of quarter 9:00`.

The forms are those of cron.yaml: https://cloud.google.com/appengine/docs/standard/scheduling-jobs-with-cron-yaml#cron_yaml_The_schedule_format.
Recorded of Cloud Scheduler on 2026-10-01: `every 5 minutes`, asked for at 05:20:14, came next at 05:25:00; `1st friday of
quarter 9:00`, on a Thursday, the day after.
"""

import re
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from emulators.api.refused import invalid
from emulators.cloud_scheduler.moments import INVALID, MINUTES_A_DAY, Calendar, Interval, Schedule
from emulators.cloud_scheduler.unix_cron import MONTHS, WEEKDAYS

_UNITS = {"minutes": 1, "mins": 1, "hours": 60}
_ORDINALS = {
    name: number
    for number, names in enumerate(
        (("1st", "first"), ("2nd", "second"), ("3rd", "third"), ("4th", "fourth"), ("5th", "fifth")), 1
    )
    for name in names
}
_WEEKDAYS = {
    name: number
    for number, full in enumerate(
        ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
    )
    for name in (full, WEEKDAYS[number])
}
_MONTHS = {
    name: number
    for number, full in enumerate(
        (
            *("january", "february", "march", "april", "may", "june", "july"),
            *("august", "september", "october", "november", "december"),
        ),
        1,
    )
    for name in (full, MONTHS[number - 1])
}
_EVERY_MONTH = frozenset(range(1, 13))
_QUARTERS = frozenset((1, 4, 7, 10))
_ANY = frozenset(range(7))
_DAYS_MAX = 31

_EVERY_SO_OFTEN = re.compile(
    r"every ([0-9]{1,5}) (minutes|mins|hours)(?: (synchronized)| from ([0-9:]+) to ([0-9:]+))?"
)
_AT_A_TIME = re.compile(r"(\S+)(?: (\S+?))??(?: of (\S+))? ([0-9:]+)")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")


@dataclass(frozen=True)
class _Weekdays:
    """Some weekdays of some months; of each month the first, the second and so on, or all."""

    ordinals: frozenset[int]
    weekdays: frozenset[int]
    months: frozenset[int]

    def __call__(self, day: date) -> bool:
        return (
            day.month in self.months
            and day.isoweekday() % 7 in self.weekdays
            and (day.day + 6) // 7 in self.ordinals
        )


@dataclass(frozen=True)
class _Dates:
    """Some days of some months, by their numbers."""

    days: frozenset[int]
    months: frozenset[int]

    def __call__(self, day: date) -> bool:
        return day.month in self.months and day.day in self.days


def is_english(text: str) -> bool:
    """Whether a schedule is to be read as English: unix-cron begins with a number or a star, and has five fields."""
    return text.lower().startswith("every ") or " of " in text.lower()


def app_engine_cron(text: str, zone: ZoneInfo) -> Schedule:
    """The schedule of an English text; refused, with the service's words, if it is not one."""
    words = " ".join(text.lower().split())
    if matched := _EVERY_SO_OFTEN.fullmatch(words):
        number, unit, synchronized, begin, end = matched.groups()
        minutes = int(number) * _UNITS[unit]
        # "Synchronized" is from 00:00 to 23:59, and its interval must go into a day.
        if not minutes or (synchronized and MINUTES_A_DAY % minutes):
            raise invalid(INVALID)
        if begin is None and not synchronized:
            return Interval(minutes)
        return _every_so_often(minutes, begin or "0:00", end or "23:59", zone)
    matched = _AT_A_TIME.fullmatch(words)
    if matched is None:
        raise invalid(INVALID)
    which, days, months, time = matched.groups()
    return Calendar(_days(which, days, months), frozenset((_minute(time),)), zone)


def _every_so_often(minutes: int, begin: str, end: str, zone: ZoneInfo) -> Calendar:
    first, last = _minute(begin), _minute(end)
    # What ends before it begins goes on past midnight.
    length = last - first if last >= first else last - first + MINUTES_A_DAY
    moments = frozenset((first + after) % MINUTES_A_DAY for after in range(0, length + 1, minutes))
    return Calendar(_Weekdays(frozenset(range(1, 6)), _ANY, _EVERY_MONTH), moments, zone)


def _days(which: str, days: str | None, months: str | None) -> _Weekdays | _Dates:
    in_months = _months(months) if months else _EVERY_MONTH
    if days is None:
        # `1,15 of month 9:00`
        numbers = which.split(",")
        if not months or not all(each.isascii() and each.isdigit() for each in numbers):
            raise invalid(INVALID)
        found = frozenset(map(int, numbers))
        if not all(1 <= day <= _DAYS_MAX for day in found):
            raise invalid(INVALID)
        return _Dates(found, in_months)
    ordinals = frozenset(range(1, 6)) if which == "every" else _named(which, _ORDINALS)
    if which != "every" and not months:
        raise invalid(INVALID)
    return _Weekdays(ordinals, _ANY if days == "day" else _named(days, _WEEKDAYS), in_months)


def _months(text: str) -> frozenset[int]:
    if text == "month":
        return _EVERY_MONTH
    return _QUARTERS if text == "quarter" else _named(text, _MONTHS)


def _named(text: str, names: dict[str, int]) -> frozenset[int]:
    try:
        return frozenset(names[name] for name in text.split(","))
    except KeyError as fault:
        raise invalid(INVALID) from fault


def _minute(text: str) -> int:
    matched = _TIME.fullmatch(text)
    if matched is None:
        raise invalid(INVALID)
    hour, minute = int(matched[1]), int(matched[2])
    if hour > 23 or minute > 59:  # noqa: PLR2004  # a clock's
        raise invalid(INVALID)
    return hour * 60 + minute
