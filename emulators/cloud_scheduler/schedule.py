"""Schedules as they are written: unix-cron, or App Engine's English."""

from datetime import UTC, datetime

from emulators.api.refused import invalid
from emulators.cloud_scheduler.app_engine_cron import app_engine_cron, is_english
from emulators.cloud_scheduler.moments import INVALID, Schedule, zone
from emulators.cloud_scheduler.unix_cron import unix_cron

_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)


def parse(schedule: str, time_zone: str) -> Schedule:
    """The schedule of a job; refused, with the service's words, if it or the time zone is not valid."""
    read = app_engine_cron if is_english(schedule) else unix_cron
    found = read(schedule, zone(time_zone))
    if found.next_after(_ANY_TIME) is None:
        raise invalid(INVALID)
    return found
