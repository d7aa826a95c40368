"""What a function reads from a request's headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from functions.http.request import idempotency_key
from turnout.base.errors import ValueRefused


def bearing(key: str) -> Request:
    return Request({"type": "http", "headers": [(b"idempotency-key", key.encode("latin-1"))]})


def test_no_idempotency_key_is_none() -> None:
    assert idempotency_key(Request({"type": "http", "headers": []})) is None


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_an_idempotency_key_is_visible_ascii(key: str) -> None:
    if 1 <= len(key) <= 256 and all(33 <= ord(character) <= 126 for character in key):
        assert idempotency_key(bearing(key)) == key
    else:
        with pytest.raises(ValueRefused):
            idempotency_key(bearing(key))


@pytest.mark.parametrize("key", ["!", "~", "k" * 256])
def test_the_shortest_the_longest_and_the_outermost_idempotency_keys_are_taken(key: str) -> None:
    assert idempotency_key(bearing(key)) == key


@pytest.mark.parametrize("key", ["", " ", "\x7f", "k" * 257])
def test_those_just_beyond_are_refused(key: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        idempotency_key(bearing(key))
    assert refused.value.field == "Idempotency-Key"
