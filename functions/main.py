"""The targets: this file is what is deployed.

`functions-framework --source functions/main.py --target vote`; in the cloud `GOOGLE_FUNCTION_SOURCE` names it.
"""

import sys
from pathlib import Path

# Only this file's own folder is on the path when functions-framework loads it; the core lies beside that folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from functions.persist import persist
from functions.persist import persist  # noqa: E402
from functions.polls import polls  # noqa: E402
from functions.results import results  # noqa: E402
from functions.vote import vote  # noqa: E402

__all__ = ["persist", "polls", "results", "vote"]
