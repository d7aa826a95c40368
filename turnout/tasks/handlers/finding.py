"""Finding: the handlers in the packages that a setting names, and those that installed distributions offer."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from types import ModuleType

from turnout.base.errors import SettingsInvalid
from turnout.tasks.handlers.declaring import MARK, Declared
from turnout.tasks.ports import HandlerLimits

#: Distributions name a module or package of handlers in this group of entry points.
GROUP = "turnout.tasks"
VARIABLE = "TURNOUT_HANDLERS"


class Handlers:
    """The handlers by name."""

    def __init__(self, declared: Iterable[Declared] = ()) -> None:
        self._by_name: dict[str, Declared] = {}
        for each in declared:
            present = self._by_name.setdefault(each.name, each)
            if present.function is not each.function:
                raise SettingsInvalid(
                    [f"two handlers are called {each.name}: {_where(present)} and {_where(each)}; rename one"]
                )

    def __iter__(self) -> Iterator[Declared]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Declared | None:
        """The handler of a name."""
        return self._by_name.get(name)

    def limits(self, name: str) -> HandlerLimits | None:
        """What tasks of a handler are given if their callers say nothing; None: there is no such handler."""
        found = self._by_name.get(name)
        return None if found is None else HandlerLimits(found.timeout_seconds, found.retry)

    def names(self) -> list[str]:
        """All names, in order."""
        return sorted(self._by_name)


def find_handlers(packages: str) -> Handlers:
    """Imports packages (names between commas) and those of the entry points, with all their modules.

    `SettingsInvalid`: one cannot be imported, or two handlers have one name.
    """
    named = [each.strip() for each in packages.split(",") if each.strip()]
    offered = [each.value.partition(":")[0] for each in entry_points(group=GROUP)]
    modules = [module for name in dict.fromkeys([*named, *offered]) for module in _modules(name)]
    return Handlers(
        declared for module in modules for declared in map(_mark_of, vars(module).values()) if declared
    )


def _modules(name: str) -> Iterator[ModuleType]:
    package = _import(name)
    yield package
    for found in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{name}."):
        yield _import(found.name)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise SettingsInvalid(
            [f"{VARIABLE}: the handlers of {name} cannot be imported: {type(error).__name__}: {error}"]
        ) from error


def _mark_of(value: object) -> Declared | None:
    mark = getattr(value, MARK, None)
    return mark if isinstance(mark, Declared) else None


def _where(declared: Declared) -> str:
    return f"{declared.function.__module__}.{declared.function.__qualname__}"
