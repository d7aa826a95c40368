"""The queue filled with bundles, as an intake under load would have filled it."""

import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from turnout.base.chance import random_id
from turnout.queue.message import Outgoing
from turnout.queue.ports import Topic
from turnout.votes.bundle import Bundle, encode
from turnout.votes.poll import OnePer, Poll
from turnout.votes.vote import KEY_BYTES

BUNDLES_PER_PUBLISH = 100
PUBLISH_SECONDS = 20.0
SPREADS_MAX = 1_000


def make_bundles(polls: Sequence[Poll], *, votes: int, bundles: int) -> Iterator[Bundle]:
    """Bundles of so many votes each, the polls in turn; each vote with a key of its own if the poll wants one.

    The votes are spread over the poll's choices by chance; large numbers of bundles share a thousand such spreads.
    """
    spreads: dict[int, list[list[int]]] = {}
    for number in range(bundles):
        poll = polls[number % len(polls)]
        choices = len(poll.choices)
        if choices not in spreads:
            spreads[choices] = [
                random.choices(range(choices), k=votes) for _ in range(min(bundles, SPREADS_MAX))
            ]
        of_poll = spreads[choices]
        yield _bundle(poll, of_poll[number % len(of_poll)])


def make_bundle(poll: Poll, votes: int) -> Bundle:
    """One such bundle."""
    return next(make_bundles([poll], votes=votes, bundles=1))


def _bundle(poll: Poll, picks: Sequence[int]) -> Bundle:
    accepted_at_ms = int(time.time() * 1000)
    if poll.one_per is OnePer.NONE:
        return Bundle(random_id(), poll.id, accepted_at_ms, dict(Counter(picks)))
    keyed = tuple((secrets.token_bytes(KEY_BYTES), choice) for choice in picks)
    return Bundle(random_id(), poll.id, accepted_at_ms, {}, keyed)


async def fill(
    topic: Topic,
    polls: Sequence[Poll],
    *,
    votes: int,
    bundles: int,
    per_publish: int = BUNDLES_PER_PUBLISH,
) -> None:
    """Publishes bundles of so many votes each, the polls in turn."""
    made = make_bundles(polls, votes=votes, bundles=bundles)
    while batch := list(islice(made, per_publish)):
        messages = [Outgoing(encode(bundle)) for bundle in batch]
        await topic.publish(messages, timeout_seconds=PUBLISH_SECONDS)
