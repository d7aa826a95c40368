"""Every method reaches the function, which alone knows those that it takes, and answers the others with a problem.

functions-framework routes seven methods to a function. It answers any other (TRACE, PROPFIND, a made-up one) by itself, in
plain text and with an `Allow` that names all seven, and has no setting for that. The name under which it knows
Starlette's `Route` is the one place between loading a function and serving it.
"""

from collections.abc import Callable, Collection
from typing import Any

import functions_framework.aio
from starlette.routing import Route


class EveryMethod(Route):
    """A route without the framework's choice of methods; those of its own paths, which take no POST, stay as they are."""

    def __init__(self, path: str, endpoint: Callable[..., Any], *, methods: Collection[str]) -> None:
        super().__init__(path, endpoint, methods=methods)
        if "POST" in methods:
            self.methods = None


def take_every_method() -> None:
    """Call it before the framework builds its application: in the file that is deployed."""
    functions_framework.aio.Route = EveryMethod  # type: ignore[attr-defined,assignment]
