"""What a check found."""

from enum import StrEnum

import msgspec


class State(StrEnum):
    """How a check ended."""

    GOOD = "good"
    FAULT = "fault"
    #: It could not be looked at; that is not the same as good.
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at: what it says, and how a fault is mended."""

    check: str
    state: State
    says: str
    mend: str = ""


def good(check: str, says: str) -> Finding:
    """Nothing is wrong."""
    return Finding(check=check, state=State.GOOD, says=says)


def fault(check: str, says: str, mend: str) -> Finding:
    """Something is wrong, and this mends it."""
    return Finding(check=check, state=State.FAULT, says=says, mend=mend)
