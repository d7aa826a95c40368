"""The filter of ListQueues: comparisons of a queue's fields, joined by AND."""

import operator
import re
from collections.abc import Callable
from typing import Any

from emulators.cloud_tasks.errors import InvalidArgument

_COMPARISON = re.compile(r'\s*([A-Za-z_][\w.]*)\s*(<=|>=|!=|<|>|=|:)\s*("(?:[^"\\]|\\.)*"|[^\s"]+)\s*')
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Condition = Callable[[Any], bool]


def condition_of(text: str) -> Condition:
    """Whether a Queue message meets a filter like `state: PAUSED AND rateLimits.maxDispatchesPerSecond >= 5`.

    `:` is "has": the value, or part of a text. `InvalidArgument` for what the stand-in does not read (OR, NOT, brackets).
    """
    if not text.strip():
        return lambda _: True
    comparisons = [_comparison(part) for part in re.split(r"\s+AND\s+", text.strip())]
    return lambda queue: all(holds(queue) for holds in comparisons)


def _comparison(part: str) -> Condition:
    found = _COMPARISON.fullmatch(part)
    if found is None:
        raise InvalidArgument(
            f"The filter {part!r} cannot be read: this stand-in knows FIELD OPERATOR VALUE, joined by AND."
        )
    path, sign, written = found.groups()
    wanted = re.sub(r"\\(.)", r"\1", written[1:-1]) if written.startswith('"') else written
    return lambda queue: _holds(_value(queue, path), sign, wanted)


def _value(message: Any, path: str) -> Any:
    field = None
    for part in path.split("."):
        name = re.sub(r"([A-Z])", lambda capital: "_" + capital[1].lower(), part)
        field = getattr(message, "DESCRIPTOR", None) and message.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            raise InvalidArgument(f"The filter names {path}, which is not a field of Queue.")
        message = getattr(message, name)
    if field is not None and field.enum_type is not None:
        return field.enum_type.values_by_number[message].name
    if hasattr(message, "ToMicroseconds"):
        return message.ToMicroseconds() / 1_000_000
    return message


def _holds(value: Any, sign: str, wanted: str) -> bool:
    other: Any = wanted
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            other = float(wanted.removesuffix("s"))
        except ValueError:
            raise InvalidArgument(f"The filter compares a number with {wanted!r}.") from None
    elif not isinstance(value, str):
        value = str(value)
    if sign == ":":
        return wanted in value if isinstance(value, str) else bool(value == other)
    if sign in _ORDER:
        return _ORDER[sign](value, other)
    return bool((value == other) is (sign == "="))
