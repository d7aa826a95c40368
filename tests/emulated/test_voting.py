"""`POST /vote` and `POST /votes`: every answer that design and documentation promise."""

import json
import socket
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from emulators.stack import LocalCloud
from tests.deadlines import WAIT_SECONDS_MAX
from tests.emulated.conftest import PollMaker, vote

JSON = {"content-type": "application/json"}


def problem_of(reply: httpx.Response) -> str:
    assert reply.headers["content-type"] == "application/problem+json"
    document = reply.json()
    assert document["status"] == reply.status_code
    assert document["title"]
    assert document["detail"]
    return str(document["type"]).removeprefix("urn:turnout:problem:")


def test_a_vote_is_accepted_with_a_receipt(api: httpx.Client, poll: str) -> None:
    reply = api.post("/vote", json=vote(poll))
    assert reply.status_code == 202
    receipt = reply.json()
    assert set(receipt) == {"vote_id", "poll", "choice", "accepted_at"}
    assert receipt["choice"] == "Ada"
    assert abs(datetime.fromisoformat(receipt["accepted_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("field", ["choice", "itemID"])
def test_a_form_votes_as_well(api: httpx.Client, poll: str, field: str) -> None:
    reply = api.post("/vote", data={"poll": poll, field: "Ada"})
    assert (reply.status_code, reply.json()["choice"]) == (202, "Ada")


def test_the_same_idempotency_key_gets_the_same_vote_id(api: httpx.Client, poll: str) -> None:
    first, again, other = (
        api.post("/vote", json=vote(poll), headers={"Idempotency-Key": key}).json()["vote_id"]
        for key in ("one", "one", "two")
    )
    assert first == again != other


def test_a_batch_gets_a_receipt_per_vote_and_the_same_ones_when_repeated(
    api: httpx.Client, poll: str
) -> None:
    headers = {"Idempotency-Key": "batch"}
    first, again = (api.post("/votes", json=[vote(poll)] * 3, headers=headers) for _ in range(2))
    assert first.status_code == again.status_code == 202
    ids = [receipt["vote_id"] for receipt in first.json()["votes"]]
    assert len(set(ids)) == 3
    assert ids == [receipt["vote_id"] for receipt in again.json()["votes"]]


def test_ndjson_is_a_batch_too(api: httpx.Client, poll: str) -> None:
    lines = "\n".join(json.dumps(vote(poll, choice)) for choice in ("Ada", "Bob", "Ada"))
    reply = api.post("/votes", content=lines + "\n", headers={"content-type": "application/x-ndjson"})
    assert (reply.status_code, reply.json()["accepted"]) == (202, 3)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"", 400, "body-invalid"),
        (b"{", 400, "body-invalid"),
        (b"[]", 400, "body-invalid"),
        (b"null", 400, "body-invalid"),
        (b'"vote"', 400, "body-invalid"),
        (b"NaN", 400, "body-invalid"),
        (b"1e999", 400, "body-invalid"),
        (b"9" * 5000, 400, "body-invalid"),
        (b"\xff\xfe", 400, "body-invalid"),
        (b'\xef\xbb\xbf{"poll":"POLL","choice":"Ada"}', 400, "body-invalid"),
        (b"[" * 10_000, 400, "body-invalid"),
        (b'{"poll":"POLL"}', 400, "body-invalid"),
        (b'{"poll":"POLL","choice":1}', 400, "body-invalid"),
        (b'{"poll":"POLL","choice":NaN}', 400, "body-invalid"),
        (b'{"poll":"POLL","choice":null}', 400, "body-invalid"),
        (b'{"poll":"POLL","choice":"Ada","extra":1}', 400, "body-invalid"),
        (b'{"poll":"POLL","choice":"Ada","choice":"Bob"}', 400, "body-invalid"),
        (b'{"poll":"POLL","choice":"Ada","ch\\u006fice":"Bob"}', 400, "body-invalid"),
        (b'{"poll":"POLL","choice":"\\ud800"}', 400, "body-invalid"),
        (b'{"poll":"POLL","choice":"Ada","voter":7}', 400, "body-invalid"),
        (b'{"poll":"POLL","choice":""}', 422, "value-refused"),
        (b'{"poll":"","choice":"Ada"}', 422, "value-refused"),
        (b'{"poll":"POLL","choice":"Ada","voter":""}', 422, "value-refused"),
        (b'{"poll":"POLL","choice":"Ada","voter":"' + b"v" * 257 + b'"}', 422, "value-refused"),
        (b'{"poll":"POLL","choice":"Eve"}', 422, "choice-unknown"),
        (b'{"poll":"POLL","choice":"\\u0000"}', 422, "choice-unknown"),
        ('{"poll":"POLL","choice":"\u202eadA"}'.encode(), 422, "choice-unknown"),
        (b'{"poll":"POLL","choice":"a.b`c/d"}', 422, "choice-unknown"),
        (b'{"poll":"POLL","choice":"' + b"x" * 10_000 + b'"}', 422, "choice-unknown"),
        (b'{"poll":"nobody-made-this","choice":"Ada"}', 404, "poll-unknown"),
        (b'{"poll":"../../x","choice":"Ada"}', 404, "poll-unknown"),
        (b'{"poll":"' + b"p" * 10_000 + b'","choice":"Ada"}', 404, "poll-unknown"),
        ('{"poll":"\U0001f5f3","choice":"Ada"}'.encode(), 404, "poll-unknown"),
        (b" " * 20_000, 413, "body-too-large"),
    ],
)
def test_a_bad_vote_gets_a_problem_that_names_the_fault(
    api: httpx.Client, poll: str, body: bytes, status: int, kind: str
) -> None:
    reply = api.post("/vote", content=body.replace(b"POLL", poll.encode()), headers=JSON)
    assert (reply.status_code, problem_of(reply)) == (status, kind)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-type": "application/json; charset=UTF-8"}, 202),
        ({"content-type": "Application/JSON"}, 202),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": ""}, 415),
        ({**JSON, "Idempotency-Key": "k" * 257}, 422),
        ({**JSON, "Idempotency-Key": "two words"}, 422),
        ({**JSON, "Idempotency-Key": ""}, 422),
    ],
)
def test_headers_decide_as_documented(
    api: httpx.Client, poll: str, headers: dict[str, str], status: int
) -> None:
    reply = api.post("/vote", content=json.dumps(vote(poll)), headers=headers)
    assert reply.status_code == status, reply.text


