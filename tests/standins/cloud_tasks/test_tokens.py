"""The tokens that tasks bear, checked as a handler checks them."""

from typing import Any

import jwt
import pytest

from emulators.cloud_tasks import CloudTasks, Settings
from emulators.identity import Identity
from tests.standins.cloud_tasks.conftest import Client, Target, grpc_client

EMAIL = "caller@test.iam.gserviceaccount.com"


def verified(identity: Identity, header: str, audience: str | None) -> dict[str, Any]:
    """The claims of a token, whose signature the published key verifies."""
    kind, token = header.split(" ")
    assert kind == "Bearer"
    key = jwt.PyJWKSet.from_dict(identity.jwks()).keys[0]
    options: Any = {"verify_aud": audience is not None}
    # "alg": "none" is not among them.
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], audience=audience, options=options)
    return claims


@pytest.mark.parametrize("audience", ["", "https://service.example"])
async def test_an_oidc_token_is_signed_for_its_audience_or_else_the_url(
    over_grpc: Client, target: Target, identity: Identity, audience: str
) -> None:
    queue = await over_grpc.new_queue()
    token = {"service_account_email": EMAIL, "audience": audience}
    await over_grpc.new_task(queue, f"{target.url}/x", oidc_token=token, headers={"authorization": "own"})
    (arrived,) = await target.requests(1)
    assert [key for key in arrived.headers if key.lower() == "authorization"] == ["Authorization"]
    claims = verified(identity, arrived.headers["Authorization"], audience or f"{target.url}/x")
    assert (claims["email"], claims["email_verified"]) == (EMAIL, True)


@pytest.mark.parametrize("scope", ["", "https://www.googleapis.com/auth/pubsub"])
async def test_an_oauth_token_has_its_scope_or_else_cloud_platform(
    over_grpc: Client, target: Target, identity: Identity, scope: str
) -> None:
    queue = await over_grpc.new_queue()
    await over_grpc.new_task(queue, target.url, oauth_token={"service_account_email": EMAIL, "scope": scope})
    (arrived,) = await target.requests(1)
    claims = verified(identity, arrived.headers["Authorization"], None)
    assert claims["scope"] == (scope or "https://www.googleapis.com/auth/cloud-platform")


async def test_a_queues_token_wins_over_the_tasks(
    over_grpc: Client, target: Target, identity: Identity
) -> None:
    queue = await over_grpc.new_queue(
        http_target={"oidc_token": {"service_account_email": EMAIL, "audience": "queue"}}
    )
    await over_grpc.new_task(queue, target.url, oauth_token={"service_account_email": "task@x"})
    (arrived,) = await target.requests(1)
    assert verified(identity, arrived.headers["Authorization"], "queue")["email"] == EMAIL


async def test_a_stand_in_that_knows_its_service_accounts_refuses_others(
    make_settings: Any, identity: Identity, target: Target
) -> None:
    settings: Settings = make_settings(service_accounts=frozenset({EMAIL}))
    async with CloudTasks(settings, identity) as tasks:
        google = grpc_client(tasks.ports.grpc_host)
        client = Client(google)
        queue = await client.new_queue()
        await client.new_task(queue, target.url, oidc_token={"service_account_email": EMAIL})
        with pytest.raises(Exception, match="stranger@x does not exist") as caught:
            await client.new_task(queue, target.url, oidc_token={"service_account_email": "stranger@x"})
        assert getattr(caught.value, "code", None) == 404
        google.transport.close()
