"""What can go wrong with polls, votes and their books."""

from datetime import datetime

from turnout.base.clock import moment
from turnout.base.errors import TurnoutError
from turnout.queue.errors import MessageUnreadable


class KeyMissing(TurnoutError):
    """The poll counts one vote per voter or key, and the vote bears none."""

    def __init__(self, poll: str, wanted: str, *, field: str) -> None:
        self.field = field
        super().__init__(f"Poll {poll} counts one vote per {wanted}: send {field.removeprefix('/')}.")


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


class AlreadyCounted(TurnoutError):
    """A commit named a ledger entry that exists; nothing of the commit was applied."""


class BundleUnreadable(MessageUnreadable):
    """A message's data is not a bundle."""
