"""The command line's HTTP client: who it says it is, and what it makes of answers."""

import pytest
from aiohttp import web

from cli import http
from cli.client import Client
from cli.faults import NoAnswer, Refused, exit_code
from cli.target import base_url, own_addresses
from tests.local_cloud.helpers import serving
from turnout.base.errors import TurnoutError

PROBLEM = "application/problem+json"


async def authorization(base_url: str, path: str) -> dict[str, str]:
    client = Client(base_url, {"TURNOUT_IDENTITY_TOKEN": "a token"})
    return await client._authorization(path)


async def test_private_functions_of_a_deployed_turnout_are_told_who_calls() -> None:
    for path in ("/polls", "/polls/finals", "/polls?limit=3", "/persist"):
        assert await authorization("https://turnout.example", path) == {"Authorization": "Bearer a token"}


async def test_nobody_else_gets_the_token() -> None:
    for path in ("/vote", "/votes", "/results/finals"):
        assert await authorization("https://turnout.example", path) == {}
    for path in ("/polls", "/vote"):
        assert await authorization("http://127.0.0.1:8080", path) == {}


async def test_each_function_has_an_address_of_its_own_or_all_have_one() -> None:
    own = {"polls": "https://polls.run.app", "vote": "https://vote.run.app"}
    apart = Client("", {}, own)
    assert apart.address("/polls/finals") == "https://polls.run.app"
    assert apart.address("/vote") == "https://vote.run.app"
    with pytest.raises(NoAnswer, match="names no address for /results/finals"):
        apart.address("/results/finals?format=json")
    assert Client("https://vote.example.com", {}, own).address("/polls") == "https://vote.example.com"


@pytest.mark.parametrize("base_url", ["", "https://vote.example.com"])
async def test_a_token_is_for_the_service_itself(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a load balancer, too: Cloud Run refuses a token whose audience is the domain."""
    monkeypatch.setattr("cli.client.fetch_identity_token", lambda audience: f"for {audience}")
    own = {"polls": "https://polls.run.app", "persist": "https://persist.run.app"}
    client = Client(base_url, {}, own)
    for path, audience in (
        ("/polls", own["polls"]),
        ("/persist", own["persist"]),
        ("/polls/a", own["polls"]),
    ):
        assert await client._authorization(path) == {"Authorization": f"Bearer for {audience}"}


def test_the_environment_names_the_addresses() -> None:
    given = {"TURNOUT_VOTE_URL": "https://vote.run.app/", "TURNOUT_POLLS_URL": "https://polls.run.app"}
    assert own_addresses(given) == {"vote": "https://vote.run.app", "polls": "https://polls.run.app"}
    assert base_url(given) == ""
    assert base_url({**given, "TURNOUT_URL": "https://vote.example.com/"}) == "https://vote.example.com"


def answering(status: int, text: str, media_type: str) -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type=media_type)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    return application


@pytest.mark.parametrize(
    ("status", "text", "media_type", "kind", "message"),
    [
        (409, '{"title": "Closed", "detail": "It closed at noon."}', PROBLEM, Refused, "It closed at noon. (409)"),
        (404, '{"title": "Not found"}', PROBLEM, Refused, "Not found (404)"),
        (403, "<html>Forbidden</html>", "text/html", Refused, "<html>Forbidden</html> (403)"),
        (503, '{"detail": "Later."}', PROBLEM, NoAnswer, "has a fault: Later. (503)"),
        (502, "", "text/plain", NoAnswer, "has a fault: no reason was given (502)"),
        (200, "<html>Welcome</html>", "text/html", NoAnswer, "is the address right?"),
        (200, '{"unexpected": 1}', "application/json", NoAnswer, "is the address right?"),
    ],
)  # fmt: skip
async def test_every_answer_that_is_no_success_becomes_one_line(
    status: int, text: str, media_type: str, kind: type[TurnoutError], message: str
) -> None:
    async with serving(answering(status, text, media_type)) as base_url, Client(base_url) as client:
        with pytest.raises(kind) as fault:
            await client.call("GET", "/polls", http.PollList)
    assert message in str(fault.value)
    assert "\n" not in str(fault.value)
    assert exit_code(fault.value) == (3 if kind is Refused else 4)


async def test_a_persist_run_that_failed_for_some_polls_still_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = '{"slot": "2026-11-20T12:00:00Z", "persisted": ["a"], "failed": ["b"]}'
    async with serving(answering(503, report, "application/json")) as base_url:
        monkeypatch.setenv("TURNOUT_URL", base_url)
        assert (await http.persist()).failed == ("b",)


async def test_a_persist_run_that_did_not_happen_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answering(503, '{"detail": "Later."}', PROBLEM)) as base_url:
        monkeypatch.setenv("TURNOUT_URL", base_url)
        with pytest.raises(NoAnswer, match=r"Later\. \(503\)"):
            await http.persist()
