"""Settings: typed, bounded, and clear about every fault at once."""

import pytest

from tests.factories import make_settings
from turnout.base.environment import read, variables
from turnout.base.errors import SettingsInvalid
from turnout.deployment import COMMON_SETTINGS, FUNCTIONS, JOBS, function_for_path
from turnout.gcp.votes.settings import Settings


def test_the_project_is_all_that_must_be_set() -> None:
    with pytest.raises(SettingsInvalid, match="GOOGLE_CLOUD_PROJECT"):
        read(Settings, {})
    assert read(Settings, {"GOOGLE_CLOUD_PROJECT": "mine"}).project == "mine"


def test_every_fault_is_named_at_once_with_its_variable() -> None:
    environment = {
        "TURNOUT_LANES": "many",
        "TURNOUT_IDLE_SECONDS": "-1",
        "CLOUD_RUN_TASK_INDEX": "x",
    }
    with pytest.raises(SettingsInvalid) as invalid:
        read(Settings, environment)
    for name in (*environment, "GOOGLE_CLOUD_PROJECT"):
        assert name in str(invalid.value)


def test_a_variable_that_is_given_is_read_and_a_change_goes_before_it() -> None:
    environment = {"GOOGLE_CLOUD_PROJECT": "mine", "TURNOUT_LANES": "3", "lanes": "5", "TURNOUT_lanes": "6"}
    assert read(Settings, environment).lanes == 3
    assert read(Settings, environment, lanes=4).lanes == 4


def test_what_the_shell_exports_changes_no_settings_that_were_not_read_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TURNOUT_LANES", "3")
    monkeypatch.setenv("TURNOUT_SHUTDOWN_SECONDS", "1")
    for made in (make_settings(), read(Settings, {"GOOGLE_CLOUD_PROJECT": "mine"})):
        assert (made.lanes, made.shutdown_seconds) == (8, 8.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"pepper": "short"},
        {"publish_attempt_seconds": 20.0},
        {"pending_votes_max": 10},
        {"lease_seconds_max": 30.0},
        {"commit_attempt_seconds": 60.0},
        {"backoff_first_seconds": 60.0},
        {"task_index": 3},
        {"ack_deadline_seconds": 9},
        {"bundle_votes_max": 1_001},
        {"request_votes_max": 1_001},
    ],
)
def test_bounds_that_do_not_fit_together_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"TURNOUT_|CLOUD_RUN_|Input should"):
        make_settings(**changes)


def test_the_pepper_is_never_shown() -> None:
    assert "sixteen" not in repr(make_settings(pepper="sixteen bytes and more"))


def test_the_table_of_services_names_settings_that_exist() -> None:
    known = set(variables(Settings).values())
    for service in (*FUNCTIONS, *JOBS):
        assert set(service.settings) <= known
    assert set(COMMON_SETTINGS) <= known


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/vote", "vote"),
        ("/votes", "vote"),
        ("/vote/x", "vote"),
        ("/results/finals", "results"),
        ("/polls", "polls"),
        ("/persist", "persist"),
        ("/voters", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_path_belongs_to_one_function(path: str, name: str | None) -> None:
    found = function_for_path(path)
    assert (found.name if found else None) == name
