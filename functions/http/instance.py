"""What one instance of a function keeps between requests: settings, channels, and the verbs built on them.

Made with the first request, in the process and event loop that use it: gRPC does not survive gunicorn's fork.
"""

import gc
from functools import cache

from turnout.base.logs import configure_logs
from turnout.gcp.wiring import Wiring
from turnout.votes.administration import Administration
from turnout.votes.intake import Intake
from turnout.votes.persistence import Persistence
from turnout.votes.results import ResultsReader
from turnout.votes.settings import Settings

#: Objects made and not yet freed before Python looks for cycles among them: several thousand requests under way.
GARBAGE_OBJECTS = 200_000


@cache
def wiring() -> Wiring:
    """The wiring of this instance."""
    # Requests that wait for their publish look like garbage to a collector that counts 700 objects: it took a third
    # of a worker's time. What is loaded by now stays for good.
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 10, 10)
    settings = Settings.from_environment()
    configure_logs(settings.project, settings.service)
    return Wiring(settings)


@cache
def intake() -> Intake:
    """The intake, with its bundler."""
    return wiring().intake()


@cache
def results() -> ResultsReader:
    """The reader of results, with its cache."""
    return wiring().results()


@cache
def administration() -> Administration:
    """What a poll's owner may do."""
    return wiring().administration()


@cache
def persistence() -> Persistence:
    """Persistence and certification."""
    return wiring().persistence()
