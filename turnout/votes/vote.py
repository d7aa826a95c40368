"""A vote: one accepted choice in one poll; and its key, which makes it unique there."""

import hashlib
import hmac
from base64 import urlsafe_b64encode

import msgspec

#: 128 bits of the HMAC: two of a billion keys collide with a chance of 10⁻²¹, and a ledger name stays short.
KEY_BYTES = 16


class Vote(msgspec.Struct, frozen=True, array_like=True):
    """One accepted choice, as its index in the poll; `key` is the hash that makes it unique, or empty."""

    poll: str
    choice: int
    key: bytes = b""


class Hasher:
    """Hashes voters and Idempotency-Keys under the secret; the secret and what was hashed are kept nowhere."""

    def __init__(self, pepper: bytes) -> None:
        self._keyed = hmac.new(pepper, digestmod=hashlib.sha256)

    def voter_key(self, poll: str, voter: str) -> bytes:
        """The key of a voter in a poll; the same voter has another key in another poll."""
        return self._digest("voter", poll, voter)[:KEY_BYTES]

    def request_key(self, poll: str, idempotency_key: str, index: int) -> bytes:
        """The key of the vote at `index` in the request that bears an Idempotency-Key."""
        return self._digest("request", poll, f"{index}\0{idempotency_key}")[:KEY_BYTES]

    def vote_id(self, poll: str, idempotency_key: str, index: int) -> str:
        """The id that every repeat of the request gets; it does not tell the key."""
        return vote_id_text(self._digest("vote id", poll, f"{index}\0{idempotency_key}")[:KEY_BYTES])

    def _digest(self, purpose: str, poll: str, text: str) -> bytes:
        # Purpose and poll cannot contain the separator, so no two triples share an input.
        mac = self._keyed.copy()
        mac.update(f"{purpose}\0{poll}\0{text}".encode())
        return mac.digest()


def vote_id_text(random: bytes) -> str:
    """A vote's id as text, safe in URLs."""
    return urlsafe_b64encode(random).rstrip(b"=").decode()
