"""The subscription: bundles that wait, and lanes that wait for bundles."""

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec
import simpy


class Bundles(msgspec.Struct):
    """Bundles alike: so many, of so many votes each, accepted at this moment (the mean over their votes)."""

    number: int
    votes_each: int
    accepted_at: float

    @property
    def votes(self) -> int:
        """All their votes."""
        return self.number * self.votes_each


class Backlog:
    """First in, first out; a lane that finds nothing waits until something comes."""

    def __init__(self, env: simpy.Environment) -> None:
        self.votes = 0
        self.bundles = 0
        self._env = env
        self._waiting: deque[Bundles] = deque()
        self._lanes: deque[simpy.Event] = deque()

    def put(self, bundles: Bundles) -> None:
        """Adds bundles; each wakes a lane that waits."""
        self._waiting.append(bundles)
        self.votes += bundles.votes
        self.bundles += bundles.number
        for _ in range(min(bundles.number, len(self._lanes))):
            self._lanes.popleft().succeed()

    def lease(self, messages_max: int) -> list[Bundles]:
        """Takes up to so many bundles, the oldest first; none if none waits."""
        taken: list[Bundles] = []
        room = messages_max
        while room and self._waiting:
            first = self._waiting[0]
            if first.number > room:
                first.number -= room
                first = Bundles(room, first.votes_each, first.accepted_at)
            else:
                self._waiting.popleft()
            room -= first.number
            self.votes -= first.votes
            self.bundles -= first.number
            taken.append(first)
        return taken

    def something_comes(self) -> simpy.Event:
        """Happens when a bundle comes for this lane."""
        event = self._env.event()
        self._lanes.append(event)
        return event

    def give_up(self, event: simpy.Event) -> None:
        """The lane waits no longer: it is woken, and finds nothing."""
        if not event.triggered:
            self._lanes.remove(event)
            event.succeed()


def cut(lease: Sequence[Bundles], entries_max: int, *, keys_each_vote: int) -> Iterator[list[Bundles]]:
    """Cuts a lease into commits of at most so many ledger entries, never within a bundle: `turnout.votes.fold.batches`."""
    batch: list[Bundles] = []
    entries = 0
    for group in lease:
        left = group.number
        needs = 1 + keys_each_vote * group.votes_each
        while left:
            fits = max((entries_max - entries) // needs, 0 if batch else 1)
            taken = min(left, fits)
            if taken:
                batch.append(Bundles(taken, group.votes_each, group.accepted_at))
                entries += taken * needs
                left -= taken
            if left:
                yield batch
                batch, entries = [], 0
    if batch:
        yield batch
