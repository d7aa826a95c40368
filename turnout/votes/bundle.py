"""A bundle: the votes of one poll in one Pub/Sub message, under an id that is kept across retries.

Votes without a key are interchangeable, so a bundle holds their number per choice: it costs the same for one as for
five hundred, and nobody can read an order from it.
"""

import re
from collections.abc import Iterable

import msgspec

from turnout.votes.errors import BundleUnreadable
from turnout.votes.poll import CHOICES_MAX, POLL_ID
from turnout.votes.vote import KEY_BYTES, Vote

BUNDLE_ID = re.compile(r"[0-9a-f]{32}")
#: Votes in one bundle: what a commit of ledger entries can hold, with room to spare.
BUNDLE_VOTES_MAX = 1_000
FORMAT = "turnout/1"


class Bundle(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The votes of one poll that were published together."""

    #: 32 hex digits, made before the first publish.
    id: str
    poll: str
    #: When the newest of the votes was accepted, in milliseconds of Unix time.
    accepted_at_ms: int
    #: Votes without a key: the number of votes per choice (its index in the poll).
    counts: dict[int, int]
    #: Votes with a key, as (key, choice), in the order of acceptance.
    keyed: tuple[tuple[bytes, int], ...] = ()
    format: str = FORMAT

    @property
    def votes(self) -> int:
        """The number of votes."""
        return sum(self.counts.values()) + len(self.keyed)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Bundle)


def pack(bundle_id: str, poll: str, accepted_at_ms: int, votes: Iterable[Vote]) -> Bundle:
    """Packs votes of one poll into a bundle."""
    counts: dict[int, int] = {}
    keyed = []
    for vote in votes:
        if vote.key:
            keyed.append((vote.key, vote.choice))
        else:
            counts[vote.choice] = counts.get(vote.choice, 0) + 1
    return Bundle(bundle_id, poll, accepted_at_ms, counts, tuple(keyed))


def encode(bundle: Bundle) -> bytes:
    """The bundle as a message's data (MessagePack)."""
    return _encoder.encode(bundle)


def decode(data: bytes) -> Bundle:
    """The bundle in a message's data; `BundleUnreadable` says why there is none."""
    try:
        bundle = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleUnreadable(f"The data is not a bundle: {error}.") from None
    fault = _fault(bundle)
    if fault:
        raise BundleUnreadable(f"The bundle is malformed: {fault}.")
    return bundle


def _fault(bundle: Bundle) -> str:
    if bundle.format != FORMAT:
        return f"its format is not {FORMAT}"
    if not BUNDLE_ID.fullmatch(bundle.id):
        return "its id is not 32 hex digits"
    if not POLL_ID.fullmatch(bundle.poll):
        return "its poll's id is malformed"
    if min(bundle.counts.values(), default=1) < 1:
        return "a count is below 1"
    choices = [*bundle.counts, *[choice for _, choice in bundle.keyed]]
    if not choices or min(choices) < 0 or max(choices) >= CHOICES_MAX:
        return "it has no votes or an impossible choice"
    if bundle.votes > BUNDLE_VOTES_MAX:
        return f"it has over {BUNDLE_VOTES_MAX:,} votes"
    if {len(key) for key, _ in bundle.keyed} - {KEY_BYTES}:
        return f"a key does not have {KEY_BYTES} bytes"
    return ""
