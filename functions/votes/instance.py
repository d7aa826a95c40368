"""What one instance of a votes' function keeps between requests: channels, and the verbs built on them.

Made with the first request, in the process and event loop that use it: gRPC does not survive gunicorn's fork.
"""

import os
from functools import cache

from functions.http.deadline import SharedDeadline
from functions.http.process import prepare_process
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.administration import Administration
from turnout.votes.intake import Intake
from turnout.votes.persistence import Persistence
from turnout.votes.results import ResultsReader


@cache
def _wiring() -> Wiring:
    wiring = Wiring.from_environment(os.environ)
    prepare_process(wiring.settings.project, wiring.settings.service)
    return wiring


def settings() -> Settings:
    """What this instance was told."""
    return _wiring().settings


@cache
def body_deadline() -> SharedDeadline:
    """What the bodies of all requests are bounded by."""
    return SharedDeadline(settings().body_seconds_max)


@cache
def intake() -> Intake:
    """The intake, with its batcher."""
    return _wiring().intake()


@cache
def results() -> ResultsReader:
    """The reader of results, with its cache."""
    return _wiring().results()


@cache
def administration() -> Administration:
    """What a poll's owner may do."""
    return _wiring().administration()


@cache
def persistence() -> Persistence:
    """Persistence and certification."""
    return _wiring().persistence()
