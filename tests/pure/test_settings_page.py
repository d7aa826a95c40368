"""docs/settings.md says what the code says: every variable with its default and its bounds."""

import re
from pathlib import Path

import pytest
from annotated_types import Ge, Gt, Le, Lt

from tests.factories import make_settings
from turnout.base.environment import read, variables
from turnout.base.errors import SettingsInvalid
from turnout.queue.settings import QueueSettings
from turnout.votes.settings import VoteSettings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `(TURNOUT_\w+)` \| ([^|]*) \| ([^|]*)\|", re.MULTILINE)


def shown_bound(bound: object) -> str:
    match bound:
        case Gt():
            return f"> {bound.gt}"
        case Ge():
            return f"≥ {bound.ge}"
        case Le():
            return f"≤ {bound.le}"
        case Lt():
            return f"< {bound.lt}"
    raise AssertionError(f"the page has no sign for {bound}")


def shown_default(default: object) -> str:
    if default is None:
        return "none"
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_the_page_has_every_setting_with_its_default_and_its_bounds() -> None:
    said = {
        name: (default.strip(), bounds.strip()) for name, default, bounds in ROW.findall(PAGE.read_text())
    }
    names = variables(VoteSettings)
    assert said == {
        names[field]: (shown_default(info.default), ", ".join(map(shown_bound, info.metadata)))
        for field, info in VoteSettings.model_fields.items()
    }


PROJECT = {"GOOGLE_CLOUD_PROJECT": "mine"}


@pytest.mark.parametrize(
    ("fits", "does_not"),
    [
        ({"publish_attempt_seconds": 10.0}, {"publish_attempt_seconds": 10.1}),
        ({"lease_seconds_max": 60.0}, {"lease_seconds_max": 59.9}),
        ({"backoff_first_seconds": 10.0}, {"backoff_first_seconds": 10.1}),
        ({"pending_votes_max": 1_000}, {"pending_votes_max": 999}),
        ({"commit_attempt_seconds": 59.9}, {"commit_attempt_seconds": 60.0}),
        ({"pepper": "sixteen bytes: €"[:14] + "€"}, {"pepper": "fifteen bytes.."}),
    ],
)
def test_bounds_that_depend_on_each_other_hold_to_the_last(
    fits: dict[str, object], does_not: dict[str, object]
) -> None:
    make_settings(**fits)
    with pytest.raises(ValueError, match="must"):
        make_settings(**does_not)


def test_every_bound_that_does_not_fit_is_named() -> None:
    environment = {
        "TURNOUT_PUBLISH_ATTEMPT_SECONDS": "11",
        "TURNOUT_LEASE_SECONDS_MAX": "5",
        "TURNOUT_BACKOFF_FIRST_SECONDS": "11",
    }
    with pytest.raises(SettingsInvalid) as invalid:
        read(QueueSettings, environment)
    for name in environment:
        assert name in str(invalid.value)


def test_what_follows_from_the_settings() -> None:
    settings = make_settings(
        ack_deadline_seconds=30, retry_backoff_max_seconds=12.0, message_retention_days=3
    )
    assert settings.hidden_seconds_max == 42.0
    assert settings.ledger_margin_seconds == (3 + 7 + 3 + 7) * 86_400


def test_each_kind_of_retry_has_the_bounds_of_its_settings() -> None:
    settings = make_settings(
        backoff_first_seconds=0.5,
        backoff_max_seconds=3.0,
        commit_attempts_max=4,
        publish_deadline_seconds=7.0,
    )
    for retry in (settings.endless_retry, settings.write_retry, settings.publish_retry):
        assert (retry.first_seconds, retry.max_seconds) == (0.5, 3.0)
    assert settings.write_retry.attempts_max == 4
    assert settings.publish_retry.deadline_seconds == 7.0
    assert settings.endless_retry.attempts_max != 4
