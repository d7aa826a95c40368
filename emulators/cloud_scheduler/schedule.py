"""Unix-cron schedules, read off the wall clock of a time zone.

A minute that the clock leaps over does not come: recorded on 2026-10-01, `30 2 14 3 *` in New York went from 2026 to
2028, since 14 March 2027 has no 02:30 there. A minute that comes twice is a moment twice: the service's page on time
zones promises nothing about it ("execution anomalies"), and its recorded next time is the first of the two.
https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from emulators.api.refused import invalid

#: Word for word what the service says to either fault.
INVALID = "Schedule or time zone is invalid."
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: The longest wait of a schedule that comes at all: 29 February, over a century without a leap year.
YEARS_MAX = 8
DAYS_MAX = 366 * YEARS_MAX + 2
MINUTE = timedelta(minutes=1)

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


_FIELDS = (Field(0, 59), Field(0, 23), Field(1, 31), Field(1, 12, MONTHS), Field(0, 7, DAYS))


@dataclass(frozen=True)
class Schedule:
    """The minutes of a wall clock at which a job runs."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    #: Where both days are restricted, either will do, as in every cron.
    either_day: bool
    zone: ZoneInfo

    def matches(self, wall: datetime) -> bool:
        """Whether the wall clock shows one of its minutes."""
        return self._day(wall) and wall.hour in self.hours and wall.minute in self.minutes

    def _day(self, wall: datetime) -> bool:
        if wall.month not in self.months:
            return False
        day = wall.day in self.days
        weekday = wall.isoweekday() % 7 in self.weekdays
        return day or weekday if self.either_day else day and weekday

    def next_after(self, moment: datetime) -> datetime | None:
        """The first moment after another, in UTC; None if none comes within years."""
        at = moment.astimezone(UTC).replace(second=0, microsecond=0) + MINUTE
        end = at + timedelta(days=DAYS_MAX)
        while at < end:
            wall = at.astimezone(self.zone)
            if self.matches(wall):
                return at
            at = self._leap(at, wall)
        return None

    def _leap(self, at: datetime, wall: datetime) -> datetime:
        """Over the rest of a day or an hour that has no moment, unless the clock is changed in it."""
        if not self._day(wall):
            minutes = 24 * 60 - wall.hour * 60 - wall.minute
        elif wall.hour not in self.hours:
            minutes = 60 - wall.minute
        else:
            return at + MINUTE
        leapt = at + minutes * MINUTE
        return leapt if leapt.astimezone(self.zone).utcoffset() == wall.utcoffset() else at + MINUTE


def parse(schedule: str, time_zone: str) -> Schedule:
    """The schedule of a job; refused, with the service's words, if it or the time zone is not valid."""
    texts = schedule.split()
    if len(texts) != len(_FIELDS):
        raise invalid(INVALID)
    minutes, hours, days, months, weekdays = (
        field.values(text) for field, text in zip(_FIELDS, texts, strict=True)
    )
    found = Schedule(
        minutes,
        hours,
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        either_day=not texts[2].startswith("*") and not texts[4].startswith("*"),
        zone=zone(time_zone),
    )
    if found.next_after(datetime(2024, 1, 1, tzinfo=UTC)) is None:
        raise invalid(INVALID)
    return found


def zone(name: str) -> ZoneInfo:
    """A time zone by its name in the tz database; UTC in any case, and by default."""
    if name.lower() in ("", "utc"):
        return ZoneInfo("UTC")
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as fault:
        raise invalid(INVALID) from fault
