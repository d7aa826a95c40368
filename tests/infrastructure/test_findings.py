"""docs/first-apply.md: each finding has its mend and a test, and each test that it names is there."""

import ast
import re
from pathlib import Path

import pytest

from tests.infrastructure.conftest import ROOT

ROWS = [
    line.strip("|").split(" | ")
    for line in (ROOT / "docs" / "first-apply.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| finding"))
]
FOLDERS = ("tests/infrastructure", "tests/cli", "terraform/tests")
NAMED = sorted({each for row in ROWS for each in re.findall(r"`([\w.]+::\w+)`", row[-1])})


def names_in(path: Path) -> set[str]:
    """The functions of a module, or the runs of a file of Terraform's tests."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)}
    return set(re.findall(r'^run "(\w+)"', text, re.MULTILINE))


def test_every_finding_has_a_mend_and_a_test() -> None:
    assert len(ROWS) > 20
    for finding, mend, tests in ROWS:
        assert finding.strip()
        assert mend.strip()
        assert "::" in tests, finding


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_the_page_names_exists(named: str) -> None:
    file, _, name = named.partition("::")
    (path,) = [each for folder in FOLDERS if (each := ROOT / folder / file).is_file()]
    assert name in names_in(path)
