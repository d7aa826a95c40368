"""What can go wrong with the queue."""

from turnout.base.errors import TurnoutError


class QueueUnavailable(TurnoutError):
    """The queue cannot take anything now; nothing was promised. `retry_after_seconds` says when to try again."""

    def __init__(self, why: str, *, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{why} Nothing was confirmed; send it again, with the same Idempotency-Key.")


class MessageUnreadable(TurnoutError):
    """A message's data is not what its topic carries; it goes to the dead-letter topic with this reason."""
