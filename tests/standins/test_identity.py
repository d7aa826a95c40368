"""Tokens of the stand-ins, judged by google-auth and by the documented check itself."""

import asyncio
import multiprocessing
import re
import stat
import types
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from emulators.identity import Identity, load_key
from emulators.identity.keys import KEY_FILE, IdentityKeyUnusable
from emulators.identity.server import identity_application
from emulators.identity.tokens import REUSE_SECONDS_MAX, TOKENS_KEPT_MAX
from tests.local_cloud.helpers import serving
from tests.standins.clock import Clock

EMAIL = "ticker@demo.iam.gserviceaccount.com"
AUDIENCE = "https://tick.example/run"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2_048)


def verify(token: str, audience: str, certs_url: str) -> Any:
    return id_token.verify_token(token, Request(), audience, certs_url=certs_url)


@pytest.mark.parametrize("path", ["/oauth2/v3/certs", "/oauth2/v1/certs"])
async def test_google_auth_verifies_an_id_token_when_told_where_the_keys_are(
    key: rsa.RSAPrivateKey, path: str
) -> None:
    identity = Identity(key)
    async with serving(identity_application(identity)) as address:
        claims = await asyncio.to_thread(verify, identity.id_token(EMAIL, AUDIENCE), AUDIENCE, address + path)
    assert claims["iss"] == "https://accounts.google.com"
    assert (claims["aud"], claims["email"], claims["email_verified"]) == (AUDIENCE, EMAIL, True)
    assert re.fullmatch(r"\d{21}", claims["sub"])
    assert claims["azp"] == claims["sub"]
    assert claims["exp"] - claims["iat"] == 3_600


@pytest.mark.parametrize("path", ["/oauth2/v3/certs", "/oauth2/v1/certs"])
async def test_google_auth_refuses_what_another_key_signed_what_is_for_others_and_what_is_old(
    key: rsa.RSAPrivateKey, path: str
) -> None:
    identity = Identity(key)
    stranger = Identity(rsa.generate_private_key(65_537, 2_048))
    old = Identity(key, Clock(datetime.now(UTC) - timedelta(hours=2)))
    unsigned = jwt.encode({"aud": AUDIENCE}, "", algorithm="none")
    async with serving(identity_application(identity)) as address:
        for token, audience in (
            (stranger.id_token(EMAIL, AUDIENCE), AUDIENCE),
            (identity.id_token(EMAIL, AUDIENCE), "https://other.example"),
            (old.id_token(EMAIL, AUDIENCE), AUDIENCE),
            (unsigned, AUDIENCE),
        ):
            with pytest.raises((ValueError, jwt.PyJWTError, exceptions.GoogleAuthError)):
                await asyncio.to_thread(verify, token, audience, address + path)


async def test_the_documented_check_runs_as_it_stands_in_the_documentation(
    key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    identity = Identity(key)
    async with serving(identity_application(identity)) as address:
        monkeypatch.setenv("TOKEN_CERTS_URL", f"{address}/oauth2/v3/certs")
        module = types.ModuleType("documented")
        exec(compile(program, "docs/tokens.md", "exec"), module.__dict__)
        token = f"Bearer {identity.id_token(EMAIL, AUDIENCE)}"
        assert await asyncio.to_thread(module.caller, token, AUDIENCE) == EMAIL
        with pytest.raises((ValueError, jwt.PyJWTError)):
            await asyncio.to_thread(module.caller, token, "https://other.example")


async def test_the_discovery_document_leads_to_the_keys(key: rsa.RSAPrivateKey) -> None:
    identity = Identity(key)
    async with serving(identity_application(identity)) as address, aiohttp.ClientSession() as session:
        async with session.get(f"{address}/.well-known/openid-configuration") as answer:
            document = await answer.json()
        async with session.get(document["jwks_uri"]) as answer:
            assert (await answer.json())["keys"][0]["kid"] == identity.key_id
    assert document["issuer"] == "https://accounts.google.com"


def test_an_access_token_tells_the_scope_and_is_signed(key: rsa.RSAPrivateKey) -> None:
    identity = Identity(key)
    token = identity.access_token(EMAIL, "https://www.googleapis.com/auth/pubsub")
    claims = jwt.decode(token, key.public_key(), algorithms=["RS256"])
    assert (claims["email"], claims["scope"]) == (EMAIL, "https://www.googleapis.com/auth/pubsub")
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"


def test_a_token_is_handed_out_again_while_most_of_its_life_is_left(key: rsa.RSAPrivateKey) -> None:
    clock = Clock(datetime(2026, 11, 20, 12, tzinfo=UTC))
    identity = Identity(key, clock)
    first = identity.id_token(EMAIL, AUDIENCE)
    clock.now += timedelta(seconds=REUSE_SECONDS_MAX - 1)
    assert identity.id_token(EMAIL, AUDIENCE) == first
    assert identity.access_token(EMAIL, AUDIENCE) != first
    clock.now += timedelta(seconds=1)
    assert identity.id_token(EMAIL, AUDIENCE) != first
    clock.now -= timedelta(days=1)
    assert jwt.decode(identity.id_token(EMAIL, AUDIENCE), options={"verify_signature": False})["iat"] == int(
        clock.now.timestamp()
    )


def test_the_tokens_kept_are_bounded(key: rsa.RSAPrivateKey) -> None:
    identity = Identity(key)
    for number in range(TOKENS_KEPT_MAX + 3):
        identity.id_token(EMAIL, f"https://{number}.example")
    assert len(identity._kept) == TOKENS_KEPT_MAX


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "state"
    first = load_key(folder)
    assert load_key(folder).private_numbers() == first.private_numbers()
    (folder / KEY_FILE).chmod(0o644)
    load_key(folder)
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert [each.name for each in folder.iterdir()] == [KEY_FILE]


def _key_id(folder: str) -> str:
    return Identity(load_key(Path(folder))).key_id


def test_processes_that_start_at_once_use_the_same_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_key_id, [str(tmp_path)] * 4, chunksize=1))) == 1


def test_a_key_file_that_holds_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"", b"not a key", other):
        (tmp_path / KEY_FILE).write_bytes(content)
        with pytest.raises(IdentityKeyUnusable, match="Delete the file"):
            load_key(tmp_path)
        assert (tmp_path / KEY_FILE).read_bytes() == content
