"""Settings: typed, bounded, and clear about every fault at once."""

import os

import pytest

from tests.factories import make_settings
from turnout.base.errors import SettingsInvalid
from turnout.deployment import COMMON_SETTINGS, FUNCTIONS, JOBS, function_for_path
from turnout.votes.settings import Settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("TURNOUT_", "GOOGLE_CLOUD", "CLOUD_RUN", "K_")) or name.endswith("EMULATOR_HOST"):
            monkeypatch.delenv(name)


def test_the_project_is_all_that_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match="GOOGLE_CLOUD_PROJECT"):
        Settings.from_environment()
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    assert Settings.from_environment().project == "mine"


def test_every_fault_is_named_at_once_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TURNOUT_LANES": "many",
        "TURNOUT_IDLE_SECONDS": "-1",
        "CLOUD_RUN_TASK_INDEX": "x",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as invalid:
        Settings.from_environment()
    for name in ("TURNOUT_LANES", "TURNOUT_IDLE_SECONDS", "CLOUD_RUN_TASK_INDEX", "GOOGLE_CLOUD_PROJECT"):
        assert name in str(invalid.value)


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
    ],
)
def test_bounds_that_do_not_fit_together_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"TURNOUT_|CLOUD_RUN_|Input should"):
        make_settings(**changes)


def test_the_pepper_is_never_shown() -> None:
    assert "sixteen" not in repr(make_settings(pepper="sixteen bytes and more"))


def test_the_table_of_services_names_settings_that_exist() -> None:
    known = {field.alias or f"TURNOUT_{name.upper()}" for name, field in Settings.model_fields.items()}
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
