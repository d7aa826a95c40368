"""The whole way: from votes over HTTP to results, persisted tally, certification and audit."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response

from emulators.stack import LocalCloud
from functions.http.replies import answering
from tests.conftest import run_apart
from tests.deadlines import WAIT_SECONDS_MAX
from tests.emulated.conftest import PollMaker, vote
from tests.emulated.test_voting import problem_of
from turnout.base.logs import configure_logs
from turnout.gcp.votes.wiring import Wiring

Drain = Callable[[], None]


def results(api: httpx.Client, poll: str, **query: str) -> dict[str, Any]:
    """Live results, once the second for which an instance may show them again is over."""
    reply = api.get(f"/results/{poll}", params=query)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.1)


def test_votes_are_counted_persisted_and_audited(
    api: httpx.Client, poll: str, drain: Drain, local_cloud: LocalCloud
) -> None:
    for choice in ("Ada", "Bob", "Ada"):
        assert api.post("/vote", json=vote(poll, choice)).status_code == 202
    drain()
    until(lambda: results(api, poll)["votes"] == 3)
    live = results(api, poll)
    assert [(each["votes"], each["percent"]) for each in live["choices"]] == [(2, 66.67), (1, 33.33)]
    assert results(api, poll, source="persisted")["as_of"] is None
    report = api.post("/persist").json()
    assert poll in report["persisted"]
    persisted = results(api, poll, source="persisted")
    assert [each["votes"] for each in persisted["choices"]] == [2, 1]
    assert '"message": "books balance"' in audit_line(local_cloud, poll)


def test_ten_thousand_votes_with_repeated_keys_end_in_exact_totals_and_duplicates(
    api: httpx.Client, make_poll: PollMaker, drain: Drain
) -> None:
    poll = make_poll(one_per="voter", shards=4)
    chance = random.Random(20)
    voters = [f"voter-{number}" for number in range(8_000)]
    repeats = chance.sample(voters, 2_000)
    # A repeat votes as before, so that the total per choice is known whichever of the two is counted.
    choice_of = {voter: chance.choice(["Ada", "Bob"]) for voter in voters}
    ballots = [vote(poll, choice_of[voter], voter=voter) for voter in (*voters, *repeats)]
    chance.shuffle(ballots)
    for start in range(0, 10_000, 1_000):
        assert api.post("/votes", json=ballots[start : start + 1_000]).status_code == 202
    drain()
    until(lambda: results(api, poll)["votes"] == 8_000)
    read = results(api, poll)
    assert read["duplicates"] == 2_000
    assert {each["choice"]: each["votes"] for each in read["choices"]} == Counter(choice_of.values())


def test_a_repeated_request_counts_once(api: httpx.Client, poll: str, drain: Drain) -> None:
    for _ in range(3):
        api.post("/vote", json=vote(poll), headers={"Idempotency-Key": "mine"})
        api.post("/votes", json=[vote(poll)] * 2, headers={"Idempotency-Key": "ours"})
    drain()
    until(lambda: results(api, poll)["votes"] == 3)
    assert results(api, poll)["duplicates"] == 6


def test_a_poll_of_many_choices_counts_each(api: httpx.Client, make_poll: PollMaker, drain: Drain) -> None:
    choices = [f"choice {number}" for number in range(1_000)]
    poll = make_poll(choices=choices)
    assert api.post("/votes", json=[vote(poll, choice) for choice in choices]).status_code == 202
    drain()
    until(lambda: results(api, poll)["votes"] == 1_000)
    assert all(each["votes"] == 1 for each in results(api, poll)["choices"])


def test_a_doubled_or_late_persist_run_changes_nothing(api: httpx.Client, poll: str, drain: Drain) -> None:
    now = datetime.now(UTC)

    def persist(at: datetime) -> dict[str, Any]:
        reply = api.post("/persist", headers={"X-CloudScheduler-ScheduleTime": at.isoformat()})
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    assert poll in persist(now)["persisted"]
    before = results(api, poll, source="persisted")
    api.post("/vote", json=vote(poll))
    drain()
    assert poll in persist(now)["unchanged"]
    assert poll in persist(now - timedelta(minutes=1))["unchanged"]
    assert results(api, poll, source="persisted") == before
    assert poll in persist(now + timedelta(minutes=1))["persisted"]
    assert results(api, poll, source="persisted")["votes"] == 1


@pytest.mark.parametrize(
    "moment",
    [
        "",
        "noon",
        "2026-11-20",
        "2026-11-20T12:00:00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        # It would keep every later run from persisting.
        "9999-12-31T23:59:59Z",
    ],
)
def test_a_malformed_schedule_time_is_refused(api: httpx.Client, moment: str) -> None:
    reply = api.post("/persist", headers={"X-CloudScheduler-ScheduleTime": moment})
    assert (reply.status_code, problem_of(reply)) == (400, "request-invalid")


def test_no_log_names_a_voter_a_key_or_the_pepper(
    local_cloud: LocalCloud, api: httpx.Client, make_poll: PollMaker, drain: Drain
) -> None:
    poll = make_poll(one_per="voter")
    voter, key = "voter-that-nobody-may-log", "idempotency-key-that-nobody-may-log"
    headers = {"Idempotency-Key": key}
    for choice in ("Ada", "Ada", "Eve"):
        api.post("/vote", json=vote(poll, choice, voter=voter), headers=headers)
        api.post("/votes", json=[vote(poll, choice, voter=voter)], headers=headers)
    api.post("/vote", content=f'{{"poll":"{poll}","voter":"{voter}"', headers=headers)
    drain()
    api.post("/persist")
    functions = [local_cloud.log_folder / f"{name}.log" for name in local_cloud.function_urls]
    jobs = list((local_cloud.log_folder / "jobs").glob("*.log"))
    assert any("drain ended" in log.read_text() for log in jobs)
    for log in (*functions, *jobs):
        text = log.read_text()
        for secret in (voter, key, local_cloud.variables["TURNOUT_PEPPER"]):
            assert secret not in text, log.name


async def test_a_request_that_crashes_logs_where_but_not_who(capsys: pytest.CaptureFixture[str]) -> None:
    @answering({})
    async def crashing(_: Request) -> Response:
        voter = "voter-" + "that-nobody-may-log"
        raise ZeroDivisionError(len(voter))

    configure_logs("a-project", "vote")
    try:
        reply = await crashing(Request({"type": "http", "method": "POST", "path": "/vote", "headers": []}))
    finally:
        structlog.reset_defaults()
    logged = capsys.readouterr().out
    assert reply.status_code == 500
    assert "ZeroDivisionError" in logged
    assert "voter-that-nobody-may-log" not in logged + bytes(reply.body).decode()


def test_a_poll_is_opened_voted_in_closed_by_hand_drained_and_certified_with_all_its_votes(
    api: httpx.Client, poll: str, drain: Drain
) -> None:
    promised = 0

    def closed() -> bool:
        nonlocal promised
        status = api.post("/vote", json=vote(poll)).status_code
        promised += status == 202
        return status == 409

    assert not closed()
    assert api.patch(f"/polls/{poll}", json={"state": "closed"}).status_code == 200
    until(closed)

    def certified() -> bool:
        drain()
        return api.patch(f"/polls/{poll}", json={"state": "certified"}).status_code == 200

    until(certified)
    final = results(api, poll, source="persisted")
    assert (final["state"], final["votes"]) == ("certified", promised)


def test_a_closed_poll_is_certified_when_its_queue_is_drained(
    local_cloud: LocalCloud, api: httpx.Client, make_poll: PollMaker, drain: Drain
) -> None:
    # Closed long enough ago that no publish can be under way; the vote came in time, through the back door.
    now = datetime.now(UTC)
    poll = make_poll(
        opens_at=(now - timedelta(hours=2)).isoformat(), closes_at=(now - timedelta(hours=1)).isoformat()
    )
    refused = api.patch(f"/polls/{poll}", json={"state": "certified"})
    assert refused.status_code in (200, 409)

    def certified() -> bool:
        drain()
        return api.patch(f"/polls/{poll}", json={"state": "certified"}).status_code == 200

    # The acknowledgement deadline has to pass without a lease.
    until(certified)
    assert results(api, poll, source="persisted")["certified_at"] is not None
    assert api.patch(f"/polls/{poll}", json={"title": "Changed"}).status_code == 409
    final = results(api, poll, source="persisted")
    assert poll not in api.post("/persist").json()["persisted"]
    assert results(api, poll, source="persisted") == final


@pytest.mark.parametrize("what", ["shard", "bundle entry", "key entry", "bundle's votes"])
async def test_the_audit_finds_what_was_tampered_with(
    local_cloud: LocalCloud,
    api: httpx.Client,
    make_poll: PollMaker,
    drain: Drain,
    wiring: Wiring,
    what: str,
) -> None:
    poll = make_poll(one_per="voter", shards=1)
    await asyncio.to_thread(api.post, "/votes", json=[vote(poll, voter=f"v{number}") for number in range(5)])
    drain()
    assert (await wiring.audit().audit(poll)).exact
    undo = await tamper(local_cloud, poll, what)
    try:
        verdict = await wiring.audit().audit(poll)
        assert not verdict.exact
        assert any(character.isdigit() for fault in verdict.faults for character in fault)
        line = audit_line(local_cloud, poll, code=1)
        assert '"message": "audit failed"' in line
        assert '"severity": "ERROR"' in line
    finally:
        await undo()
    assert (await wiring.audit().audit(poll)).exact


def audit_line(cloud: LocalCloud, poll: str, code: int | None = None) -> str:
    """What the audit job logs of a poll; other tests' polls in this cloud may have been tampered with."""

    async def run() -> str:
        execution = cloud.start_job("audit")
        (ended,) = await execution.wait()
        assert code in (None, ended)
        return execution.logs[0].read_text(encoding="utf-8")

    (line,) = [line for line in run_apart(run()).splitlines() if f'"poll": "{poll}"' in line]
    return line


