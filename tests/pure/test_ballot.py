"""Ballots: what clients send becomes a ballot, or an error that names the fault."""

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.base.errors import BatchRefused, BodyInvalid, BodyTooLarge, TurnoutError, ValueRefused
from turnout.votes.ballot import (
    Ballot,
    parse_batch,
    parse_form,
    parse_item,
    parse_json,
    parse_lines,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)
ballots = st.builds(Ballot, texts, texts, st.one_of(st.none(), texts))
#: Values that look like the names of fields, so that they meet the search for repeated ones.
tricky = st.sampled_from(["poll", "choice", "voter", '"poll"', '"choice":', "\\", "\\u0070oll", "{}", '","'])
tricky_ballots = st.builds(Ballot, tricky, tricky, st.one_of(st.none(), tricky))


def as_json(ballot: Ballot) -> dict[str, str]:
    fields = {"poll": ballot.poll, "choice": ballot.choice}
    return fields if ballot.voter is None else {**fields, "voter": ballot.voter}


@given(st.one_of(ballots, tricky_ballots), st.booleans())
def test_a_ballot_comes_out_as_it_went_in(ballot: Ballot, ascii_only: bool) -> None:  # noqa: FBT001
    assert parse_json(json.dumps(as_json(ballot), ensure_ascii=ascii_only).encode()) == ballot


@given(ballots)
def test_a_form_says_the_same(ballot: Ballot) -> None:
    assert parse_form(urlencode(as_json(ballot)).encode()) == ballot
    renamed = {"itemID" if name == "choice" else name: value for name, value in as_json(ballot).items()}
    assert parse_form(urlencode(renamed).encode()) == ballot


@given(ballots, st.sampled_from(["choice", "itemID"]), st.booleans())
def test_a_ballot_may_leave_its_poll_to_the_address(ballot: Ballot, field: str, named: bool) -> None:  # noqa: FBT001
    fields = {field: ballot.choice}
    if ballot.voter is not None:
        fields["voter"] = ballot.voter
    if named:
        fields["poll"] = ballot.poll
    assert parse_item(json.dumps(fields).encode(), ballot.poll) == ballot
    assert parse_form(urlencode(fields).encode(), ballot.poll) == ballot


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ([("poll", "other"), ("itemID", "Ada")], "/poll"),
        ([("poll", ""), ("itemID", "Ada")], "/poll"),
        ([("itemID", "")], "/choice"),
        ([("choice", "")], "/choice"),
        ([("itemID", "Ada"), ("voter", "")], "/voter"),
        ([("poll", "finals")], "/choice"),
        ([("choice", "Ada"), ("itemID", "Ada")], "/itemID"),
        ([("itemID", "Ada"), ("choice", "Ada")], None),
        ([("itemID", "Ada"), ("itemID", "Ada")], "/itemID"),
        ([("itemid", "Ada")], None),
    ],
)
def test_a_fault_in_what_is_left_to_the_address_names_its_field(
    fields: list[tuple[str, str]], field: str | None
) -> None:
    body = "{" + ", ".join(f'"{name}": "{value}"' for name, value in fields) + "}"
    for parse, text in ((parse_item, body), (parse_form, urlencode(fields))):
        with pytest.raises((BodyInvalid, ValueRefused)) as refused:
            parse(text.encode(), "finals")
        assert field in (refused.value.field, None)


@pytest.mark.parametrize(
    "body",
    [
        b'{"itemID": null}',
        b'{"poll": null, "choice": "Ada"}',
        b'{"itemID": 7}',
        b'["Ada"]',
        b'{"itemID": "Ada", "item": "Ada"}',
    ],
)
def test_an_item_has_no_null_no_number_and_no_field_that_is_not_known(body: bytes) -> None:
    with pytest.raises(BodyInvalid):
        parse_item(body, "finals")


@given(st.lists(st.one_of(ballots, tricky_ballots), min_size=1, max_size=8))
def test_a_batch_keeps_the_order(given_ballots: list[Ballot]) -> None:
    documents = [as_json(ballot) for ballot in given_ballots]
    assert parse_batch(json.dumps(documents).encode(), 8) == given_ballots
    lines = "\n".join(json.dumps(document) for document in documents)
    assert parse_lines(lines.encode(), 8) == given_ballots
    assert parse_lines(lines.replace("\n", "\r\n\n").encode(), 8) == given_ballots


