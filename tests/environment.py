"""What a process that a test starts is told: this machine's ways, and none of the settings that the developer's shell exports."""

import os
from collections.abc import Mapping

from turnout.base.environment import variables
from turnout.deployment import COMMON_SETTINGS
from turnout.gcp.votes.settings import Settings

PREFIX = "TURNOUT_"


def plain_environment(**more: str) -> dict[str, str]:
    """The environment of this process without any of Turnout's settings, and what a test adds."""
    return {**without_settings(os.environ), **more}


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without any of Turnout's settings, whatever family has them."""
    named = {*variables(Settings).values(), *COMMON_SETTINGS}
    return {
        name: value
        for name, value in environment.items()
        if name not in named and not name.startswith(PREFIX)
    }
