"""Tokens like Google's: an OIDC ID token says who calls, an OAuth access token what the caller may do."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

#: Who issues Google's ID tokens: a handler that checks `iss` needs no other code here.
ISSUER = "https://accounts.google.com"
ALGORITHM = "RS256"
#: An hour, as Google's: https://cloud.google.com/docs/authentication/token-types
LIFETIME_SECONDS = 3_600
#: A token is handed out again while most of its life is left, so that a busy queue does not sign each request anew.
REUSE_SECONDS_MAX = 1_800
TOKENS_KEPT_MAX = 1_024
#: As long as Google's key ids.
KEY_ID_LENGTH = 40
CERTIFICATE_DAYS = 3_650
SUBJECT_DIGITS = 21

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The moment it is."""
    return datetime.now(UTC)


class Identity:
    """Signs for any service account: on this machine there is no IAM that would say who may be whom."""

    def __init__(self, key: rsa.RSAPrivateKey, clock: Clock = utc_now) -> None:
        self._key = key
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str, str], tuple[int, str]] = OrderedDict()
        #: Which key signed, as the header's `kid` and the published keys name it.
        self.key_id = _key_id(key)

    def id_token(self, email: str, audience: str) -> str:
        """An OIDC token, RS256, valid for an hour: `iss aud azp sub email email_verified iat exp`, as Google's."""
        return self._token(
            "JWT",
            email,
            audience,
            {"iss": ISSUER, "aud": audience, "azp": subject(email), "email": email, "email_verified": True},
        )

    def access_token(self, email: str, scope: str = CLOUD_PLATFORM) -> str:
        """An OAuth token for a scope, valid for an hour. Google's are opaque; this one can be read and verified."""
        return self._token(
            "at+jwt", email, scope, {"iss": ISSUER, "azp": subject(email), "email": email, "scope": scope}
        )

    def jwks(self) -> dict[str, Any]:
        """The verifying key as a JWK set, as https://www.googleapis.com/oauth2/v3/certs has Google's."""
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {
            "keys": [
                {
                    "kty": public["kty"],
                    "alg": ALGORITHM,
                    "use": "sig",
                    "kid": self.key_id,
                    "n": public["n"],
                    "e": public["e"],
                }
            ]
        }

    def certificates(self) -> dict[str, str]:
        """The verifying key as an X.509 certificate by its id, as https://www.googleapis.com/oauth2/v1/certs has."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "turnout.local")])
        now = self._clock()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(int(self.key_id[:16], 16) + 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
            .sign(self._key, hashes.SHA256())
        )
        return {self.key_id: certificate.public_bytes(serialization.Encoding.PEM).decode()}

    def _token(self, kind: str, email: str, purpose: str, claims: Mapping[str, Any]) -> str:
        now = int(self._clock().timestamp())
        kept = self._kept.get((kind, email, purpose))
        if kept and 0 <= now - kept[0] < REUSE_SECONDS_MAX:
            return kept[1]
        token = jwt.encode(
            {**claims, "sub": subject(email), "iat": now, "exp": now + LIFETIME_SECONDS},
            self._key,
            algorithm=ALGORITHM,
            headers={"kid": self.key_id, "typ": kind},
        )
        self._kept[kind, email, purpose] = (now, token)
        self._kept.move_to_end((kind, email, purpose))
        if len(self._kept) > TOKENS_KEPT_MAX:
            self._kept.popitem(last=False)
        return token


def subject(email: str) -> str:
    """A service account's unique id: 21 digits, and always the same ones for the same address."""
    number = int.from_bytes(hashlib.sha256(email.encode()).digest()[:12])
    return "1" + str(number % 10 ** (SUBJECT_DIGITS - 1)).zfill(SUBJECT_DIGITS - 1)


def discovery(base_url: str) -> dict[str, Any]:
    """The OpenID discovery document: what issues the tokens, and where their keys are."""
    return {
        "issuer": ISSUER,
        "jwks_uri": f"{base_url}/oauth2/v3/certs",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "claims_supported": ["aud", "azp", "email", "email_verified", "exp", "iat", "iss", "sub"],
    }


def _key_id(key: rsa.RSAPrivateKey) -> str:
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(public).hexdigest()[:KEY_ID_LENGTH]
