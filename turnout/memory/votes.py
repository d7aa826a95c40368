"""The votes' ports in memory: the polls' store, shards and ledger, and the persisted tallies."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from turnout.base.clock import Clock
from turnout.votes.errors import AlreadyCounted, PollChanged, PollExists
from turnout.votes.fold import Delta, Posting
from turnout.votes.ledger import BundleEntry, KeyEntry, key_prefix
from turnout.votes.poll import Poll
from turnout.votes.tally import Books, Sums, Tally


class MemoryPollStore:
    """The polls' settings."""

    def __init__(self) -> None:
        self._polls: dict[str, Poll] = {}

    async def get(self, poll_id: str) -> Poll | None:
        """The poll, or None."""
        return self._polls.get(poll_id)

    async def create(self, poll: Poll) -> None:
        """Stores a new poll."""
        if poll.id in self._polls:
            raise PollExists(poll.id)
        self._polls[poll.id] = poll

    async def replace(self, old: Poll, new: Poll) -> None:
        """Replaces a poll that still is `old`."""
        if self._polls.get(old.id) != old:
            raise PollChanged(old.id)
        self._polls[old.id] = new

    async def list(self, limit: int) -> AsyncIterator[Poll]:
        """The polls, newest first."""
        newest_first = sorted(self._polls.values(), key=lambda poll: poll.created_at, reverse=True)
        for poll in newest_first[:limit]:
            yield poll


class MemoryCounters:
    """The sharded counters and the ledger."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._shards: dict[str, dict[int, Delta]] = {}
        self._ledger: dict[str, BundleEntry | KeyEntry] = {}

    async def commit(self, posting: Posting) -> None:
        """Writes a posting, all or nothing."""
        for name in posting.names:
            if name in self._ledger:
                raise AlreadyCounted(f"A ledger entry exists: {name}")
        self._ledger.update((entry.name, entry) for entry in posting.bundles)
        self._ledger.update((entry.name, entry) for entry in posting.keys)
        for delta in posting.deltas:
            shard = self.shard(delta.poll, delta.shard)
            for choice, number in delta.counts.items():
                shard.counts[choice] = shard.counts.get(choice, 0) + number
            shard.votes += delta.votes
            shard.duplicates += delta.duplicates
            shard.bundles += delta.bundles

    async def existing(self, names: Sequence[str]) -> set[str]:
        """Which of these ledger entries exist."""
        return {name for name in names if name in self._ledger}

    async def tally(self, poll: Poll) -> Tally:
        """The sum of a poll's shards."""
        counts = [0] * len(poll.choices)
        shards = self._shards_of(poll)
        for shard in shards:
            for choice, number in shard.counts.items():
                counts[choice] += number
        return Tally(
            poll=poll.id,
            counts=tuple(counts),
            votes=sum(shard.votes for shard in shards),
            duplicates=sum(shard.duplicates for shard in shards),
            as_of=self._clock.now(),
        )

    async def books(self, poll: Poll) -> Books:
        """Both sides of a poll's books."""
        shards = self._shards_of(poll)
        prefix = key_prefix(poll.id)
        bundles = [
            entry
            for entry in self._ledger.values()
            if isinstance(entry, BundleEntry) and entry.poll == poll.id
        ]
        return Books(
            poll=poll.id,
            as_of=self._clock.now(),
            shards=Sums(
                sum(shard.votes for shard in shards),
                sum(shard.duplicates for shard in shards),
                sum(shard.bundles for shard in shards),
            ),
            ledger=Sums(
                sum(entry.votes for entry in bundles),
                sum(entry.duplicates for entry in bundles),
                len(bundles),
            ),
            choices_votes=sum(sum(shard.counts.values()) for shard in shards),
            keys=sum(entry.keys for entry in bundles),
            key_entries=sum(name.startswith(prefix) for name in self._ledger),
        )

    def shard(self, poll: str, number: int) -> Delta:
        """A shard, as it is stored: whoever changes it tampers with the books."""
        shards = self._shards.setdefault(poll, {})
        return shards.setdefault(number, Delta(poll, number))

    @property
    def ledger(self) -> dict[str, BundleEntry | KeyEntry]:
        """The ledger, as it is stored: whoever changes it tampers with the books."""
        return self._ledger

    def _shards_of(self, poll: Poll) -> list[Delta]:
        return list(self._shards.get(poll.id, {}).values())


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
