"""Which URLs are called: the enemy's list of forbidden forms."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.base.errors import ValueRefused
from turnout.tasks.callbacks.addresses import Allowed, check_url, is_public, refusal

NOBODY = Allowed()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "http://example.com:80/a?b=c#d",
        "https://example.com:443/%0d%0a",
        "https://xn--bcher-kva.example/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://a_b.example.com./",
    ],
)
def test_a_public_url_is_called(url: str) -> None:
    assert str(check_url(url, NOBODY)).startswith("http")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com\\@127.0.0.1/",
        "https://127.0.0.1\\.example.com/",
        "https://exa mple.com/",
        "https://example.com/\r\nX: 1",
        "https://example.com/\x00",
        "https://example.com/\u202e",
        "https://bücher.example/",
        "https://example。com/",
        "https://①②⑦.0.0.1/",
        "https://example.com:8080/",
        "https://example.com:22/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:-1/",
        "https://localhost/",
        "https://LOCALHOST/",
        "https://localhost./",
        "https://a.localhost/",
        "https://router/",
        "https://metadata/",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://METADATA.google.internal./",
        "https://printer.local/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://127.0.0.0x1/",
        "https://1.2.3.4.5/",
        "https://0/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://192.0.2.1/",
        "https://198.18.0.1/",
        "https://203.0.113.7/",
        "https://224.0.0.1/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://192.88.99.1/",
        "https://[::]/",
        "https://[::1]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::127.0.0.1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[64:ff9b:1::1]/",
        "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:db8::1]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://example.com/" + "a" * 2_083,
    ],
)
def test_whatever_could_lead_inside_is_refused(url: str) -> None:
    with pytest.raises(ValueRefused, match="not called"):
        check_url(url, NOBODY)


@given(st.text(max_size=80))
def test_any_text_is_taken_or_refused_and_never_more(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}.example.com/"):
        with contextlib.suppress(ValueRefused):
            assert check_url(url, NOBODY).scheme in ("http", "https")


@given(st.ip_addresses())
def test_a_public_address_is_global_and_wraps_no_other(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        assert getattr(address, "ipv4_mapped", None) is None
        assert getattr(address, "sixtofour", None) is None
        assert getattr(address, "teredo", None) is None


@pytest.mark.parametrize(
    ("addresses", "is_called"),
    [
        (["8.8.8.8"], True),
        (["8.8.8.8", "2606:4700:4700::1111"], True),
        (["8.8.8.8", "127.0.0.1"], False),
        (["2606:4700:4700::1111", "::1"], False),
        (["fe80::1%eth0"], False),
        (["not an address"], False),
        ([], False),
    ],
)
def test_every_address_of_a_name_has_to_be_public(addresses: list[str], *, is_called: bool) -> None:
    assert (refusal(addresses) == "") is is_called


def test_hosts_that_are_allowed_are_called_wherever_they_are() -> None:
    allowed = Allowed.read("127.0.0.1:9000, intranet.example.local")
    assert str(check_url("http://127.0.0.1:9000/hook", allowed)) == "http://127.0.0.1:9000/hook"
    assert check_url("http://intranet.example.local:8443/", allowed).port == 8443
    for other in ("http://127.0.0.1:9001/", "http://127.0.0.2:9000/", "http://127.1:9000/"):
        with pytest.raises(ValueRefused):
            check_url(other, allowed)
