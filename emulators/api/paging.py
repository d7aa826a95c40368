"""Lists in pages: a token says after which name the next page begins."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from emulators.api.refused import invalid

T = TypeVar("T")


def page(
    things: Sequence[T], name_of: Callable[[T], str], *, size: int, token: str, size_max: int
) -> tuple[list[T], str]:
    """One page of things that are sorted by name, and the next page's token; empty after the last one."""
    if size < 0:
        raise invalid("Page size must not be negative.")
    after = _after(token)
    rest = [each for each in things if name_of(each) > after]
    shown = rest[: min(size or size_max, size_max)]
    more = len(rest) > len(shown)
    return shown, base64.urlsafe_b64encode(name_of(shown[-1]).encode()).decode() if more else ""


def _after(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError) as fault:
        raise invalid("Page token is not valid.") from fault
