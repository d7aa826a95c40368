"""What can go wrong, one type a fault: each message names the fault and the mend.

A family names its own faults beside its code. The types know no HTTP: `functions/` maps them to statuses, in a table
per family. The text of a message may be shown to the caller: it carries nothing secret.
"""

from collections.abc import Mapping, Sequence


class TurnoutError(Exception):
    """The base of every fault that Turnout names."""


class SettingsInvalid(TurnoutError):
    """The environment is incomplete or contradicts itself."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(
            "The settings cannot be used; set these environment variables right: " + "; ".join(faults)
        )


# What a client sends.


class RequestInvalid(TurnoutError):
    """A request that cannot be understood; `field` is a JSON pointer to the fault, or empty for the whole body."""

    def __init__(self, fault: str, *, field: str = "") -> None:
        self.field = field
        super().__init__(fault)


class BodyInvalid(RequestInvalid):
    """The body is not what its media type promises, or its JSON has another shape than asked for."""


class ValueRefused(RequestInvalid):
    """A well-formed request with a value outside the stated limits."""


class BodyTooLarge(TurnoutError):
    """The body exceeds its limit, in bytes; or a batch its votes."""

    def __init__(self, limit: int, unit: str) -> None:
        self.limit = limit
        self.unit = unit
        super().__init__(f"The body is too large: at most {limit:,} {unit} are taken in one request.")


class BodyTooSlow(TurnoutError):
    """The body was not all there in time, in seconds; nothing of it was used."""

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        super().__init__(
            f"The body came too slowly: it must be here within {seconds_max:g} seconds. Nothing of it was used; "
            "send it again."
        )


class MediaTypeUnsupported(TurnoutError):
    """The body's media type or charset is none that the endpoint reads."""

    def __init__(self, given: str, supported: Sequence[str]) -> None:
        self.supported = tuple(supported)
        shown = given[:100] if given else "none"
        super().__init__(
            f"The media type {shown!r} is not supported; send {' or '.join(supported)}, in UTF-8."
        )


class PathUnknown(TurnoutError):
    """No resource has this path."""

    def __init__(self, path: str) -> None:
        super().__init__(f"Nothing is at {path[:100]!r}.")


class MethodNotAllowed(TurnoutError):
    """The resource exists, but not for this method."""

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__(f"{method[:20]} is not allowed here; use {' or '.join(allowed)}.")


class BatchRefused(TurnoutError):
    """One or more items of a batch are at fault; none was accepted. `faults` maps an index to its fault."""

    def __init__(self, faults: Mapping[int, TurnoutError], total: int, unit: str) -> None:
        self.faults = faults
        super().__init__(
            f"{len(faults)} of {total} {unit} are at fault; none was accepted. Mend those and send all again."
        )


# Backing services.


class ServiceUnavailable(TurnoutError):
    """A backing service failed, or its answer was lost."""

    def __init__(self, service: str, why: str) -> None:
        self.service = service
        super().__init__(f"{service} is unavailable: {why}")


class OutcomeUnknown(ServiceUnavailable):
    """The answer was lost: the write may or may not have gone through. Repeat the very same write."""
