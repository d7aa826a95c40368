"""Batches: the service answers them with a long-running operation, which here has ended when it is returned."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from emulators.api.refused import Code, Refused
from emulators.cloud_tasks.errors import NotFound
from emulators.cloud_tasks.limits import OPERATIONS_KEPT
from emulators.cloud_tasks.messages import Operation

NONE_SUCCEEDED = (
    "None of the requests succeeded, refer to {metadata}.failed_requests for individual error details"
)


class Operations:
    """A bounded number of ended operations, by name."""

    def __init__(self, operations_max: int = OPERATIONS_KEPT) -> None:
        self._operations_max = operations_max
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def find(self, name: str) -> Any | None:
        """An operation, or None."""
        return self._kept.get(name)

    def get(self, name: str) -> Any:
        """An operation; `NotFound`."""
        found = self._kept.get(name)
        if found is None:
            raise NotFound
        return found

    def keep(self, operation: Any) -> Any:
        """Keeps an operation, so that it can be asked for."""
        self._kept[operation.name] = operation
        while len(self._kept) > self._operations_max:
            self._kept.popitem(last=False)
        return operation


def ended(
    name: str,
    metadata: Any,
    response: Any,
    failures: Mapping[int, Refused],
    requests: int,
    times_us: tuple[int, int],
) -> Any:
    """The operation of a batch whose requests failed as said, by their index."""
    metadata.start_time.FromMicroseconds(times_us[0])
    metadata.end_time.FromMicroseconds(times_us[1])
    metadata.state = metadata.State.Value("PARTIALLY_SUCCEEDED" if failures else "SUCCEEDED")
    for index, fault in failures.items():
        metadata.failed_requests[index].CopyFrom(fault.status())
    operation = Operation(name=name, done=True)
    operation.metadata.Pack(metadata)
    if requests and len(failures) == requests:
        operation.error.code = int(Code.ABORTED)
        operation.error.message = NONE_SUCCEEDED.format(metadata=type(metadata).__name__)
    else:
        operation.response.Pack(response)
    return operation
