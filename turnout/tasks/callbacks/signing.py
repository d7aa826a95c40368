"""Signatures of callbacks: Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks, spec).

The receiver computes HMAC-SHA256 over `id.timestamp.body` with the shared secret and compares it with each signature.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from turnout.base.errors import SettingsInvalid

PREFIX = "whsec_"
#: What the specification asks of a secret, in bytes.
SECRET_BYTES_MIN = 24
SECRET_BYTES_MAX = 64
#: One in use, and one while it is changed.
SECRETS_MAX = 2


class Signing:
    """Signs with every secret, so that receivers may change from one to the other in their own time."""

    def __init__(self, secrets: Sequence[bytes] = ()) -> None:
        self._secrets = secrets

    @classmethod
    def read(cls, text: str) -> "Signing":
        """From a setting: `whsec_…`, two between spaces at most; `SettingsInvalid` never shows them."""
        given = text.split()
        if len(given) > SECRETS_MAX:
            raise SettingsInvalid([f"TURNOUT_CALLBACK_SECRETS has {SECRETS_MAX} secrets at most"])
        return cls([_secret(each) for each in given])

    def headers(self, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
        """`webhook-id`, stable over attempts, `webhook-timestamp`, and `webhook-signature` if there is a secret."""
        timestamp = str(int(now.timestamp()))
        named = {"webhook-id": message_id, "webhook-timestamp": timestamp}
        if not self._secrets:
            return named
        signed = f"{message_id}.{timestamp}.".encode() + body
        signatures = [
            "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
            for secret in self._secrets
        ]
        return {**named, "webhook-signature": " ".join(signatures)}


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(PREFIX) or not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise SettingsInvalid(
            [
                f"a secret of TURNOUT_CALLBACK_SECRETS is {PREFIX} and the base64 of {SECRET_BYTES_MIN} bytes or more"
            ]
        )
    return secret
