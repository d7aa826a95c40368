"""Page tokens, and how long a target asks to be left alone."""

import pytest

from emulators.cloud_tasks import limits, paging
from emulators.cloud_tasks.dispatcher import retry_after_us
from emulators.cloud_tasks.errors import InvalidArgument
from tests.pure.cloud_tasks.driving import NOON_US, SECOND

HOUR = 3600 * SECOND


def test_a_page_holds_what_is_asked_for_up_to_the_largest() -> None:
    assert paging.page_size(0, limits.TASKS_PER_PAGE_MAX) == 1000
    assert paging.page_size(7, limits.TASKS_PER_PAGE_MAX) == 7
    assert paging.page_size(10_000, limits.QUEUES_PER_PAGE_MAX) == 9800
    with pytest.raises(InvalidArgument, match="cannot be negative"):
        paging.page_size(-1, 1000)


def test_a_token_is_good_for_two_hours_and_for_its_own_list_alone() -> None:
    token = paging.token("here", "state: PAUSED", "q7", NOON_US)
    assert paging.after(token, "here", "state: PAUSED", NOON_US + 2 * HOUR) == "q7"
    assert paging.after("", "here", "", NOON_US) == ""
    with pytest.raises(InvalidArgument, match="valid for 2 hours"):
        paging.after(token, "here", "state: PAUSED", NOON_US + 2 * HOUR + 1)
    for parent, condition in (("there", "state: PAUSED"), ("here", "")):
        with pytest.raises(InvalidArgument, match="another list"):
            paging.after(token, parent, condition, NOON_US)


@pytest.mark.parametrize("token", ["odd", "é", "AAAA", "%"])
def test_what_is_no_token_is_said_to_be_none(token: str) -> None:
    with pytest.raises(InvalidArgument, match="The page token is invalid"):
        paging.after(token, "here", "", NOON_US)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("120", 120),
        (" 5 ", 5),
        ("Sat, 21 Nov 2026 12:01:00 GMT", 60),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("soon", 0),
        ("-3", 0),
        ("1.5", 0),
        ("٣", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: int) -> None:
    assert retry_after_us(text, NOON_US) == seconds * SECOND


def test_a_retry_after_of_thousands_of_digits_is_a_large_number() -> None:
    assert retry_after_us("9" * 8000, NOON_US) == 10**9 * SECOND
