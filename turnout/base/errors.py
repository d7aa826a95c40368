"""What can go wrong, one type a fault: each message names the fault and the mend.

The types know no HTTP; `functions/replies.py` maps them to statuses in one table. The text of a message may be shown to
the caller: it carries nothing secret.
"""

from collections.abc import Sequence
from datetime import datetime


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


class KeyMissing(TurnoutError):
    """The poll counts one vote per voter or key, and the vote bears none."""

    def __init__(self, poll: str, wanted: str, *, field: str) -> None:
        self.field = field
        super().__init__(f"Poll {poll} counts one vote per {wanted}: send {field.removeprefix('/')}.")


class BatchRefused(TurnoutError):
    """One or more votes of a batch are at fault; none was accepted. `faults` maps an index to its fault."""

    def __init__(self, faults: dict[int, TurnoutError], votes: int) -> None:
        self.faults = faults
        super().__init__(
            f"{len(faults)} of {votes} votes are at fault; none was accepted. Mend those and send all again."
        )


# Polls.


class PollUnknown(TurnoutError):
    """No poll has this id."""

    def __init__(self, poll: str) -> None:
        self.poll = poll
        super().__init__(f"There is no poll {poll[:100]!r}.")


class PollExists(TurnoutError):
    """A poll with this id was created before."""

    def __init__(self, poll: str) -> None:
        self.poll = poll
        super().__init__(f"Poll {poll} exists already; choose another id, or change it with PATCH.")


class PollChanged(TurnoutError):
    """Somebody else changed the poll meanwhile."""

    def __init__(self, poll: str) -> None:
        self.poll = poll
        super().__init__(
            f"Poll {poll} was changed by somebody else meanwhile; read it again and repeat the change."
        )


class PollNotOpen(TurnoutError):
    """The vote came before its poll opened."""

    def __init__(self, poll: str, opens_at: datetime) -> None:
        self.poll = poll
        self.opens_at = opens_at
        super().__init__(f"Poll {poll} opens at {moment(opens_at)}; this vote was not counted.")


class PollClosed(TurnoutError):
    """The vote came after its poll had closed."""

    def __init__(self, poll: str, closed_at: datetime) -> None:
        self.poll = poll
        self.closed_at = closed_at
        super().__init__(f"Poll {poll} closed at {moment(closed_at)}; this vote was not counted.")


class ChoiceUnknown(TurnoutError):
    """The poll has no such choice."""

    def __init__(self, poll: str, choice: str, *, field: str = "/choice") -> None:
        self.poll = poll
        self.field = field
        super().__init__(f"Poll {poll} has no choice {choice[:100]!r}.")


class ChangeRefused(TurnoutError):
    """A change that the poll's state does not allow."""


class NotCertifiable(TurnoutError):
    """The poll's tally cannot be declared final yet."""

    def __init__(self, poll: str, why: str) -> None:
        self.poll = poll
        super().__init__(f"Poll {poll} cannot be certified yet: {why}.")


# The queue and the databases.


class QueueUnavailable(TurnoutError):
    """The queue cannot take the votes now; nothing was promised. `retry_after_seconds` says when to try again."""

    def __init__(self, why: str, *, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{why} The vote was not confirmed; send it again, with the same Idempotency-Key.")


class ServiceUnavailable(TurnoutError):
    """A backing service failed, or its answer was lost."""

    def __init__(self, service: str, why: str) -> None:
        self.service = service
        super().__init__(f"{service} is unavailable: {why}")


class OutcomeUnknown(ServiceUnavailable):
    """The answer was lost: the write may or may not have gone through. Repeat the very same write."""


class AlreadyCounted(TurnoutError):
    """A commit named a ledger entry that exists; nothing of the commit was applied."""


class BundleUnreadable(TurnoutError):
    """A message's data is no bundle; it goes to the dead-letter topic with this reason."""


class BooksUnbalanced(TurnoutError):
    """Shards and ledger of a poll disagree."""


def moment(at: datetime) -> str:
    """A moment as RFC 3339 in UTC, as people and the HTTP API read it."""
    text = at.isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")
