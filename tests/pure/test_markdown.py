"""Markdown is read in terminals and diffs: prose wraps at 100 characters."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "terraform").glob("*.md")),
]
CHARACTERS_MAX = 100


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page that are neither code nor a table, with their numbers."""
    in_code = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not line.lstrip().startswith("|"):
            yield number, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_prose_wraps_at_a_hundred_characters(page: Path) -> None:
    # A line that is one long word, such as an address, cannot be wrapped.
    long = [
        number for number, line in prose(page) if len(line) > CHARACTERS_MAX and re.search(r"\S\s+\S", line)
    ]
    assert not long, f"{page.name}: lines {long}"
