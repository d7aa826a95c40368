"""Each family under every fault that a seed draws, on a virtual clock: the invariants hold, and planted bugs are found."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.simulation.families import RUNS
from tests.simulation.plants import is_found
from tests.simulation.queue.plants import PLANTS as QUEUE_PLANTS
from tests.simulation.replays import ODD_SHELL, digest, digest_in_a_shell
from tests.simulation.seeds import first_fault
from tests.simulation.simulation import InvariantViolated
from tests.simulation.tasks.plants import PLANTS as TASK_PLANTS
from tests.simulation.votes.plants import PLANTS as VOTE_PLANTS

#: A bug that needs more seeds than these is as good as not found.
SEEDS = {"queue": 1_000, "votes": 1_000, "tasks": 100}
PLANTS = {"queue": QUEUE_PLANTS, "votes": VOTE_PLANTS, "tasks": TASK_PLANTS}
DIGEST_SEEDS = 5
ALWAYS = ("request lost", "answer lost", "again: ", "killed", "SIGTERM", "dies while asking")


@dataclass(frozen=True)
class Lively:
    """What has to come about in twenty seeds."""

    promised_min: int
    duplicates_min: int
    happens: tuple[str, ...]


LIVELY = {
    "queue": Lively(300, 20, (*ALWAYS, "bury")),
    "votes": Lively(300, 20, (*ALWAYS, "dies when answered")),
    "tasks": Lively(100, 10, (*ALWAYS, "stands still", "is lost", "attempt 3", "cancelled")),
}

each_family = pytest.mark.parametrize("family", sorted(RUNS))


@each_family
def test_the_invariants_hold_for_many_seeds(family: str, request: pytest.FixtureRequest) -> None:
    fault = first_fault(family, min(SEEDS[family], request.config.getoption("seeds")))

    assert fault is None, fault


@pytest.mark.parametrize(
    ("family", "plant"),
    [
        pytest.param(family, plant, id=f"{family}-{plant.__name__}")
        for family, plants in sorted(PLANTS.items())
        for plant in plants
    ],
)
def test_a_planted_bug_is_found(family: str, plant: type[Any]) -> None:
    assert is_found(RUNS[family], plant, SEEDS[family])


@each_family
def test_a_seed_replays_exactly_whatever_the_shell_exports(family: str) -> None:
    here = digest(family, DIGEST_SEEDS)

    assert digest(family, DIGEST_SEEDS) == here
    assert digest_in_a_shell(family, DIGEST_SEEDS, ODD_SHELL) == here


@each_family
def test_the_runs_do_what_they_are_for(family: str) -> None:
    """A simulation in which nothing happens finds nothing."""
    outcomes = [RUNS[family](seed) for seed in range(20)]
    happened = "\n".join(what for outcome in outcomes for _, _, what in outcome.events)
    lively = LIVELY[family]

    assert sum(outcome.promised for outcome in outcomes) > lively.promised_min
    assert sum(outcome.duplicates for outcome in outcomes) > lively.duplicates_min
    assert [what for what in lively.happens if what not in happened] == []


def test_a_failure_tells_its_seed_and_how_to_replay_it() -> None:
    with pytest.raises(InvariantViolated, match=r"(?s)^seed 0: .*--seed 0$"):
        RUNS["votes"](0, VOTE_PLANTS[0])
