"""Where a command finds Turnout: in the environment, else in the local cloud that runs here."""

from collections.abc import Mapping
from pathlib import Path

from cli.faults import NowhereToGo
from emulators import state
from turnout.deployment import ALL_FUNCTIONS

URL_VARIABLE = "TURNOUT_URL"
PROJECT_VARIABLE = "GOOGLE_CLOUD_PROJECT"
#: Another place for the local cloud's state and logs, so that several can run side by side.
STATE_FOLDER_VARIABLE = "TURNOUT_STATE_FOLDER"


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where the local cloud keeps its state and logs."""
    given = environment.get(STATE_FOLDER_VARIABLE)
    return Path(given) if given else state.DEFAULT_FOLDER


def own_variable(function: str) -> str:
    """Names a deployed function's own address: the audience of its tokens, and where it is called without `TURNOUT_URL`."""
    return f"TURNOUT_{function.upper()}_URL"


def own_addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """The functions' own addresses that the environment names, by function."""
    given = {each.name: environment.get(own_variable(each.name), "") for each in ALL_FUNCTIONS}
    return {name: url.rstrip("/") for name, url in given.items() if url}


def base_url(environment: Mapping[str, str]) -> str:
    """The one address of all functions; empty if each has its own; `NowhereToGo` if there is none at all."""
    given = environment.get(URL_VARIABLE)
    if given:
        return given.rstrip("/")
    if own_addresses(environment):
        return ""
    running = state.running_cloud(state_folder(environment))
    if running is None:
        raise NowhereToGo(URL_VARIABLE)
    return running.base_url


def environment_of_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which jobs and audits work; `NowhereToGo` if it names no project and no local cloud runs."""
    if environment.get(PROJECT_VARIABLE):
        return dict(environment)
    running = state.running_cloud(state_folder(environment))
    if running is None:
        raise NowhereToGo(PROJECT_VARIABLE)
    return {**environment, **running.environment}
