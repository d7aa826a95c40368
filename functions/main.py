"""The targets: this file is what is deployed.

`functions-framework --source functions/main.py --target vote`; in the cloud `GOOGLE_FUNCTION_SOURCE` names it.
"""

import sys
from pathlib import Path

# Only this file's own folder is on the path when functions-framework loads it; the core lies beside that folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from functions.http.methods import take_every_method
from functions.tasks.delay import delay
from functions.tasks.due import due
from functions.tasks.sweep import sweep
from functions.tasks.tasks import tasks
from functions.votes.persist import persist
from functions.votes.polls import polls
from functions.votes.results import results
from functions.votes.vote import vote

take_every_method()

__all__ = ["delay", "due", "persist", "polls", "results", "sweep", "tasks", "vote"]