@given(st.binary(max_size=200))
def test_any_bytes_are_a_ballot_or_an_error_that_names_the_fault(body: bytes) -> None:
    for parse in (
        parse_json,
        parse_form,
        lambda each: parse_item(each, "finals"),
        lambda each: parse_form(each, "finals"),
        lambda each: parse_batch(each, 5),
        lambda each: parse_lines(each, 5),
    ):
        try:
            parse(body)
        except TurnoutError as fault:
            assert str(fault)  # noqa: PT017  # any of the two outcomes will do


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(["poll", "choice", "voter"]), st.text(max_size=5)), inner),
    ),
    max_leaves=8,
)


@given(values)
def test_any_json_is_a_ballot_or_an_error(value: object) -> None:
    body = json.dumps(value).encode()
    for parse in (parse_json, lambda each: parse_batch(each, 5)):
        try:
            parsed = parse(body)
        except TurnoutError:
            continue
        for ballot in parsed if isinstance(parsed, list) else [parsed]:
            (ballot.poll + ballot.choice + (ballot.voter or "")).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b'{"poll":NaN,"choice":"a"}',
        b'{"poll":"p","choice":"a","choice":"b"}',
        b'{"poll":"p","choice":"a","\\u0063hoice":"b"}',
        b'{"poll":"p","choice":"a","voter":null,"voter":"v"}',
        b'{"poll":"p","choice":"a","x":1}',
        b'{"poll":"p","choice":"\\ud800"}',
        b'{"poll":"p","choice":"\\udc00\\ud800"}',
        b'{"poll":"p","choice":"\xff"}',
        b'\xef\xbb\xbf{"poll":"p","choice":"a"}',
        b"1" * 100_000,
        b"[" * 100_000,
        b'{"poll":' * 100_000,
        b'{"poll":"p","choice":1e999}',
        b'{"poll":"p"}',
    ],
)
def test_a_body_that_is_no_ballot_is_refused(body: bytes) -> None:
    with pytest.raises(BodyInvalid):
        parse_json(body)


@pytest.mark.parametrize(
    ("ballot", "field"),
    [
        ({"poll": "", "choice": "a"}, "/poll"),
        ({"poll": "p", "choice": ""}, "/choice"),
        ({"poll": "p", "choice": "a", "voter": ""}, "/voter"),
        ({"poll": "p", "choice": "a", "voter": "v" * 257}, "/voter"),
    ],
)
def test_empty_and_long_values_name_their_field(ballot: dict[str, str], field: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        parse_json(json.dumps(ballot).encode())
    assert refused.value.field == field


def test_each_fault_of_a_batch_is_named_by_its_index() -> None:
    good = {"poll": "p", "choice": "a"}
    body = json.dumps([good, {"poll": "p"}, good, {**good, "x": 1}, 7, {**good, "choice": ""}]).encode()
    with pytest.raises(BatchRefused) as refused:
        parse_batch(body, 10)
    assert sorted(refused.value.faults) == [1, 3, 4, 5]


def test_a_repeated_field_within_a_batch_is_found() -> None:
    body = b'[{"poll":"p","choice":"a"},{"poll":"p","choice":"a","choice":"b"}]'
    with pytest.raises(BatchRefused) as refused:
        parse_batch(body, 10)
    assert list(refused.value.faults) == [1]


def test_a_batch_has_its_bounds() -> None:
    body = json.dumps([{"poll": "p", "choice": "a"}] * 4).encode()
    assert len(parse_batch(body, 4)) == 4
    with pytest.raises(BodyTooLarge):
        parse_batch(body, 3)
    for empty in (b"[]", b"{}", b"7"):
        with pytest.raises(BodyInvalid):
            parse_batch(empty, 3)


@pytest.mark.parametrize(
    "body", ["a=1", "poll=p", "poll=p&choice=a&choice=b", "poll=p&choice=a&itemID=a", "%ff=%ff"]
)
def test_a_form_with_faults_is_refused(body: str) -> None:
    with pytest.raises(BodyInvalid):
        parse_form(body.encode())


def test_json_in_a_form_is_told_how_to_be_sent() -> None:
    with pytest.raises(BodyInvalid, match="application/json"):
        parse_form(b'{"poll": "p", "choice": "a"}')
