"""The queue by itself, with a family of two lines: whatever family comes next has these invariants for nothing."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deadlines import COMMAND_SECONDS_MAX
from tests.simulation.queue.plants import PLANTS, Plant
from tests.simulation.queue.run import run
from tests.simulation.seeds import first_fault
from tests.simulation.simulation import InvariantViolated

SEEDS = 1_000
ROOT = Path(__file__).parents[3]


def test_the_invariants_hold_for_a_thousand_seeds(request: pytest.FixtureRequest) -> None:
    fault = first_fault("queue", request.config.getoption("seeds"))

    assert fault is None, fault


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found_within_a_thousand_seeds(plant: type[Plant]) -> None:
    assert any(violates(seed, plant) for seed in range(SEEDS))


def violates(seed: int, plant: type[Plant]) -> bool:
    """Whether an invariant is violated; a crash is none, and rises."""
    try:
        run(seed, plant)
    except InvariantViolated:
        return True
    return False


def test_a_seed_replays_exactly_whatever_the_shell_exports() -> None:
    plain = digest_in_a_shell({})
    odd = digest_in_a_shell(
        {
            "PYTHONHASHSEED": "7",
            "TURNOUT_LANES": "3",
            "TURNOUT_SHUTDOWN_SECONDS": "1",
            "TURNOUT_IDLE_SECONDS": "1",
            "TURNOUT_ACK_DEADLINE_SECONDS": "600",
            "GOOGLE_CLOUD_PROJECT": "another",
            "TZ": "Pacific/Chatham",
            "LANG": "tr_TR.UTF-8",
        }
    )
    assert plain == odd == digest()


def test_the_runs_do_what_they_are_for() -> None:
    """A simulation in which nothing happens finds nothing."""
    outcomes = [run(seed) for seed in range(20)]
    happened = "\n".join(what for outcome in outcomes for _, _, what in outcome.events)

    assert sum(outcome.promised for outcome in outcomes) > 300
    assert sum(outcome.duplicates for outcome in outcomes) > 20
    for fault in (
        "request lost",
        "answer lost",
        "again: done",
        "killed",
        "SIGTERM",
        "dies while asking",
        "bury",
    ):
        assert fault in happened


def digest() -> str:
    events = [run(seed).events for seed in range(12)]
    return hashlib.sha256(repr(events).encode()).hexdigest()


def digest_in_a_shell(exports: dict[str, str]) -> str:
    code = "from tests.simulation.queue.test_queue_simulation import digest; print(digest())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **exports},
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_SECONDS_MAX,
    )
    return done.stdout.strip()
