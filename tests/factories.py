"""What tests make: clocks, settings, polls, bundles, messages, and strategies for them."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from turnout.gcp.votes.settings import Settings
from turnout.queue.message import Message, Outgoing
from turnout.votes.bundle import Bundle, encode
from turnout.votes.fold import Account, Leased, batches
from turnout.votes.poll import Poll

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ACCOUNT = Account(shard=3, expire_at=NOON + 100 * DAY)
ACCOUNTS = {"finals": ACCOUNT, "semis": ACCOUNT}


class FixedClock:
    """A clock that the test sets: `seconds` after noon."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def make_poll(**changes: Any) -> Poll:
    """A poll of three choices, open from noon for a day."""
    usual: dict[str, Any] = {
        "id": "finals",
        "title": "Finals",
        "choices": ("Ada", "Bob", "Eve"),
        "opens_at": NOON,
        "closes_at": NOON + DAY,
        "created_at": NOON,
    }
    return Poll(**{**usual, **changes})


def make_settings(**changes: Any) -> Settings:
    """Settings that read nothing from this machine's environment."""
    return Settings(**{"project": "test", **changes})


def messages_of(bundles: Iterable[Bundle]) -> list[Outgoing]:
    """Bundles as they are published."""
    return [Outgoing(encode(bundle)) for bundle in bundles]


def make_message(bundle: Bundle, ack_id: str = "1") -> Message:
    """A bundle as it is leased."""
    return Message(ack_id=ack_id, id=ack_id, data=encode(bundle))


def lease_of(bundle: Bundle, ack_id: str = "1") -> Leased:
    """A bundle that a lane holds."""
    return Leased(make_message(bundle, ack_id), bundle, ACCOUNT)


def hex_id(number: int) -> str:
    """The bundle id of a number."""
    return f"{number:032x}"


def key_of(number: int) -> bytes:
    """The key of a number."""
    return number.to_bytes(16, "big")


#: Bundles of few ids, keys and choices, so that repeats are common.
bundles = st.builds(
    lambda number, poll, at, counts, keys: Bundle(
        # The content follows from the id, as in life: a bundle that comes again is the same one.
        hex_id(number),
        poll,
        at,
        counts or ({} if keys else {0: 1}),
        tuple((key_of(key), choice) for key, choice in keys),
    ),
    number=st.integers(0, 2**64),
    poll=st.sampled_from(["finals", "semis"]),
    at=st.integers(0, 1_000),
    counts=st.dictionaries(st.integers(0, 2), st.integers(1, 50), max_size=3),
    keys=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=6),
)
distinct_bundles = st.lists(bundles, max_size=12, unique_by=lambda bundle: bundle.id)


async def cut_into_batches(leased: list[Leased], entries_max: int) -> list[list[Leased]]:
    """A lease's batches, all of them."""

    async def one_by_one() -> AsyncIterator[Leased]:
        for each in leased:
            yield each

    return [batch async for batch in batches(one_by_one(), entries_max)]
