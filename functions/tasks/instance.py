"""What one instance of a tasks' function keeps between requests: channels, and the verbs built on them.

Made with the first request, in the process and event loop that use it: gRPC does not survive gunicorn's fork.
"""

import os
from functools import cache

from functions.http.deadline import SharedDeadline
from functions.http.process import prepare_process
from turnout.gcp.tasks.settings import Settings
from turnout.gcp.tasks.wiring import Wiring
from turnout.tasks.delaying import Delaying
from turnout.tasks.herding import Herding
from turnout.tasks.intake import TaskIntake
from turnout.tasks.reading import TaskReader
from turnout.tasks.steering import Steering
from turnout.tasks.waking import Waking


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
def intake() -> TaskIntake:
    """The intake."""
    return _wiring().intake()


@cache
def delaying() -> Delaying:
    """The wire format of the delay-queue service."""
    return _wiring().delaying()


@cache
def reader() -> TaskReader:
    """What answers questions about tasks."""
    return _wiring().reader()


@cache
def steering() -> Steering:
    """What a person does with a task."""
    return _wiring().steering()


@cache
def herding() -> Herding:
    """What a person does with many tasks."""
    return _wiring().herding()


@cache
def waking() -> Waking:
    """What alarms and sweeps do."""
    return _wiring().waking()
