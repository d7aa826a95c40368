"""Every port under contract, and the things that their tests are about."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from turnout.queue.message import Message
from turnout.queue.ports import ConsumerLog, Subscription, Topic
from turnout.votes.bundle import Bundle
from turnout.votes.fold import Delta, Posting
from turnout.votes.ledger import BundleEntry, KeyEntry, bundle_prefix, key_prefix
from turnout.votes.poll import OnePer, Poll
from turnout.votes.ports import Counters, PollStore, Tallies
from turnout.votes.tally import Tally

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EXPIRY = NOON + timedelta(days=100)


@dataclass(frozen=True, kw_only=True)
class Services:
    topic: Topic
    subscription: Subscription
    dead_letter_topic: Topic
    dead_letter_subscription: Subscription
    polls: PollStore
    counters: Counters
    consumer_log: ConsumerLog
    tallies: Tallies


def at(seconds: float) -> datetime:
    """A moment, in seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def a_poll(poll_id: str = "finals", *, choices: int = 3, created_at: datetime = NOON) -> Poll:
    return Poll(
        id=poll_id,
        title="The finals — „größte“ 🏆",
        choices=tuple(f"choice.`{index}`/✓" for index in range(choices)),
        opens_at=created_at,
        closes_at=created_at + timedelta(hours=1, microseconds=123_456),
        created_at=created_at,
        one_per=OnePer.KEY,
        shards=4,
    )


def a_bundle(number: int, *, poll: str = "finals") -> Bundle:
    return Bundle(f"{number:032x}", poll, 1_000 + number, {0: 1 + number, 2: 7}, ((b"%016d" % number, 1),))


def a_posting(
    number: int,
    *,
    poll: str = "finals",
    shard: int = 0,
    counts: dict[int, int] | None = None,
    keys: tuple[str, ...] = (),
    duplicates: int = 0,
) -> Posting:
    """A posting of one bundle whose books balance."""
    counts = {0: 1} if counts is None else counts
    votes = sum(counts.values())
    return Posting(
        bundles=(BundleEntry(bundle_name(number, poll), poll, votes, duplicates, len(keys), EXPIRY),),
        keys=tuple(KeyEntry(key_prefix(poll) + key, EXPIRY) for key in keys),
        deltas=(Delta(poll, shard, counts, votes, duplicates, 1),),
    )


def bundle_name(number: int, poll: str = "finals") -> str:
    return f"{bundle_prefix(poll)}{number:032x}"


def a_tally(
    votes: int, *, as_of: datetime, certified_at: datetime | None = None, poll: str = "finals"
) -> Tally:
    return Tally(
        poll=poll,
        counts=(votes, 0, 0),
        votes=votes,
        duplicates=2,
        as_of=as_of,
        certified_at=certified_at,
    )


async def lease_all(subscription: Subscription, number: int) -> list[Message]:
    """Leases until that many messages are held; bounded, for an empty answer does not mean an empty queue."""
    leased: list[Message] = []
    for _ in range(20):
        if len(leased) >= number:
            break
        leased += await subscription.lease(number - len(leased), wait_seconds=2)
    return leased
