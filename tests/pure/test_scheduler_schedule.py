"""When a cron schedule comes, held against another implementation, minute by minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.api import Refused
from emulators.cloud_scheduler.moments import INVALID
from emulators.cloud_scheduler.schedule import parse

MINUTE = timedelta(minutes=1)
HOURS = 6
#: Three hours before a change: spring and autumn, on both halves of the earth, by half an hour, at midnight, of the date.
CHANGES = [
    ("America/New_York", datetime(2027, 3, 14, 4, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 3, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2027, 3, 27, 22, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2027, 10, 30, 22, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2027, 4, 3, 12, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2027, 10, 2, 12, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2027, 4, 29, 19, tzinfo=UTC)),
    ("America/Santiago", datetime(2027, 4, 4, 0, tzinfo=UTC)),
    ("Asia/Tokyo", datetime(2027, 2, 28, 12, tzinfo=UTC)),
    ("UTC", datetime(2028, 2, 28, 21, tzinfo=UTC)),
]


def fields(first: int, last: int, *, steps: bool = True) -> st.SearchStrategy[str]:
    numbers = st.integers(first, last)
    # The other implementation takes `1-1` for all values; that one is among the known moments.
    pairs = st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1])
    ranges = pairs.map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(ranges, st.integers(1, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    stars = st.just("*")
    part = st.one_of(numbers.map(str), ranges, stepped)
    every = st.integers(1, 9).map(lambda step: f"*/{step}")
    lists = st.lists(part, min_size=1, max_size=3).map(",".join)
    return st.one_of(stars, lists, every) if steps else st.one_of(stars, lists)


schedules = st.tuples(
    fields(0, 59), fields(0, 23), fields(1, 31, steps=False), fields(1, 12), fields(0, 7, steps=False)
).map(" ".join)


@settings(deadline=None)
@given(schedules, st.sampled_from(CHANGES), st.integers(0, 59))
def test_the_next_moment_is_the_first_minute_that_the_wall_clock_shows(
    schedule: str, change: tuple[str, datetime], second: int
) -> None:
    zone, start = change
    start += timedelta(seconds=second)
    try:
        found = parse(schedule, zone).next_after(start)
    except Refused:
        # Days such as 31 April that never come.
        return
    at = start.replace(second=0) + MINUTE
    while at < start + timedelta(hours=HOURS):
        wall = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        if croniter.match(schedule, wall):
            assert found == at, (schedule, zone)
            return
        at += MINUTE
    assert found is not None
    assert found >= at


def moments(schedule: str, zone: str, start: datetime, end: datetime) -> list[str]:
    found = []
    at: datetime | None = start
    while at is not None and (at := parse(schedule, zone).next_after(at)) is not None and at < end:
        found.append(at.strftime("%m-%dT%H:%M"))
    return found


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        # As recorded of the service on 2026-10-01.
        ("* * * * *", "UTC", "2026-10-01T05:19:59", "2026-10-01T05:20"),
        ("0 9 * JAN MON", "UTC", "2026-10-01T05:20:05", "2027-01-04T09:00"),
        ("30 2 14 3 *", "America/New_York", "2026-10-01T05:20:26", "2028-03-14T06:30"),
        ("30 1 1 11 *", "America/New_York", "2026-10-01T05:20:30", "2026-11-01T05:30"),
        ("every 5 minutes", "UTC", "2026-10-01T05:20:14", "2026-10-01T05:25"),
        ("1st friday of quarter 9:00", "UTC", "2026-10-01T05:20:18", "2026-10-02T09:00"),
        # As documented.
        ("45 23 * * 6", "UTC", "2026-11-20T12:00:00", "2026-11-21T23:45"),
        ("0 9 * * 7", "UTC", "2026-11-20T12:00:00", "2026-11-22T09:00"),
        ("0 9 13 * 5", "UTC", "2026-11-20T12:00:00", "2026-11-27T09:00"),
        ("0 9 * jan-mar mon-fri", "utc", "2026-11-20T12:00:00", "2027-01-01T09:00"),
        ("0 0 * 1-1 *", "UTC", "2026-11-20T12:00:00", "2027-01-01T00:00"),
        ("0 0 29 2 *", "UTC", "2026-11-20T12:00:00", "2028-02-29T00:00"),
        ("59 23 31 12 *", "", "2026-12-31T23:59:00", "2027-12-31T23:59"),
        # App Engine's forms.
        ("every 24 hours", "Europe/Berlin", "2026-10-24T12:34:56", "2026-10-25T12:34"),
        ("every 1 hours", "UTC", "2026-10-24T23:59:59", "2026-10-25T00:59"),
        ("every day 00:00", "Europe/Berlin", "2026-11-20T12:00:00", "2026-11-20T23:00"),
        ("every monday 09:00", "UTC", "2026-11-20T12:00:00", "2026-11-23T09:00"),
        ("every Mon,Wednesday 9:30", "UTC", "2026-11-23T09:30:00", "2026-11-25T09:30"),
        ("every monday of sep,oct,nov 17:00", "UTC", "2026-11-30T17:00:00", "2027-09-06T17:00"),
        ("2nd,third mon,wed,thu of march 17:00", "UTC", "2026-11-20T12:00:00", "2027-03-08T17:00"),
        ("2nd,third mon,wed,thu of march 17:00", "UTC", "2027-03-18T17:00:00", "2028-03-08T17:00"),
        ("1 of jan,april,july,oct 00:00", "UTC", "2026-11-20T12:00:00", "2027-01-01T00:00"),
        ("1,15 of month 09:00", "UTC", "2026-11-01T09:00:00", "2026-11-15T09:00"),
        ("29 of february 0:00", "UTC", "2026-11-20T12:00:00", "2028-02-29T00:00"),
        ("every 5 minutes from 10:00 to 14:00", "UTC", "2026-11-20T14:00:00", "2026-11-21T10:00"),
        ("every 45 mins from 10:00 to 14:00", "UTC", "2026-11-20T10:00:00", "2026-11-20T10:45"),
        ("every 2 hours from 22:00 to 03:00", "UTC", "2026-11-20T22:30:00", "2026-11-21T00:00"),
        ("every 2 hours synchronized", "UTC", "2026-11-20T12:34:56", "2026-11-20T14:00"),
        ("every  5 MINUTES synchronized", "UTC", "2026-11-20T12:34:56", "2026-11-20T12:35"),
    ],
)
def test_known_moments(schedule: str, zone: str, after: str, expected: str) -> None:
    found = parse(schedule, zone).next_after(datetime.fromisoformat(after + "+00:00"))
    assert found == datetime.fromisoformat(expected + "+00:00")


def test_a_minute_that_comes_twice_is_a_moment_twice_and_one_that_does_not_come_is_none() -> None:
    autumn = datetime(2026, 11, 1, tzinfo=UTC)
    assert moments("30 1 * * *", "America/New_York", autumn, autumn + timedelta(days=1)) == [
        "11-01T05:30",
        "11-01T06:30",
    ]
    spring = datetime(2027, 3, 14, tzinfo=UTC)
    assert moments("30 2 * * *", "America/New_York", spring, spring + timedelta(days=1)) == []


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "* * * *",
        "0 0 0 1 4 *",
        "60 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "0 0 L * *",
        "@daily",
        "5/15 * * * *",
        "*/0 * * * *",
        "9-5 * * * *",
        "1,,2 * * * *",
        "0 0 * * mond",
        "0 0 30 2 *",
        "-1 * * * *",
        "٣ * * * *",
        "every minute",
        "every 0 minutes",
        "every 5 days",
        "every 7 hours synchronized",
        "every 5 minutes from 10:00",
        "every 5 minutes from 25:00 to 26:00",
        "every day",
        "every day 24:00",
        "every someday 09:00",
        "1st friday 09:00",
        "1,32 of month 09:00",
        "30 of february 09:00",
        "1 of quarters 09:00",
        "6th monday of month 09:00",
        "every day of nevermonth 09:00",
    ],
)
def test_what_is_no_schedule_is_refused_in_the_words_of_the_service(schedule: str) -> None:
    with pytest.raises(Refused, match=INVALID):
        parse(schedule, "UTC")


@pytest.mark.parametrize(
    "zone", ["Asia/Tokio", "Invalid/Unknown", "../etc/passwd", "/etc/localtime", "utc+8"]
)
def test_what_is_no_time_zone_is_refused_in_the_words_of_the_service(zone: str) -> None:
    with pytest.raises(Refused, match=INVALID):
        parse("0 0 1 4 *", zone)


def test_an_interval_goes_on_from_the_moment_before_and_not_from_a_clocks_hands() -> None:
    start = datetime(2026, 11, 20, 12, 34, 56, tzinfo=UTC)
    found = moments("every 25 minutes", "UTC", start, start + timedelta(hours=2))
    assert found == ["11-20T12:59", "11-20T13:24", "11-20T13:49", "11-20T14:14"]
