"""Page tokens: where a list goes on, for which question, and until when."""

import base64
import binascii
from typing import TypeVar

import msgspec

from emulators.cloud_tasks.errors import InvalidArgument
from emulators.cloud_tasks.limits import PAGE_TOKEN_US_MAX

T = TypeVar("T")


class _Token(msgspec.Struct, frozen=True, array_like=True):
    parent: str
    filter: str
    after: str
    issued_us: int


def page_size(asked: int, largest: int) -> int:
    """How many a page holds: 0 means the largest; a larger one is cut to it."""
    if asked < 0:
        raise InvalidArgument("The page size cannot be negative.")
    return min(asked or largest, largest)


def token(parent: str, condition: str, after: str, now_us: int) -> str:
    """The token of the page that begins after `after`."""
    packed = msgspec.msgpack.encode(_Token(parent, condition, after, now_us))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def after(given: str, parent: str, condition: str, now_us: int) -> str:
    """Where the page of a token begins; empty without one. `InvalidArgument` for one of another list, or after 2 hours."""
    if not given:
        return ""
    try:
        packed = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
        read = msgspec.msgpack.decode(packed, type=_Token)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidArgument("The page token is invalid.") from None
    if (read.parent, read.filter) != (parent, condition):
        raise InvalidArgument("The page token belongs to another list, or to another filter.")
    if now_us - read.issued_us > PAGE_TOKEN_US_MAX:
        raise InvalidArgument("The page token has expired: it is valid for 2 hours.")
    return read.after
