"""Headers and signatures of callbacks."""

import base64
import hashlib
import hmac

import pytest

from tests.pure.tasks.factories import NOON, a_task
from turnout.base.errors import SettingsInvalid, ValueRefused
from turnout.tasks.callbacks.headers import callback_headers, check_headers
from turnout.tasks.callbacks.signing import Signing

SECRET = b"a secret of four and twenty bytes"
GIVEN = "whsec_" + base64.b64encode(SECRET).decode()
OTHER = "whsec_" + base64.b64encode(SECRET[::-1]).decode()


def test_ordinary_headers_are_sent() -> None:
    check_headers(
        {"Authorization": "Bearer abc", "X-Team": "a b\tc", "Content-Type": "text/plain", "X-E": ""}, field=""
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-B: 2"},
        {"X-A": "1\n"},
        {"X-A": "\r"},
        {"X-A": "a\x00b"},
        {"X-A": "ü"},
        {"X-A": " a"},
        {"X-A": "a "},
        {"X-A\r\nX-B": "1"},
        {"X A": "1"},
        {"": "1"},
        {"X:A": "1"},
        {"Host": "elsewhere"},
        {"hOsT": "elsewhere"},
        {"Content-Length": "0"},
        {"Transfer-Encoding": "chunked"},
        {"Connection": "upgrade"},
        {"Upgrade": "h2c"},
        {"Accept-Encoding": "gzip"},
        {"Webhook-Signature": "v1,forged"},
        {"ce-id": "1"},
        {"Traceparent": "00-0-0-0"},
        {"Metadata-Flavor": "Google"},
        {"X-Forwarded-For": "1.1.1.1"},
        {"Proxy-Authorization": "Basic"},
        {f"X-{each}": "1" for each in range(33)},
        {"X-A": "a" * 8_192},
    ],
)
def test_no_header_begins_another_or_takes_turnouts_place(headers: dict[str, str]) -> None:
    with pytest.raises(ValueRefused):
        check_headers(headers, field="/headers")


def test_a_callback_says_which_event_it_is() -> None:
    task = a_task(7, context={"traceparent": "00-aa-bb-01"})
    headers = callback_headers(task, NOON)
    assert headers["ce-id"] == "7"
    assert headers["ce-source"] == "/turnout/tasks/thumbnails"
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-type"] == "turnout.task"
    assert headers["traceparent"] == "00-aa-bb-01"
    assert "traceparent" not in callback_headers(a_task(7), NOON)


def test_a_signature_is_what_standard_webhooks_says() -> None:
    headers = Signing.read(GIVEN).headers("7", NOON, b'{"a":1}')
    timestamp = str(int(NOON.timestamp()))
    digest = hmac.new(SECRET, f"7.{timestamp}.".encode() + b'{"a":1}', hashlib.sha256).digest()
    assert headers == {
        "webhook-id": "7",
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def test_two_secrets_sign_while_one_takes_the_others_place() -> None:
    both = Signing.read(f"{GIVEN} {OTHER}").headers("7", NOON, b"")["webhook-signature"].split()
    assert both == [
        Signing.read(each).headers("7", NOON, b"")["webhook-signature"] for each in (GIVEN, OTHER)
    ]


def test_without_a_secret_nothing_is_signed() -> None:
    assert "webhook-signature" not in Signing.read("").headers("7", NOON, b"")


@pytest.mark.parametrize(
    "given", ["abc", "whsec_", "whsec_äöü", "whsec_YWJj", SECRET.decode(), f"{GIVEN} " * 3]
)
def test_a_secret_that_is_none_is_said_and_never_shown(given: str) -> None:
    with pytest.raises(SettingsInvalid, match="TURNOUT_CALLBACK_SECRETS") as fault:
        Signing.read(given)
    secret = given.removeprefix("whsec_")
    assert not secret or secret not in str(fault.value)
