"""A tally: a poll's totals at a moment; and its books, which prove them."""

from datetime import datetime

import msgspec


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """A poll's totals, as read at one moment."""

    poll: str
    #: Votes per choice, in the order of the poll's choices.
    counts: tuple[int, ...]
    votes: int
    duplicates: int
    #: The moment of the read: all counts committed before it are in, none after it.
    as_of: datetime
    certified_at: datetime | None = None

    def supersedes(self, other: "Tally | None") -> bool:
        """Whether it may replace another tally: only a later read may, so that totals never go back.

        A certified one is final: a run that read before the certification and writes after it changes nothing.
        """
        if other is None:
            return True
        if other.certified_at is not None and self.certified_at is None:
            return False
        return self.as_of > other.as_of


class Sums(msgspec.Struct, frozen=True):
    """One side of the books: what the shards, or the ledger's entries, add up to."""

    votes: int
    duplicates: int
    bundles: int


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides of a poll's books, read at one moment."""

    poll: str
    as_of: datetime
    shards: Sums
    ledger: Sums
    #: The shards' counts per choice, added up.
    choices_votes: int
    #: Keys that the bundle entries say were counted, and key entries that exist.
    keys: int
    key_entries: int

    @property
    def faults(self) -> tuple[str, ...]:
        """What does not balance, as sentences with figures; empty: the books balance."""
        faults = [
            f"the shards hold {on_shards:,} {what}, the ledger {in_ledger:,}"
            for what, on_shards, in_ledger in (
                ("votes", self.shards.votes, self.ledger.votes),
                ("duplicates", self.shards.duplicates, self.ledger.duplicates),
                ("bundles", self.shards.bundles, self.ledger.bundles),
            )
            if on_shards != in_ledger
        ]
        if self.choices_votes != self.shards.votes:
            faults.append(
                f"the choices add up to {self.choices_votes:,} votes, the shards to {self.shards.votes:,}"
            )
        if self.keys != self.key_entries:
            faults.append(f"{self.keys:,} keys were counted, but {self.key_entries:,} key entries exist")
        return tuple(faults)

    @property
    def balance(self) -> bool:
        """Whether shards and ledger agree."""
        return not self.faults
