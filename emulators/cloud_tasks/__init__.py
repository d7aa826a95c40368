"""A stand-in for Cloud Tasks, with Google's own API over gRPC and REST, for tests and development on one machine.

`engine` holds the rules and does no I/O; `store` keeps what must survive; `dispatcher` sends; `methods` is the
API's table, which `emulators.api` serves over gRPC and REST; `page` is for people. docs/cloud-tasks.md says how to use it, and where it differs from the service.
"""

from emulators.cloud_tasks.server import CloudTasks, Settings

__all__ = ["CloudTasks", "Settings"]
