"""Durations and moments are read as people write them, and refused with a mend."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.base.errors import ValueRefused
from turnout.tasks.ids import EPOCH
from turnout.tasks.times import DURATION_SECONDS_MAX, read_duration, read_moment


@pytest.mark.parametrize(
    ("given_", "seconds"),
    [
        ("90s", 90.0),
        ("1h30m", 5_400.0),
        ("500ms", 0.5),
        ("1m500ms", 60.5),
        ("1w2d3h4m5.5s6ms", 788_645.506),
        ("0s", 0.0),
        (90, 90.0),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_read(given_: str | float, seconds: float) -> None:
    assert read_duration(given_, field="/delay") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "given_",
    [
        "",
        "90",
        "s",
        "1.5h",
        "30m1h",
        "1h1h",
        "-5s",
        " 5s",
        "5 s",
        "1H",
        "٣s",
        "1e3s",
        "NaN",
        "1mss",
        "9" * 400 + "w",
    ],
)
def test_what_is_not_a_duration_is_refused_with_its_field(given_: str) -> None:
    with pytest.raises(ValueRefused, match="is not a duration") as refused:
        read_duration(given_, field="/delay")
    assert refused.value.field == "/delay"
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("given_", [-1, math.nan, math.inf, -math.inf, DURATION_SECONDS_MAX * 1.01])
def test_seconds_that_are_not_a_duration_are_refused(given_: float) -> None:
    with pytest.raises(ValueRefused, match="between 0 and 100 years"):
        read_duration(given_, field="/delay")


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_units_add_up(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s"
    assert read_duration(text, field="") == hours * 3_600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    ("given_", "moment"),
    [
        ("2030-01-31T08:00:00Z", datetime(2030, 1, 31, 8, tzinfo=UTC)),
        ("2030-01-31t08:00:00.25z", datetime(2030, 1, 31, 8, 0, 0, 250_000, tzinfo=UTC)),
        ("2030-01-31 08:00:00+05:45", datetime(2030, 1, 31, 2, 15, tzinfo=UTC)),
        ("2030-01-31T08:00:00.123456789Z", datetime(2030, 1, 31, 8, 0, 0, 123_456, tzinfo=UTC)),
        (1_900_000_000, datetime(2030, 3, 17, 17, 46, 40, tzinfo=UTC)),
        (1_900_000_000.5, datetime(2030, 3, 17, 17, 46, 40, 500_000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read(given_: str | float, moment: datetime) -> None:
    assert read_moment(given_, field="/run_at") == moment


@given(st.integers(0, 7_900 * 365 * 86_400 * 1_000_000).map(lambda us: EPOCH + timedelta(microseconds=us)))
def test_a_moment_that_python_writes_is_read_as_it_was(moment: datetime) -> None:
    assert read_moment(moment.isoformat(), field="") == moment


@pytest.mark.parametrize(
    "given_",
    [
        "",
        "tomorrow",
        "2030-01-31",
        "2030-01-31T08:00:00",
        "2030-02-30T08:00:00Z",
        "2030-01-31T24:30:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "1900000000",
        math.nan,
        math.inf,
        1.9e12,
        -1e300,
    ],
)
def test_what_is_not_a_moment_is_refused_with_a_mend(given_: str | float) -> None:
    with pytest.raises(ValueRefused, match=r"RFC 3339|divide milliseconds") as refused:
        read_moment(given_, field="/run_at")
    assert refused.value.field == "/run_at"


@pytest.mark.parametrize("given_", [-1, 0, "2019-12-31T23:59:59Z"])
def test_a_moment_before_there_were_tasks_is_refused(given_: str | float) -> None:
    with pytest.raises(ValueRefused, match="before 2020"):
        read_moment(given_, field="/run_at")
