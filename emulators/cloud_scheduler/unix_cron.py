"""Schedules of five fields: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules."""

import re
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from emulators.api.refused import invalid
from emulators.cloud_scheduler.moments import INVALID, Calendar

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_PART = re.compile(r"(?:(\*)|([0-9]+|[a-z]{3})(?:-([0-9]+|[a-z]{3}))?)(?:/([0-9]+))?")


@dataclass(frozen=True)
class Field:
    """One of the five: the values that it may have, and names for them."""

    first: int
    last: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> frozenset[int]:
        """The values that a text such as `1-5,10-59/2` stands for."""
        found: set[int] = set()
        for part in text.lower().split(","):
            found.update(self._part(part))
        return frozenset(found)

    def _part(self, text: str) -> range:
        matched = _PART.fullmatch(text)
        if matched is None:
            raise invalid(INVALID)
        every, low, high, step = matched.groups()
        if every:
            first, last = self.first, self.last
        else:
            first = self._value(low)
            # A step needs a range to skip through.
            if step and not high:
                raise invalid(INVALID)
            last = self._value(high) if high else first
        if first > last or (step and int(step) == 0):
            raise invalid(INVALID)
        return range(first, last + 1, int(step or 1))

    def _value(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.first
        if not text.isdigit() or not self.first <= int(text) <= self.last:
            raise invalid(INVALID)
        return int(text)


_FIELDS = (Field(0, 59), Field(0, 23), Field(1, 31), Field(1, 12, MONTHS), Field(0, 7, WEEKDAYS))


@dataclass(frozen=True)
class _Days:
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    #: Where both days are restricted, either will do, as in every cron.
    either: bool

    def __call__(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_weekday if self.either else by_date and by_weekday


def unix_cron(text: str, zone: ZoneInfo) -> Calendar:
    """The schedule of five fields; refused, with the service's words, if it is not one."""
    texts = text.split()
    if len(texts) != len(_FIELDS):
        raise invalid(INVALID)
    minutes, hours, days, months, weekdays = (
        field.values(text) for field, text in zip(_FIELDS, texts, strict=True)
    )
    either = not texts[2].startswith("*") and not texts[4].startswith("*")
    return Calendar(
        _Days(days, months, frozenset(day % 7 for day in weekdays), either),
        frozenset(hour * 60 + minute for hour in hours for minute in minutes),
        zone,
    )
