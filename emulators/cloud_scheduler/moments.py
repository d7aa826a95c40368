"""When a schedule comes: minutes of a wall clock, or so many minutes after each other.

A minute that the clock leaps over does not come: recorded on 2026-10-01, `30 2 14 3 *` in New York went from 2026 to
2028, since 14 March 2027 has no 02:30 there. A minute that comes twice is a moment twice: the service's page on time
zones promises nothing about it ("execution anomalies"), and its recorded next time is the first of the two.
https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from emulators.api.refused import invalid

#: Word for word what the service says to a wrong schedule and to a wrong time zone.
INVALID = "Schedule or time zone is invalid."
#: The longest wait of a schedule that comes at all: 29 February, over a century without a leap year.
YEARS_MAX = 8
DAYS_MAX = 366 * YEARS_MAX + 2
MINUTE = timedelta(minutes=1)
MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True)
class Calendar:
    """Some minutes of some days, as a wall clock shows them."""

    days: Callable[[date], bool]
    #: Minutes since midnight.
    minutes: frozenset[int]
    zone: ZoneInfo

    @cached_property
    def _hours(self) -> frozenset[int]:
        return frozenset(minute // 60 for minute in self.minutes)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first moment after another, in UTC; None if none comes within years."""
        at = _minute_of(moment) + MINUTE
        end = at + timedelta(days=DAYS_MAX)
        while at < end:
            wall = at.astimezone(self.zone)
            if wall.hour * 60 + wall.minute in self.minutes and self.days(wall.date()):
                return at
            at = self._leap(at, wall)
        return None

    def _leap(self, at: datetime, wall: datetime) -> datetime:
        """Over the rest of a day or an hour that has no moment, unless the clock is changed in it."""
        if not self.days(wall.date()):
            minutes = MINUTES_A_DAY - wall.hour * 60 - wall.minute
        elif wall.hour not in self._hours:
            minutes = 60 - wall.minute
        else:
            return at + MINUTE
        leapt = at + minutes * MINUTE
        return leapt if leapt.astimezone(self.zone).utcoffset() == wall.utcoffset() else at + MINUTE


@dataclass(frozen=True)
class Interval:
    """So many minutes after the moment before, whatever a wall clock shows."""

    minutes: int

    def next_after(self, moment: datetime) -> datetime:
        """The first moment after another, in UTC, at a full minute."""
        return _minute_of(moment) + self.minutes * MINUTE


Schedule = Calendar | Interval


def zone(name: str) -> ZoneInfo:
    """A time zone by its name in the tz database; UTC in any case, and by default."""
    if name.lower() in ("", "utc"):
        return ZoneInfo("UTC")
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as fault:
        raise invalid(INVALID) from fault


def _minute_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
