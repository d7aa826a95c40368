"""Which providers the tests of terraform/ have: the real ones, or the stand-ins where the registry cannot be reached."""

import os
import urllib.error
import urllib.request
from functools import cache

import pytest

REGISTRY = "https://registry.terraform.io/.well-known/terraform.json"
#: `registry` or `offline` says it; without it the registry is asked.
VARIABLE = "TERRAFORM_PROVIDERS"
PROBE_SECONDS = 3.0
#: Under this name a test that used Terraform says with which providers.
PROPERTY = "terraform providers"
SAID = {
    "registry": "the real providers, from the registry",
    "offline": "the offline stand-ins of tests/infrastructure/terraform_offline: the registry cannot be reached",
}


@cache
def providers() -> str:
    """`registry` or `offline`."""
    given = os.environ.get(VARIABLE, "")
    if given:
        if given not in SAID:
            raise pytest.UsageError(f"{VARIABLE} is {given!r}: say registry or offline, or leave it unset")
        return given
    try:
        with urllib.request.urlopen(REGISTRY, timeout=PROBE_SECONDS):
            return "registry"
    except (urllib.error.URLError, TimeoutError):
        return "offline"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says in one line which providers the tests of terraform/ had."""
    reports = [each for reports in terminalreporter.stats.values() for each in reports]
    used = {
        value for each in reports for name, value in getattr(each, "user_properties", ()) if name == PROPERTY
    }
    for each in sorted(used):
        terminalreporter.write_line(f"terraform/ was tested with {SAID[each]}")
