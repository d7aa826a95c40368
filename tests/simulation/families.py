"""The simulations there are: the queue by itself, and each family on it."""

from collections.abc import Callable

from tests.simulation.queue.run import run as run_queue
from tests.simulation.simulation import Outcome
from tests.simulation.tasks.run import run as run_tasks
from tests.simulation.votes.run import run as run_votes

RUNS: dict[str, Callable[..., Outcome]] = {"queue": run_queue, "tasks": run_tasks, "votes": run_votes}
