"""The ledger: what has been counted, an entry per bundle and an entry per key. An entry is never written twice."""

from datetime import datetime, timedelta

import msgspec

from turnout.votes.poll import Poll


class BundleEntry(msgspec.Struct, frozen=True):
    """That a bundle was counted, and how many votes and duplicates it held. It names no choice and no key."""

    name: str
    poll: str
    votes: int
    duplicates: int
    #: Of the votes, those with a key: as many key entries were written with this one.
    keys: int
    expire_at: datetime


class KeyEntry(msgspec.Struct, frozen=True):
    """That a key has voted. Nothing but its name: no choice, no bundle, no moment."""

    name: str
    expire_at: datetime


def bundle_prefix(poll: str) -> str:
    """What the names of a poll's bundle entries begin with."""
    return f"{poll}:b:"


def key_prefix(poll: str) -> str:
    """What the names of a poll's key entries begin with."""
    return f"{poll}:k:"


def expiry(poll: Poll, *, lifetime: timedelta, margin: timedelta, now: datetime) -> datetime:
    """When a poll's entries may go: after the poll has closed, however late, and after any replay of its messages."""
    latest = max(poll.created_at + lifetime, now) + margin
    # Whole days: the entries of a bundle share their expiry with all others, so it tells nothing about who came with whom.
    return latest.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
