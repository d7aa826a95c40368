"""The demo's crowd: what it sends follows from its seed, and its account holds what was promised, whatever goes wrong."""

from collections import Counter

import msgspec
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from cli import crowd
from cli.crowd import Crowd, Plan, Request
from cli.faults import NoAnswer, Refused
from tests.local_cloud.helpers import serving
from turnout.base.retry import RetryPolicy

CHOICES = ("Ada", "Grace", "Earl Grey")


def all_requests(plan: Plan) -> list[Request]:
    return [*plan.batches(), *plan.one_by_one()]


@given(votes=st.integers(1, 6_000), seed=st.integers())
@settings(max_examples=25, deadline=None)
def test_a_crowd_sends_exactly_its_votes_and_repeats_some(votes: int, seed: int) -> None:
    requests = all_requests(Plan("finals", CHOICES, votes, seed))
    first = [request for request in requests if not request.repeat]
    assert sum(request.votes for request in first) == votes
    assert len({request.key for request in first}) == len(first)
    assert any(request.repeat for request in requests)


@given(seed=st.integers())
@settings(max_examples=10, deadline=None)
def test_a_repeat_comes_after_its_request_with_the_same_key_and_body(seed: int) -> None:
    sent: dict[str, bytes] = {}
    for request in all_requests(Plan("finals", CHOICES, 4_000, seed)):
        assert request.repeat == (request.key in sent)
        assert sent.setdefault(request.key, request.body) == request.body


def test_a_request_s_counts_are_those_of_its_body() -> None:
    for request in Plan("finals", CHOICES, 3_000, 7).batches():
        ballots = msgspec.json.decode(request.body, type=list[dict[str, str]])
        number = Counter(ballot["choice"] for ballot in ballots)
        assert request.counts == tuple(number[choice] for choice in CHOICES)


def test_the_same_seed_sends_the_same_and_another_one_does_not() -> None:
    def sent(seed: int) -> list[Request]:
        return all_requests(Plan("finals", CHOICES, 3_000, seed))

    assert sent(1) == sent(1)
    assert sent(1) != sent(2)


class Intake:
    """A stand-in for the intake that fails as it is told, and remembers under which keys votes came."""

    def __init__(self, *faults: str) -> None:
        self._faults = list(faults)
        self.taken: dict[str, int] = {}
        self.took_twice = 0

    def application(self) -> web.Application:
        application = web.Application(client_max_size=2**20)
        application.router.add_post("/vote", self._answer)
        application.router.add_post("/votes", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read())
        fault = self._faults.pop() if self._faults else ""
        if fault != "full":
            key = request.headers["Idempotency-Key"]
            votes = len(body) if isinstance(body, list) else 1
            self.took_twice += votes * (key in self.taken)
            self.taken[key] = votes
        if fault == "lost" and request.transport is not None:
            request.transport.abort()
        if fault == "refused":
            return web.json_response({"title": "No", "detail": "The poll has closed."}, status=409)
        if fault:
            return web.json_response({"detail": "Full."}, status=503, headers={"Retry-After": "0"})
        return web.json_response({}, status=202)


@pytest.fixture(autouse=True)
def patient_for_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "PATIENCE", RetryPolicy(first_seconds=0.001, max_seconds=0.002))


async def test_every_vote_is_promised_once_though_answers_are_lost_and_the_intake_is_full() -> None:
    intake = Intake(*["lost", "full", "unconfirmed"] * 20)
    async with serving(intake.application()) as base_url:
        sender = Crowd(Plan("finals", CHOICES, 5_000, 3), base_url, lambda _: None)
        await sender.send()
    account = sender.account
    assert account.votes == sum(intake.taken.values()) == 5_000
    assert account.repeated > 0
    # What the intake took twice lies within what the account allows: the repeats, and what was sent again.
    assert account.repeated <= intake.took_twice <= account.repeated + account.sent_again


async def test_an_intake_that_never_takes_a_vote_is_told_with_its_reason() -> None:
    async with serving(Intake(*["full"] * 100_000).application()) as base_url:
        sender = Crowd(Plan("finals", CHOICES, 1, 3), base_url, lambda _: None)
        with pytest.raises(NoAnswer, match=r"1 votes were not taken in 12 attempts\. .*Full\."):
            await sender.send()
    assert sender.account.votes == 0


async def test_a_refusal_is_not_tried_again() -> None:
    intake = Intake("refused")
    async with serving(intake.application()) as base_url:
        sender = Crowd(Plan("finals", CHOICES, 1, 3), base_url, lambda _: None)
        with pytest.raises(Refused, match=r"The poll has closed\. \(409\)"):
            await sender.send()