@pytest.mark.parametrize(
    "body",
    [
        "poll=POLL",
        "poll=POLL&choice=Ada&choice=Bob",
        "poll=POLL&choice=Ada&itemID=Ada",
        "poll=POLL&x=1",
        "%ff",
        "{}",
    ],
)
def test_a_bad_form_gets_a_problem(api: httpx.Client, poll: str, body: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    reply = api.post("/vote", content=body.replace("POLL", poll), headers=headers)
    assert (reply.status_code, problem_of(reply)) == (400, "body-invalid")


def test_an_empty_form_field_is_an_error(api: httpx.Client, poll: str) -> None:
    reply = api.post("/vote", data={"poll": poll, "itemID": ""})
    assert (reply.status_code, reply.json()["field"]) == (422, "/choice")


@pytest.mark.parametrize("path", ["/vote", "/votes"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "SEARCH"])
def test_other_methods_are_told_what_is_allowed(api: httpx.Client, path: str, method: str) -> None:
    reply = api.request(method, path)
    assert (reply.status_code, problem_of(reply)) == (405, "method-not-allowed")
    assert reply.headers["allow"] == "POST, OPTIONS"


def test_the_answer_to_head_has_no_body(api: httpx.Client) -> None:
    reply = api.head("/vote")
    assert (reply.status_code, reply.headers["allow"], reply.content) == (405, "POST, OPTIONS", b"")


def test_a_page_of_another_origin_may_vote(api: httpx.Client, poll: str) -> None:
    preflight = api.options("/vote", headers={"Origin": "https://elsewhere.example"})
    assert preflight.status_code == 204
    assert "Idempotency-Key" in preflight.headers["access-control-allow-headers"]
    assert api.post("/vote", json=vote(poll)).headers["access-control-allow-origin"] == "*"


def test_a_poll_that_has_not_opened_refuses(api: httpx.Client, make_poll: PollMaker) -> None:
    poll = make_poll(opens_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    reply = api.post("/vote", json=vote(poll))
    assert (reply.status_code, problem_of(reply)) == (409, "poll-not-open")


def test_a_poll_that_has_closed_refuses(api: httpx.Client, make_poll: PollMaker) -> None:
    now = datetime.now(UTC)
    poll = make_poll(
        opens_at=(now - timedelta(hours=2)).isoformat(), closes_at=(now - timedelta(hours=1)).isoformat()
    )
    reply = api.post("/vote", json=vote(poll))
    assert (reply.status_code, problem_of(reply)) == (409, "poll-closed")


@pytest.mark.parametrize(("one_per", "field"), [("voter", "/voter"), ("key", "Idempotency-Key")])
def test_a_poll_with_keys_wants_one(
    api: httpx.Client, make_poll: PollMaker, one_per: str, field: str
) -> None:
    reply = api.post("/vote", json=vote(make_poll(one_per=one_per)))
    assert (reply.status_code, problem_of(reply), reply.json()["field"]) == (422, "key-missing", field)


def test_one_bad_vote_refuses_its_batch_and_is_named_by_index(api: httpx.Client, poll: str) -> None:
    reply = api.post("/votes", json=[vote(poll), vote(poll, "Eve"), vote(poll), vote("no-such-poll")])
    assert (reply.status_code, problem_of(reply)) == (422, "batch-refused")
    assert [fault["index"] for fault in reply.json()["faults"]] == [1, 3]
    assert reply.json()["faults_total"] == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [([], 400), ({}, 400), ("x", 400), ([1], 422), ([{}], 422), ([[]], 422), ([None], 422)],
)
def test_a_malformed_batch_gets_a_problem(api: httpx.Client, body: Any, status: int) -> None:
    reply = api.post("/votes", json=body)
    assert reply.status_code == status
    problem_of(reply)


@pytest.mark.parametrize(("votes", "status"), [(1_000, 202), (1_001, 413)])
def test_a_batch_has_at_most_a_thousand_votes(api: httpx.Client, poll: str, votes: int, status: int) -> None:
    assert api.post("/votes", json=[vote(poll)] * votes).status_code == status


def test_a_body_beyond_the_limit_is_refused_whether_or_not_it_tells_its_length(
    api: httpx.Client, poll: str
) -> None:
    whole = b"[" + b" " * 1_048_576 + b"]"
    assert api.post("/votes", content=whole, headers=JSON).status_code == 413
    chunks = (whole[at : at + 65_536] for at in range(0, len(whole), 65_536))
    assert api.post("/votes", content=chunks, headers=JSON).status_code == 413


def test_a_chunked_vote_is_a_vote(api: httpx.Client, poll: str) -> None:
    body = json.dumps(vote(poll)).encode()
    assert api.post("/vote", content=iter([body[:5], body[5:]]), headers=JSON).status_code == 202


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("headers", "body", "status", "kind"),
    [
        # What the counter on App Engine took: an item, and nothing else.
        (FORM, "itemID=Ada", 202, ""),
        (JSON, '{"itemID": "Ada"}', 202, ""),
        (FORM, "choice=Ada", 202, ""),
        (JSON, '{"choice": "Ada"}', 202, ""),
        (JSON, '{"choice": "Ada", "voter": "ann"}', 202, ""),
        # The poll may stand in the body as well, if it is the same.
        (FORM, "poll=POLL&itemID=Ada", 202, ""),
        (JSON, '{"poll": "POLL", "itemID": "Ada"}', 202, ""),
        (FORM, "poll=other&itemID=Ada", 422, "value-refused"),
        (JSON, '{"poll": "other", "itemID": "Ada"}', 422, "value-refused"),
        (JSON, '{"poll": "", "itemID": "Ada"}', 422, "value-refused"),
        (JSON, '{"poll": null, "itemID": "Ada"}', 400, "body-invalid"),
        (FORM, "itemID=", 422, "value-refused"),
        (JSON, '{"itemID": ""}', 422, "value-refused"),
        (JSON, '{"itemID": null}', 400, "body-invalid"),
        (JSON, '{"itemID": "Eve"}', 422, "choice-unknown"),
        (JSON, "{}", 400, "body-invalid"),
        (FORM, "voter=ann", 400, "body-invalid"),
        (FORM, "", 400, "body-invalid"),
        (JSON, '{"itemID": "Ada", "choice": "Ada"}', 400, "body-invalid"),
        (JSON, '{"itemID": "Ada", "itemID": "Bob"}', 400, "body-invalid"),
        (FORM, "itemID=Ada&itemID=Bob", 400, "body-invalid"),
        (JSON, '{"item": "Ada"}', 400, "body-invalid"),
        (JSON, '["Ada"]', 400, "body-invalid"),
        ({"content-type": "text/plain"}, "Ada", 415, "media-type-unsupported"),
        (JSON, " " * 20_000, 413, "body-too-large"),
    ],
)
def test_a_poll_in_the_address_leaves_nothing_but_the_item_to_the_body(
    api: httpx.Client, poll: str, headers: dict[str, str], body: str, status: int, kind: str
) -> None:
    reply = api.post(f"/vote/{poll}", content=body.replace("POLL", poll), headers=headers)
    assert reply.status_code == status, reply.text
    if status == 202:
        assert (reply.json()["poll"], reply.json()["choice"]) == (poll, "Ada")
    else:
        assert problem_of(reply) == kind


