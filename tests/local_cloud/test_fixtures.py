"""The suite's own fixtures: what others' tests stand on."""

import asyncio

import pytest

from tests.conftest import SettingsMaker, run_apart, unavailable
from turnout.gcp.votes.settings import Settings


def test_missing_emulators_skip_on_a_developers_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Java"):
        unavailable("no Java")


def test_missing_emulators_fail_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Java"):
        unavailable("no Java")


async def test_settings_are_for_the_tests_own_project(
    settings: Settings, make_settings: SettingsMaker, project: str
) -> None:
    assert settings.project == project == make_settings(lanes=2).project
    assert make_settings(lanes=2).lanes == 2


async def test_what_runs_apart_has_a_loop_of_its_own() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert run_apart(loop()) is not asyncio.get_running_loop()
