"""Tasks under every fault: alarms, messages, commits, answers and acknowledgements that are lost, doubled, late."""

import pytest

from tests.simulation.seeds import faults
from tests.simulation.simulation import InvariantViolated
from tests.simulation.tasks.plants import PLANTS, Plant
from tests.simulation.tasks.run import run

SEEDS = 100


def test_the_invariants_hold_for_a_hundred_seeds() -> None:
    failures = [fault for fault in faults("tasks", range(SEEDS), 2) if fault]

    assert not failures, failures[0]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found_within_a_hundred_seeds(plant: type[Plant]) -> None:
    assert any(violates(seed, plant) for seed in range(SEEDS))


def violates(seed: int, plant: type[Plant]) -> bool:
    """Whether an invariant is violated; a crash is none, and rises."""
    try:
        run(seed, plant)
    except InvariantViolated:
        return True
    return False


def test_a_seed_replays_exactly() -> None:
    assert run(3).events == run(3).events


def test_the_runs_do_what_they_are_for() -> None:
    """A simulation in which nothing happens finds nothing."""
    outcomes = [run(seed) for seed in range(20)]
    happened = "\n".join(what for outcome in outcomes for _, _, what in outcome.events)

    assert sum(outcome.promised for outcome in outcomes) > 100
    assert sum(outcome.duplicates for outcome in outcomes) > 10
    for fault in (
        "request lost",
        "answer lost",
        "again: ",
        "killed",
        "SIGTERM",
        "dies while asking",
        "stands still",
        "is lost",
        "attempt 3",
        "cancelled",
    ):
        assert fault in happened
