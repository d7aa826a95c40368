"""What is set up once in the process of an instance, before it serves: its logs, and its garbage collector."""

import gc

from turnout.base.logs import configure_logs

#: Objects made and not yet freed before Python looks for cycles among them: several thousand requests under way.
GARBAGE_OBJECTS = 200_000


def prepare_process(project: str, service: str) -> None:
    """Sets up logs and garbage collection; call it with the first request, when everything is loaded."""
    # Requests that wait for their publish look like garbage to a collector that counts 700 objects: it took a third
    # of a worker's time. What is loaded by now stays for good.
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 10, 10)
    configure_logs(project, service)
