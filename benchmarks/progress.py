"""What a run is at: a line a step on standard error, for a run takes minutes."""

import sys
from datetime import datetime


def say(step: str) -> None:
    """Tells a person what is measured now."""
    sys.stderr.write(f"{datetime.now():%H:%M:%S} {step}\n")  # noqa: DTZ005  # the reader's own clock
    sys.stderr.flush()
