"""Settings from an environment that is given: no setting is ever read from the process's own behind a caller's back.

A family declares what it reads as a frozen model. Turnout's own variables are called `TURNOUT_` and the field's name;
a field with an alias keeps that name, as Google's standard variables do.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from turnout.base.errors import SettingsInvalid

S = TypeVar("S", bound="SettingsModel")


def _variable(field: str) -> str:
    return f"TURNOUT_{field.upper()}"


class SettingsModel(BaseModel):
    """What a process is told by its environment, with a unit, a bound and a default for each field."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=_variable, populate_by_name=True)


def variables(kind: type[SettingsModel]) -> dict[str, str]:
    """The environment variable of each field."""
    return {name: field.alias or _variable(name) for name, field in kind.model_fields.items()}


def read(kind: type[S], environment: Mapping[str, str], **changes: Any) -> S:
    """The settings in an environment, some of them changed; `SettingsInvalid` lists every fault at once."""
    given: dict[str, Any] = {
        variable: environment[variable] for variable in variables(kind).values() if variable in environment
    }
    names = variables(kind)
    given.update({names[field]: value for field, value in changes.items()})
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise SettingsInvalid([_fault(each["loc"], each["msg"]) for each in error.errors()]) from None


def _fault(location: tuple[int | str, ...], message: str) -> str:
    if not location:
        return message.removeprefix("Value error, ")
    return f"{location[0]}: {message}"
