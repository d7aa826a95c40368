"""The fast half: what needs nothing but this process, in about a minute. `make test-fast`, or `pytest -m fast`."""

import pytest

FOLDERS = ("tests/pure/", "tests/contracts/", "tests/simulation/")
#: A contract is held on the emulators as well, which takes longer.
SLOW = "emulator"


def is_fast(item: pytest.Item) -> bool:
    """Whether a test belongs to the fast half."""
    parameters = (
        item.callspec.params.values()
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else ()
    )
    return item.nodeid.startswith(FOLDERS) and SLOW not in parameters


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the fast half, before what was asked for is chosen by its marks."""
    for item in items:
        if is_fast(item):
            item.add_marker("fast")
