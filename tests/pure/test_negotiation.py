"""`Accept` and `If-None-Match` as RFC 9110 has them; whatever a client sends does no harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from functions.http.negotiation import has_already, preferred
from functions.votes.results import MEDIA_TYPES

#: What Firefox and Chrome, old browsers, and clients of the usual libraries send.
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
INTERNET_EXPLORER = "text/html, application/xhtml+xml, */*"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"
AXIOS = "application/json, text/plain, */*"
JQUERY = "application/json, text/javascript, */*; q=0.01"

TAG = 'W/"5d41402abc4b2a76b9719d91"'
OTHER = 'W/"7d793037a0760186574b0282"'


def sent(name: str, *values: str) -> Headers:
    return Headers(raw=[(name.encode(), value.encode("latin-1")) for value in values])


def form_for(*accept: str) -> str:
    offered = {str(form): media_type for form, media_type in MEDIA_TYPES.items()}
    return preferred(sent("accept", *accept), offered, "json")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/*", "json"),
        ("text/*", "csv"),
        ("text/csv", "csv"),
        ("TEXT/CSV", "csv"),
        ("text/csv; charset=utf-8", "csv"),
        ("text/csv;charset=UTF-8;q=0.5, text/html;q=0.4", "csv"),
        ("text/html", "html"),
        (FIREFOX, "html"),
        (CHROME, "html"),
        (INTERNET_EXPLORER, "html"),
        (JAVA, "html"),
        (AXIOS, "json"),
        (JQUERY, "json"),
        # Weights.
        ("text/html;q=0.3, text/csv;q=0.4", "csv"),
        ("text/html;q=0.4, text/csv;q=0.3", "html"),
        ("text/html;q=0.999, application/json", "json"),
        ("text/csv;q=0.5, */*;q=0.1", "csv"),
        ("text/csv ; q=0.5 , text/html ; q=0.6", "html"),
        # Not this one.
        ("text/html;q=0, */*", "json"),
        ("application/json;q=0, */*", "csv"),
        ("application/json;q=0, text/csv;q=0.0, */*", "html"),
        ("*/*;q=0, text/csv", "csv"),
        # The most specific range that fits decides, wherever it stands.
        ("text/*, text/csv;q=0.1", "html"),
        ("text/csv;q=0.1, text/*", "html"),
        ("text/*;q=0.3, text/html;q=0.1, */*;q=0.2", "csv"),
        ("*/*;q=0.9, text/*;q=0.1", "json"),
        # Equal weights: the more specific range, then the order of the header.
        ("*/*, text/csv", "csv"),
        ("text/csv, application/json", "csv"),
        ("application/json, text/csv", "json"),
        ("text/html, text/csv", "html"),
        # Nothing that there is.
        ("application/xml", "json"),
        ("image/*, text/plain", "json"),
        ("*/*;q=0", "json"),
        ("text/csv;header=absent", "json"),
        # Malformed: as if it were not there.
        ("text/csv;q=high", "json"),
        ("text/csv;q=2", "json"),
        ("text/csv;q=-1", "json"),
        ("text/csv;q=", "csv"),
        ("text", "json"),
        ("*", "json"),
        ("*/csv", "json"),
        (",,;;q=,,text/csv,,", "csv"),
        (";q=0.5, text/csv;q=0.5", "csv"),
        ('"text/html', "json"),
    ],
)
def test_the_form_is_the_one_that_the_client_rates_highest(accept: str, form: str) -> None:
    assert form_for(accept) == form


def test_several_headers_are_one_list() -> None:
    assert form_for("application/json;q=0.2", "text/csv;q=0.4") == "csv"
    assert has_already(sent("if-none-match", OTHER, TAG), TAG)


def test_nothing_sent_accepts_everything_and_has_nothing() -> None:
    assert form_for() == "json"
    assert not has_already(Headers(), TAG)


WEIGHTS = st.integers(0, 1_000).map(lambda thousandths: thousandths / 1_000)
RANGES = st.sampled_from(
    ["application/json", "text/csv", "text/html", "text/*", "application/*", "*/*", "image/png"]
)


@given(st.dictionaries(RANGES, WEIGHTS, min_size=1))
def test_no_form_outweighs_the_chosen_one(weights: dict[str, float]) -> None:
    """Beside the rule of RFC 9110 written down: the type itself, else its family, else all."""
    expected: dict[str, float] = {}
    for form, media_type in MEDIA_TYPES.items():
        name = media_type.partition(";")[0]
        fitting = (name, f"{name.partition('/')[0]}/*", "*/*")
        expected[form] = next((weights[each] for each in fitting if each in weights), 0.0)
    chosen = form_for(", ".join(f"{each};q={weight}" for each, weight in weights.items()))
    if max(expected.values()) > 0:
        assert expected[chosen] == max(expected.values())
    else:
        assert chosen == "json"


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_any_accept_at_all_gets_one_of_the_forms(text: str) -> None:
    assert form_for(text) in MEDIA_TYPES


@given(st.text(st.sampled_from(' ,;="/*\\qtexhml01.-'), max_size=60))
def test_an_accept_of_its_own_signs_gets_one_of_the_forms(text: str) -> None:
    assert form_for(text) in MEDIA_TYPES


@pytest.mark.parametrize(
    ("if_none_match", "found"),
    [
        (TAG, True),
        (TAG.removeprefix("W/"), True),
        (f"{OTHER}, {TAG}", True),
        (f"{OTHER},{TAG}", True),
        (f'"a,b" , {TAG.removeprefix("W/")},', True),
        ("*", True),
        ("", False),
        (OTHER, False),
        (f"{OTHER}, {OTHER}", False),
        ('W/""', False),
        # Within another tag: not the tag.
        (f'"x{TAG[2:-1]}"', False),
        (TAG[:-2] + '"', False),
        # Malformed members are passed over.
        (f'"open, {TAG}', True),
        (f"{OTHER};q=1, {TAG}", True),
        ('"*"', False),
    ],
)
def test_a_client_has_what_its_list_names_by_weak_comparison(if_none_match: str, *, found: bool) -> None:
    assert has_already(sent("if-none-match", if_none_match), TAG) is found


OPAQUE = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'), min_size=1, max_size=30
)
TAGS = st.builds("{}{}".format, st.sampled_from(["", "W/"]), OPAQUE.map('"{}"'.format))


@given(st.lists(TAGS, min_size=1), TAGS)
def test_a_list_has_a_tag_if_one_of_its_members_is_that_tag_weak_or_strong(tags: list[str], tag: str) -> None:
    expected = tag.removeprefix("W/") in [each.removeprefix("W/") for each in tags]
    assert has_already(sent("if-none-match", ", ".join(tags)), tag) is expected


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_any_if_none_match_at_all_is_answered(text: str) -> None:
    has_already(sent("if-none-match", text), TAG)
