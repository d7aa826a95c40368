"""The queue filled with bundles, as an intake under load would have filled it."""

import random
import secrets
import time
from collections import Counter
from collections.abc import Sequence

from turnout.bundle import Bundle
from turnout.gcp.wiring import new_id
from turnout.poll import OnePer, Poll
from turnout.ports import Publisher
from turnout.vote import KEY_BYTES

BUNDLES_PER_PUBLISH = 100
PUBLISH_SECONDS = 20.0


def make_bundle(poll: Poll, votes: int) -> Bundle:
    """A bundle of votes that are spread over the poll's choices; each with a key of its own if the poll wants one."""
    accepted_at_ms = int(time.time() * 1000)
    picks = random.choices(range(len(poll.choices)), k=votes)
    if poll.one_per is OnePer.NONE:
        return Bundle(new_id(), poll.id, accepted_at_ms, dict(Counter(picks)))
    keyed = tuple((secrets.token_bytes(KEY_BYTES), choice) for choice in picks)
    return Bundle(new_id(), poll.id, accepted_at_ms, {}, keyed)


async def fill(
    publisher: Publisher,
    polls: Sequence[Poll],
    *,
    votes: int,
    bundles: int,
    per_publish: int = BUNDLES_PER_PUBLISH,
) -> None:
    """Publishes bundles of so many votes each, the polls in turn."""
    made = [make_bundle(polls[number % len(polls)], votes) for number in range(bundles)]
    for start in range(0, bundles, per_publish):
        await publisher.publish(made[start : start + per_publish], timeout_seconds=PUBLISH_SECONDS)
