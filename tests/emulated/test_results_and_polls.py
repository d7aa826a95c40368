"""`GET /results/{poll}` in each form, and the private `/polls`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.emulated.conftest import PollMaker, vote
from tests.emulated.test_voting import problem_of


def test_results_come_as_json_csv_or_a_page(api: httpx.Client, poll: str) -> None:
    assert api.get(f"/results/{poll}").headers["content-type"] == "application/json"
    for headers, query in (({"Accept": "text/csv"}, {}), ({}, {"format": "csv"})):
        reply = api.get(f"/results/{poll}", headers=headers, params=query)
        assert reply.headers["content-type"].startswith("text/csv")
        assert reply.text.splitlines() == ["choice,votes,percent", "Ada,0,0.0", "Bob,0,0.0"]
    page = api.get(f"/results/{poll}", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "https://" not in page.text


def test_a_spreadsheet_gets_no_formula(api: httpx.Client, make_poll: PollMaker) -> None:
    poll = make_poll(choices=["=1+1", "@x", "plain, with comma"])
    lines = api.get(f"/results/{poll}", params={"format": "csv"}).text.splitlines()
    assert lines[1:] == ["'=1+1,0,0.0", "'@x,0,0.0", '"plain, with comma",0,0.0']


def test_unchanged_results_are_not_sent_again(api: httpx.Client, poll: str) -> None:
    first = api.get(f"/results/{poll}")
    assert first.headers["cache-control"] == "public, max-age=1"
    again = api.get(f"/results/{poll}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    csv = api.get(f"/results/{poll}", headers={"Accept": "text/csv"})
    assert csv.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [("*", 304), ('W/"other", {}', 304), ('"other"', 200), ("malformed {}", 200), ("", 200)],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_a_client_has_may_be_one_of_many(
    api: httpx.Client, poll: str, method: str, sent: str, status: int
) -> None:
    tag = api.get(f"/results/{poll}").headers["etag"]
    reply = api.request(method, f"/results/{poll}", headers={"If-None-Match": sent.format(tag)})
    assert (reply.status_code, reply.headers["etag"]) == (status, tag)


def test_an_unknown_poll_is_no_unchanged_one(api: httpx.Client) -> None:
    assert api.get("/results/nobody-made-this", headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/html;q=0.2, text/csv;q=0.3", "text/csv"),
        ("text/csv;q=0, text/*", "text/html"),
        ("application/xml", "application/json"),
        (";;;,q=", "application/json"),
    ],
)
def test_the_weights_of_accept_decide(api: httpx.Client, poll: str, accept: str, media_type: str) -> None:
    reply = api.get(f"/results/{poll}", headers={"Accept": accept})
    assert (reply.status_code, reply.headers["content-type"].partition(";")[0]) == (200, media_type)


def test_head_has_no_body(api: httpx.Client, poll: str) -> None:
    reply = api.head(f"/results/{poll}")
    assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/results/nobody-made-this", 404),
        ("/results", 404),
        ("/results/", 404),
        ("/results/a/b", 404),
        ("/results/UPPER", 422),
        ("/results/%00", 422),
        ("/results/finals?format=xml", 400),
        ("/results/finals?source=rumour", 400),
    ],
)
def test_bad_questions_get_a_problem(api: httpx.Client, path: str, status: int) -> None:
    reply = api.get(path)
    assert reply.status_code == status
    problem_of(reply)


def test_a_browser_gets_a_page_for_an_unknown_poll_too(api: httpx.Client) -> None:
    reply = api.get("/results/nobody-made-this", headers={"Accept": "text/html"})
    assert reply.status_code == 404
    assert reply.headers["content-type"].startswith("text/html")
    assert reply.headers["cache-control"] == "no-store"


def test_results_are_read_only(api: httpx.Client, poll: str) -> None:
    reply = api.post(f"/results/{poll}")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_poll_is_created_shown_and_listed(api: httpx.Client, poll: str) -> None:
    shown = api.get(f"/polls/{poll}").json()
    assert (shown["choices"], shown["state"], shown["one_per"]) == (["Ada", "Bob"], "open", "none")
    listed = api.get("/polls", params={"limit": 1000}).json()["polls"]
    assert poll in [each["id"] for each in listed]


def test_a_poll_id_is_taken_once(api: httpx.Client, poll: str) -> None:
    reply = api.post("/polls", json={"id": poll, "choices": ["x", "y"]})
    assert (reply.status_code, problem_of(reply)) == (409, "poll-exists")


@pytest.mark.parametrize(
    ("plan", "status", "field"),
    [
        ({"choices": ["a", "b"]}, 400, ""),
        ({"id": "X", "choices": ["a", "b"]}, 422, "/id"),
        ({"id": "-x", "choices": ["a", "b"]}, 422, "/id"),
        ({"id": "x" * 64, "choices": ["a", "b"]}, 422, "/id"),
        ({"id": "x", "choices": ["a"]}, 422, "/choices"),
        ({"id": "x", "choices": ["a", "a"]}, 422, "/choices/1"),
        ({"id": "x", "choices": ["\u00e9", "e\u0301"]}, 422, "/choices/1"),
        ({"id": "x", "choices": ["a", ""]}, 422, "/choices/1"),
        ({"id": "x", "choices": ["a", " b"]}, 422, "/choices/1"),
        ({"id": "x", "choices": ["a", "b\u0000"]}, 422, "/choices/1"),
        ({"id": "x", "choices": ["a", "\u202eb"]}, 422, "/choices/1"),
        ({"id": "x", "choices": ["a", "b" * 101]}, 422, "/choices/1"),
        ({"id": "x", "choices": ["a", "b" * 10_000]}, 422, "/choices/1"),
        ({"id": "x", "choices": [str(n) for n in range(10_001)]}, 422, "/choices"),
        ({"id": "x", "choices": ["a", "b"], "shards": 0}, 422, "/shards"),
        ({"id": "x", "choices": ["a", "b"], "one_per": "day"}, 400, "/one_per"),
        ({"id": "x", "choices": ["a", "b"], "opens_at": "2026-01-01T00:00:00"}, 422, "/opens_at"),
        ({"id": "x", "choices": ["a", "b"], "closes_at": "2099-01-01T00:00:00Z"}, 422, "/closes_at"),
        ({"id": "x", "choices": ["a", "b"], "closes_at": "2001-01-01T00:00:00Z"}, 422, "/closes_at"),
        ({"id": "x", "choices": ["a", "b"], "colour": "red"}, 400, ""),
    ],
)
def test_a_plan_outside_the_limits_names_the_field(
    api: httpx.Client, plan: dict[str, Any], status: int, field: str
) -> None:
    reply = api.post("/polls", json=plan)
    assert (reply.status_code, reply.json().get("field", "")) == (status, field), reply.text


def test_a_field_given_twice_is_refused(api: httpx.Client, poll: str) -> None:
    body = b'{"title": "One", "title": "Other"}'
    reply = api.patch(f"/polls/{poll}", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, problem_of(reply), reply.json()["field"]) == (400, "body-invalid", "/title")


@pytest.mark.parametrize(
    "limit", ["0", "1001", "-1", "x", "", "1.0", "000000001999", "000000001" + "9" * 5_000]
)
def test_a_list_has_stated_bounds(api: httpx.Client, limit: str) -> None:
    reply = api.get("/polls", params={"limit": limit})
    assert (reply.status_code, problem_of(reply)) == (400, "request-invalid")


def test_a_close_by_hand_takes_effect_everywhere_at_one_moment(api: httpx.Client, poll: str) -> None:
    assert api.post("/vote", json=vote(poll)).status_code == 202
    closed = api.patch(f"/polls/{poll}", json={"state": "closed"}).json()
    closes_at = datetime.fromisoformat(closed["closes_at"])
    assert datetime.now(UTC) < closes_at < datetime.now(UTC) + timedelta(seconds=10)
    while True:
        reply = api.post("/vote", json=vote(poll))
        if reply.status_code == 409:
            break
        assert reply.status_code == 202
        assert datetime.fromisoformat(reply.json()["accepted_at"]) < closes_at
    assert datetime.now(UTC) >= closes_at
    again = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    reopened = api.patch(f"/polls/{poll}", json={"state": "open", "closes_at": again})
    assert (reopened.status_code, reopened.json()["state"]) == (200, "open")


def test_an_open_poll_is_not_certified(api: httpx.Client, poll: str) -> None:
    reply = api.patch(f"/polls/{poll}", json={"state": "certified"})
    assert (reply.status_code, problem_of(reply)) == (409, "not-certifiable")


def test_polls_have_a_head(api: httpx.Client, poll: str) -> None:
    for path in ("/polls?limit=1", f"/polls/{poll}"):
        reply = api.head(path)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        assert reply.content == b""


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE"])
def test_polls_are_never_replaced_or_deleted(api: httpx.Client, poll: str, method: str) -> None:
    for path in ("/polls", f"/polls/{poll}"):
        assert api.request(method, path).status_code == 405


def test_an_unknown_poll_is_not_found(api: httpx.Client) -> None:
    assert api.get("/polls/nobody-made-this").status_code == 404
    assert api.patch("/polls/nobody-made-this", json={"title": "x"}).status_code == 404
