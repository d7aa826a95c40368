"""What Google bills, counted where the clients call: a wiring whose channels count."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import grpc.aio
import msgspec

from benchmarks import prices
from turnout.gcp.connections import Connections
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring


class Operations(msgspec.Struct, kw_only=True):
    """Billed operations, and the CPU that went with them."""

    requests: float = 0
    published_bytes: float = 0
    delivered_bytes: float = 0
    commits: float = 0
    writes: float = 0
    reads: float = 0
    deletes: float = 0
    #: What functions use, and what jobs use: they are billed at prices of their own.
    cpu_seconds: float = 0
    job_cpu_seconds: float = 0

    def times(self, factor: float) -> "Operations":
        """All of it so many times."""
        return Operations(**{name: value * factor for name, value in msgspec.structs.asdict(self).items()})

    def plus(self, other: "Operations") -> "Operations":
        """Both together."""
        others = msgspec.structs.asdict(other)
        return Operations(
            **{name: value + others[name] for name, value in msgspec.structs.asdict(self).items()}
        )


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What operations cost, in dollars."""

    requests: float
    compute: float
    pubsub: float
    firestore: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.requests + self.compute + self.pubsub + self.firestore


def bill(done: Operations) -> Bill:
    """Operations at list prices."""
    function = prices.VCPU_SECOND + prices.GIB_A_VCPU * prices.GIB_SECOND
    job = prices.JOB_VCPU_SECOND + prices.GIB_A_VCPU * prices.JOB_GIB_SECOND
    return Bill(
        requests=done.requests * prices.REQUEST,
        compute=(done.cpu_seconds * function + done.job_cpu_seconds * job) / prices.UTILISATION,
        pubsub=(done.published_bytes + done.delivered_bytes) * prices.PUBSUB_BYTE,
        firestore=done.writes * prices.WRITE + done.reads * prices.READ + done.deletes * prices.DELETE,
    )


class CountingWiring(Wiring):
    """A wiring that counts what its channels carry."""

    def __init__(self, settings: Settings) -> None:
        self.done = Operations()
        super().__init__(settings, connections=CountingConnections(settings, self.done))


class CountingConnections(Connections):
    """Connections whose channels count."""

    def __init__(self, settings: Settings, done: Operations) -> None:
        super().__init__(settings)
        self._done = done

    def channel(self, name: str, opener: Callable[[], grpc.aio.Channel]) -> Any:
        """A channel that counts what it carries."""
        return CountingChannel(super().channel(name, opener), self._done)


class CountingChannel:
    """A channel whose stubs count what is billed, after the call went well."""

    def __init__(self, channel: grpc.aio.Channel, done: Operations) -> None:
        self._channel = channel
        self._done = done

    def unary_unary(self, method: str, **serializers: Any) -> Any:
        """The stub of a unary method."""
        stub = self._channel.unary_unary(method, **serializers)
        name = method.rpartition("/")[2]

        async def call(request: Any, **options: Any) -> Any:
            response = await stub(request, **options)
            count(self._done, name, request, response)
            return response

        return call

    def unary_stream(self, method: str, **serializers: Any) -> Any:
        """The stub of a method that answers with a stream."""
        stub = self._channel.unary_stream(method, **serializers)
        name = method.rpartition("/")[2]

        async def call(request: Any, **options: Any) -> AsyncIterator[Any]:
            async for response in stub(request, **options):
                count(self._done, name, request, response)
                yield response

        return call


def count(done: Operations, method: str, request: Any, response: Any) -> None:
    """Adds what one call is billed as; `Acknowledge` is free, and an empty pull belongs to idling, not to votes."""
    if method == "Publish":
        size = sum(len(message.data) for message in request.messages)
        done.published_bytes += max(prices.PUBSUB_REQUEST_BYTES_MIN, size)
    elif method == "Pull" and response.received_messages:
        size = sum(len(each.message.data) for each in response.received_messages)
        done.delivered_bytes += max(prices.PUBSUB_REQUEST_BYTES_MIN, size)
    elif method == "Commit":
        done.commits += 1
        done.writes += len(request.writes)
        # The ledger's entries are deleted by the TTL policy one day: that is billed as well.
        done.deletes += sum("/ledger/" in write.update.name for write in request.writes)
    elif method == "BatchGetDocuments" or (method == "RunQuery" and response.HasField("document")):
        done.reads += 1


class Meter:
    """The operations and the CPU of this process between two moments: `with Meter(wiring) as meter`."""

    def __init__(self, wiring: CountingWiring) -> None:
        self._wiring = wiring
        self.done = Operations()

    def __enter__(self) -> Self:
        self._began = msgspec.structs.replace(self._wiring.done, job_cpu_seconds=time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        now = msgspec.structs.replace(self._wiring.done, job_cpu_seconds=time.process_time())
        self.done = now.plus(self._began.times(-1))
