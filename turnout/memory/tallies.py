"""The persisted tallies and their history."""

from datetime import datetime

from turnout.votes.poll import Poll
from turnout.votes.tally import Tally


class MemoryTallies:
    """The persisted tallies; the last of a poll's history is its present one."""

    def __init__(self) -> None:
        self._history: dict[str, list[tuple[datetime, Tally]]] = {}

    async def get(self, poll_id: str) -> Tally | None:
        """The persisted tally, or None."""
        history = self._history.get(poll_id)
        return history[-1][1] if history else None

    async def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:  # noqa: ARG002  # the choices are kept for readers of the real one
        """Persists a tally and its place in the history, if both are later than what is there."""
        history = self._history.setdefault(tally.poll, [])
        if history and (slot <= history[-1][0] or not tally.supersedes(history[-1][1])):
            return False
        history.append((slot, tally))
        return True

    async def history(self, poll_id: str, limit: int) -> list[tuple[datetime, Tally]]:
        """The newest slots with their tallies, in the order of time."""
        return self._history.get(poll_id, [])[-limit:]