@pytest.mark.parametrize("address", ["nobody-made-this", "UPPER", "..%00", "x" * 1_000])
def test_an_address_of_no_poll_is_told_so(api: httpx.Client, address: str) -> None:
    reply = api.post(f"/vote/{address}", json={"itemID": "Ada"})
    assert (reply.status_code, problem_of(reply)) == (404, "poll-unknown")


def test_without_a_poll_in_the_address_the_body_must_name_it(api: httpx.Client, poll: str) -> None:
    for body in ({"itemID": "Ada"}, {"poll": poll, "itemID": "Ada"}):
        assert problem_of(api.post("/vote", json=body)) == "body-invalid"
    assert problem_of(api.post("/vote", data={"itemID": "Ada"})) == "body-invalid"


def test_a_vote_by_address_is_the_same_vote(api: httpx.Client, poll: str) -> None:
    key = {"Idempotency-Key": "once"}
    first = api.post("/vote", json=vote(poll), headers=key).json()
    again = api.post(f"/vote/{poll}/", data={"itemID": "Ada"}, headers=key).json()
    assert (again["vote_id"], again["poll"]) == (first["vote_id"], poll)


def _raw(local_cloud: LocalCloud, request: bytes) -> bytes:
    address = urlsplit(local_cloud.function_urls["vote"])
    with socket.create_connection((address.hostname, address.port), timeout=WAIT_SECONDS_MAX) as connection:
        connection.sendall(request)
        return connection.recv(4096)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /vote HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST /vote HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"nonsense\r\n\r\n",
        # A method that nobody has registered, and one that is for proxies: neither gets beyond the parser of HTTP.
        b"BREW /vote HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT elsewhere:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_400(local_cloud: LocalCloud, request_bytes: bytes) -> None:
    assert _raw(local_cloud, request_bytes).startswith(b"HTTP/1.1 400")


