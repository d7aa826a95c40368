"""The core under every fault that a seed draws, on a virtual clock: the invariants hold, and planted bugs are found."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deadlines import COMMAND_SECONDS_MAX
from tests.simulation.seeds import first_fault
from tests.simulation.simulation import InvariantViolated
from tests.simulation.votes.plants import PLANTS, Plant
from tests.simulation.votes.run import run

SEEDS = 1_000
ROOT = Path(__file__).parents[3]


def test_the_invariants_hold_for_a_thousand_seeds(request: pytest.FixtureRequest) -> None:
    fault = first_fault("votes", request.config.getoption("seeds"))

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


def test_a_seed_replays_exactly() -> None:
    for seed in range(10):
        assert run(seed) == run(seed)


def test_a_seed_replays_exactly_in_another_shell_with_other_hashes_and_settings() -> None:
    assert digest_with_hashes("1") == digest_with_hashes("2") == digest()


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
        "dies when answered",
    ):
        assert fault in happened


def test_a_failure_tells_its_seed_and_how_to_replay_it() -> None:
    with pytest.raises(InvariantViolated, match=r"(?s)^seed 0: .*--seed 0$"):
        run(0, PLANTS[0])


def digest() -> str:
    events = [run(seed).events for seed in range(12)]
    return hashlib.sha256(repr(events).encode()).hexdigest()


def digest_with_hashes(hash_seed: str) -> str:
    code = "from tests.simulation.votes.test_simulation import digest; print(digest())"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "TURNOUT_LANES": hash_seed,
        "TURNOUT_SHUTDOWN_SECONDS": hash_seed,
        "TURNOUT_POLL_DAYS_MAX": hash_seed,
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_SECONDS_MAX,
    )
    return done.stdout.strip()
