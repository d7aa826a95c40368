"""The outcomes of the scenarios that were chosen, run side by side once."""

import pytest

pytest.register_assert_rewrite("tests.faults.running", "tests.faults.world")

from emulators.google import GoogleEmulators  # noqa: E402  # after the line that gives assertions their figures
from tests.conftest import run_apart  # noqa: E402
from tests.faults.side_by_side import Outcomes, run_side_by_side  # noqa: E402


@pytest.fixture(scope="session")
def outcomes(
    request: pytest.FixtureRequest,
    google_emulators: GoogleEmulators,
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcomes:
    """How each scenario ended."""
    tests = [item.obj for item in request.session.items if isinstance(item, pytest.Function)]
    chosen = [test.scenario for test in tests if hasattr(test, "scenario")]
    return run_apart(run_side_by_side(chosen, google_emulators, tmp_path_factory.mktemp("faults")))
