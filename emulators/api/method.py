"""One method of a service: what it takes and gives, what does it, and where REST has it."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

#: Raw protobuf messages: proto-plus wraps the same ones.
Handle = Callable[[Any], Awaitable[Message]]

_VARIABLE = re.compile(r"\{([a-z_.]+)=([^}]+)\}")


@dataclass(frozen=True)
class Route:
    """The HTTP rule of a method, as its `google.api.http` annotation writes it."""

    verb: str
    #: Such as `/v1/{name=projects/*/locations/*/jobs/*}:pause`.
    template: str
    #: The field that the body holds; `*` for the whole request, empty for no body.
    body: str = ""

    @property
    def field(self) -> str:
        """The field that the path holds."""
        found = _VARIABLE.search(self.template)
        return found.group(1) if found else ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches a path, and holds the field's value in its first group."""
        found = _VARIABLE.search(self.template)
        if found is None:
            return re.compile(re.escape(self.template))
        value = "/".join("[^/]+" if part == "*" else re.escape(part) for part in found.group(2).split("/"))
        # What follows a colon in the last part is a verb of the API.
        value = re.sub(r"\[\^/\]\+$", "[^/:]+", value)
        return re.compile(
            f"{re.escape(self.template[: found.start()])}({value}){re.escape(self.template[found.end() :])}"
        )


@dataclass(frozen=True)
class Method:
    """A row of a service's table."""

    name: str
    request: type[Message]
    handle: Handle
    route: Route
