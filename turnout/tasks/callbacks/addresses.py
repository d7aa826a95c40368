"""Addresses that may be called. A caller of our API must not reach what only we can reach.

A URL is read once, by the parser that the connection is made with, and a name is resolved once: the connection goes to
the very address that was judged.
"""

import ipaddress
import re
from collections.abc import Sequence

import msgspec
from yarl import URL

from turnout.base.errors import ValueRefused

URL_CHARACTERS_MAX = 2_083
PORTS = (80, 443)
#: Names of a machine's or a cloud's own.
OWN_NAMES = ("localhost", "metadata", "instance-data")
OWN_ENDINGS = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa", ".intranet", ".lan")
#: Visible ASCII without what parsers read differently: another host is internationalised by its sender.
_PLAIN = re.compile(r"[!-~]+")
_NAME = re.compile(
    r"(?=.{1,253}\.?$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?"
)
#: Names that end in a number are addresses in disguise: 2130706433, 0x7f.1, 0177.0.0.1, 127.1.
_NUMERIC_ENDING = re.compile(r"(.*\.)?(\d+|0[xX][0-9a-fA-F]*)\.?")

#: Ranges in which an address of the other protocol is wrapped, or which Python counts as global.
_WRAPPING = tuple(
    map(
        ipaddress.ip_network,
        (
            "::/96",  # IPv4-compatible
            "::ffff:0:0/96",  # IPv4-mapped
            "::ffff:0:0:0/96",  # IPv4-translated
            "64:ff9b::/96",  # NAT64
            "64:ff9b:1::/48",
            "2001::/32",  # Teredo
            "2002::/16",  # 6to4
            "fec0::/10",  # site-local
            "192.88.99.0/24",  # 6to4 relays
        ),
    )
)


class Allowed(msgspec.Struct, frozen=True):
    """Hosts that may be called wherever they are, on whichever port: `host` or `host:port`."""

    hosts: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str) -> "Allowed":
        """From a setting: hosts between commas."""
        return cls(frozenset(each.strip().lower() for each in text.split(",") if each.strip()))

    def has(self, host: str, port: int | None) -> bool:
        """Whether a host is among them."""
        return bool(self.hosts) and not self.hosts.isdisjoint((host, f"{host}:{port}"))


def check_url(text: str, allowed: Allowed, *, field: str = "") -> URL:
    """The URL, if it may be called as far as it tells by itself; `ValueRefused` says why not."""

    def expect(holds: bool, why: str) -> None:  # noqa: FBT001  # the condition itself
        if not holds:
            raise ValueRefused(f"This URL is not called: {why}.", field=field)

    expect(0 < len(text) <= URL_CHARACTERS_MAX, f"it has 1 to {URL_CHARACTERS_MAX:,} characters")
    expect(
        _PLAIN.fullmatch(text) is not None and "\\" not in text, "it has characters outside of visible ASCII"
    )
    try:
        url = URL(text)
        host, port = (url.raw_host or "").lower(), url.port
    except ValueError:
        raise ValueRefused("This URL is not called: it cannot be read.", field=field) from None
    expect(url.scheme in ("http", "https"), "it begins with http:// or https://")
    expect(url.raw_user is None and url.raw_password is None, "it carries a user or a password")
    expect(bool(host) and "%" not in host, "it names no host")
    if allowed.has(host, port):
        return url.with_fragment(None)
    expect(port in PORTS, "its port is neither 80 nor 443")
    address = _literal(host)
    if address is not None:
        expect(is_public(address), "its address is not a public one")
        return url.with_fragment(None)
    expect(_NUMERIC_ENDING.fullmatch(host) is None, "its host is a number; write an address as 192.0.2.1")
    expect(_NAME.fullmatch(host) is not None, "its host is not a name")
    name = host.rstrip(".")
    expect("." in name, "its host has no domain")
    expect(name not in OWN_NAMES and not name.endswith(OWN_ENDINGS), "its host is a private name")
    return url.with_fragment(None)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of the public internet, and nothing else in disguise."""
    if any(address in network for network in _WRAPPING if network.version == address.version):
        return False
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
    )


def refusal(addresses: Sequence[str]) -> str:
    """Why a name with these addresses is not called; empty if it may be: every one of them is public."""
    if not addresses:
        return "its name has no address"
    for each in addresses:
        address = _literal(each)
        if address is None or not is_public(address):
            return "its name has an address that is not a public one"
    return ""


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