def test_a_client_that_goes_away_harms_nobody(local_cloud: LocalCloud, api: httpx.Client, poll: str) -> None:
    address = urlsplit(local_cloud.function_urls["vote"])
    for _ in range(20):
        with socket.create_connection(
            (address.hostname, address.port), timeout=WAIT_SECONDS_MAX
        ) as connection:
            connection.sendall(
                b"POST /vote HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )
    assert api.post("/vote", json=vote(poll)).status_code == 202


@pytest.mark.parametrize("path", ["/vote/x/y", "/votes/1", "/vote/a%2Fb"])
def test_unknown_paths_are_not_found(api: httpx.Client, path: str) -> None:
    assert (reply := api.post(path, json={})).status_code == 404
    assert problem_of(reply) == "path-unknown"


@pytest.mark.parametrize(
    "choice", ["a.b", "`tick`", "x/y", "__x__", "🗳️ family 👩‍👩‍👧", "مرحبا", "é", "0", "a" * 100]
)
def test_odd_names_are_counted_like_others(api: httpx.Client, make_poll: PollMaker, choice: str) -> None:
    poll = make_poll(choices=[choice, "other"])
    assert api.post("/vote", json=vote(poll, choice)).status_code == 202
    assert api.get(f"/results/{poll}").json()["choices"][0]["choice"] == choice
