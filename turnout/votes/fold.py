"""Folding: many bundles become one posting, which is counted in one commit."""

from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from turnout.queue.message import Message
from turnout.votes.bundle import Bundle
from turnout.votes.ledger import BundleEntry, KeyEntry, bundle_prefix, key_prefix


class Account(msgspec.Struct, frozen=True):
    """Where a lane books a poll's votes: its own shard, and the expiry of the ledger's entries."""

    shard: int
    expire_at: datetime


class Leased(msgspec.Struct, frozen=True):
    """A bundle that is leased, with its message and the account that it is booked to."""

    message: Message
    bundle: Bundle
    account: Account


class Delta(msgspec.Struct):
    """What is added to one shard of one poll."""

    poll: str
    shard: int
    counts: dict[int, int] = msgspec.field(default_factory=dict)
    votes: int = 0
    duplicates: int = 0
    bundles: int = 0


class Posting(msgspec.Struct, frozen=True):
    """What one commit writes, all or nothing: ledger entries that must not exist yet, and a delta per poll."""

    bundles: tuple[BundleEntry, ...] = ()
    keys: tuple[KeyEntry, ...] = ()
    deltas: tuple[Delta, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of all ledger entries."""
        return [entry.name for entry in self.bundles] + [entry.name for entry in self.keys]

    @property
    def votes(self) -> int:
        """The votes that it counts."""
        return sum(delta.votes for delta in self.deltas)

    @property
    def duplicates(self) -> int:
        """The votes that it counts as duplicates."""
        return sum(delta.duplicates for delta in self.deltas)


def fold(
    bundles: Sequence[Bundle], accounts: Mapping[str, Account], counted: Collection[str] = frozenset()
) -> Posting:
    """Folds bundles into a posting.

    A bundle counts once, a key once per poll: of several votes with one key the first accepted counts, the others are
    duplicates. `counted` names ledger entries that exist already; `accounts` has each poll's account.
    """
    seen = set(counted)
    entries: list[BundleEntry] = []
    keys: list[KeyEntry] = []
    deltas: dict[str, Delta] = {}
    for bundle in sorted(bundles, key=lambda each: (each.accepted_at_ms, each.id)):
        name = bundle_prefix(bundle.poll) + bundle.id
        if name in seen:
            continue
        seen.add(name)
        account = accounts[bundle.poll]
        delta = deltas.get(bundle.poll)
        if delta is None:
            delta = deltas[bundle.poll] = Delta(bundle.poll, account.shard)
        counts = delta.counts
        votes = 0
        for choice, number in bundle.counts.items():
            counts[choice] = counts.get(choice, 0) + number
            votes += number
        new_keys = 0
        prefix = key_prefix(bundle.poll)
        for key, choice in bundle.keyed:
            key_name = prefix + key.hex()
            if key_name not in seen:
                seen.add(key_name)
                keys.append(KeyEntry(key_name, account.expire_at))
                counts[choice] = counts.get(choice, 0) + 1
                new_keys += 1
        votes += new_keys
        duplicates = len(bundle.keyed) - new_keys
        entries.append(BundleEntry(name, bundle.poll, votes, duplicates, new_keys, account.expire_at))
        delta.votes += votes
        delta.duplicates += duplicates
        delta.bundles += 1
    return Posting(tuple(entries), tuple(keys), tuple(deltas.values()))


async def batches(leased: AsyncIterable[Leased], entries_max: int) -> AsyncGenerator[list[Leased], None]:
    """Cuts a lease into batches of at most `entries_max` ledger entries each, never within a bundle; reads no further."""
    batch: list[Leased] = []
    entries = 0
    async for each in leased:
        needs = 1 + len(each.bundle.keyed)
        if batch and entries + needs > entries_max:
            yield batch
            batch, entries = [], 0
        batch.append(each)
        entries += needs
    if batch:
        yield batch