async def entries(client: httpx.AsyncClient, root: str, poll: str) -> dict[str, Any]:
    """The poll's documents in the ledger, by their ids."""
    name = root.partition("/v1/")[2] + f"/ledger/{poll}:"
    bounds = [("GREATER_THAN_OR_EQUAL", name), ("LESS_THAN", name[:-1] + ";")]
    filters = [
        {"fieldFilter": {"field": {"fieldPath": "__name__"}, "op": op, "value": {"referenceValue": bound}}}
        for op, bound in bounds
    ]
    query = {
        "from": [{"collectionId": "ledger"}],
        "where": {"compositeFilter": {"op": "AND", "filters": filters}},
    }
    reply = await client.post(f"{root}:runQuery", json={"structuredQuery": query})
    found = [each["document"] for each in reply.raise_for_status().json() if "document" in each]
    return {each["name"].rsplit("/", 1)[-1]: each for each in found}


async def tamper(cloud: LocalCloud, poll: str, what: str) -> Callable[[], Any]:
    """Changes one document behind Turnout's back; returns what changes it back."""
    host = cloud.settings.firestore_emulator_host
    root = f"http://{host}/v1/projects/{cloud.settings.project}/databases/(default)/documents"
    async with httpx.AsyncClient(headers={"Authorization": "Bearer owner"}) as client:
        mine = await entries(client, root, poll)
        bundle = next(name for name in mine if ":b:" in name)
        key = next(name for name in mine if ":k:" in name)
        shard = (await client.get(f"{root}/polls/{poll}/shards/0")).json()
        path, document = {
            "shard": (f"polls/{poll}/shards/0", shard),
            "bundle entry": (f"ledger/{bundle}", mine[bundle]),
            "key entry": (f"ledger/{key}", mine[key]),
            "bundle's votes": (f"ledger/{bundle}", mine[bundle]),
        }[what]
        if what.endswith("entry"):
            (await client.delete(f"{root}/{path}")).raise_for_status()
        else:
            fields = {**document["fields"], "votes": {"integerValue": "6"}}
            (await client.patch(f"{root}/{path}", json={"fields": fields})).raise_for_status()

    async def undo() -> None:
        async with httpx.AsyncClient(headers={"Authorization": "Bearer owner"}) as client:
            reply = await client.patch(f"{root}/{path}", json={"fields": document["fields"]})
            reply.raise_for_status()

    return undo
