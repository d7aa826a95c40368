"""Which tests share a worker, and which begin first: what stands on the same costly thing stays together, long before short.

A worker that gets a test of the local cloud, of the faults or of terraform builds all that these stand on, so each of them
stays in one worker; any other file may go anywhere.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Groups in the order in which they begin, longest first: a group, and what its tests' paths begin with.
GROUPS = {
    "local cloud": (
        "tests/browser/",
        "tests/cli/test_commands.py",
        "tests/cli/test_task_commands.py",
        "tests/emulated/tasks/",
        "tests/emulated/test_openapi.py",
        "tests/emulated/test_results_and_polls.py",
        "tests/emulated/test_smoke.py",
        "tests/emulated/test_voting.py",
        "tests/emulated/test_way_of_a_vote.py",
    ),
    "terraform": ("tests/infrastructure/",),
    "faults": ("tests/faults/",),
    "simulation": ("tests/simulation/",),
    "command line": ("tests/cli/test_processes.py",),
    "benchmarks": ("tests/emulated/test_benchmarks.py",),
    "stack": ("tests/local_cloud/test_stack.py",),
    "scaling": ("tests/emulated/test_scaling_predictions.py",),
}


def group_of(nodeid: str) -> str:
    """The group of a test; of those that stand alone, the file."""
    for group, beginnings in GROUPS.items():
        if nodeid.startswith(beginnings):
            return group
    return nodeid.partition("::")[0]


class Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each worker whole groups, in the order in which the tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Together:
    config.option.loadscopereorder = False
    return Together(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts long groups first, and leaves the order within each as it is: it may be random."""
    if not hasattr(config, "workerinput"):
        return
    ranks = {group: rank for rank, group in enumerate(GROUPS)}
    items.sort(key=lambda item: ranks.get(group_of(item.nodeid), len(ranks)))
