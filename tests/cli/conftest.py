"""The command line as a person calls it, in this process."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from cli import app
from emulators.stack import LocalCloud
from turnout.base.environment import variables
from turnout.deployment import COMMON_SETTINGS
from turnout.gcp.votes.settings import Settings

TERMINAL = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}


class Shell:
    """A terminal with an environment of its own: `shell("vote", "finals", "Ada")`."""

    def __init__(self, environment: Mapping[str, str | None]) -> None:
        self._environment = {**TERMINAL, **environment}

    def __call__(self, *words: str, **environment: str) -> Result:
        result = CliRunner().invoke(app, words, env={**self._environment, **environment})
        assert "Traceback" not in result.output, result.output
        return result

    def done(self, *words: str) -> str:
        """What a command that must succeed prints."""
        result = self(*words)
        assert result.exit_code == 0, result.output
        return result.stdout


def no_cloud(state_folder: Path) -> dict[str, str | None]:
    """An environment that names no Turnout, whatever the developer's own names."""
    names = variables(Settings).values()
    unset: dict[str, str | None] = dict.fromkeys({*names, *COMMON_SETTINGS, "TURNOUT_URL"})
    return {**unset, "TURNOUT_STATE_FOLDER": str(state_folder)}


@pytest.fixture(autouse=True)
def core_logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A terminal where no local cloud runs."""
    return Shell(no_cloud(tmp_path))


@pytest.fixture
def cloud_shell(local_cloud: LocalCloud, tmp_path: Path) -> Shell:
    """A terminal whose environment names the suite's local cloud."""
    return Shell({**no_cloud(tmp_path), **local_cloud.variables})
