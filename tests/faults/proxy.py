"""A proxy between a process and Google's emulators: it holds, drops, doubles and delays calls, and loses answers.

It forwards raw bytes and metadata, whatever the call; a test plans a fault for calls by method name, awaits that they
have arrived or were applied, and finds afterwards in the record what became of each.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self, cast

import grpc
import grpc.aio
import msgspec

from emulators.processes import LOOPBACK
from tests.deadlines import WAIT_SECONDS_MAX

MESSAGE_BYTES_MAX = 32 * 1024 * 1024
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
)
#: Without it, a second server could listen on the port of one that is away.
SERVER_OPTIONS = (*OPTIONS, ("grpc.so_reuseport", 0))
#: Metadata that each connection sets for itself.
OWN_METADATA = ("user-agent", "grpc-")

Metadata = tuple[tuple[str, str | bytes], ...]


class Fault(Enum):
    """What happens to a call."""

    #: Forwarded only when the test lets it go, even if its caller is dead by then: a request that the network was late with.
    HOLD_CALL = auto()
    #: Never forwarded; the caller is told UNAVAILABLE.
    DROP_CALL = auto()
    #: Forwarded at once; the caller of one that was applied hears nothing before the test lets the answer go.
    HOLD_ANSWER = auto()
    #: Forwarded; the caller is told UNAVAILABLE, whatever the answer was.
    LOSE_ANSWER = auto()
    #: Forwarded twice; the caller is told the second answer.
    DOUBLE_CALL = auto()
    #: Forwarded after the plan's delay.
    DELAY_CALL = auto()


class Answer(msgspec.Struct, frozen=True):
    """What an emulator said to one call."""

    code: grpc.StatusCode
    responses: tuple[bytes, ...] = ()
    details: str = ""
    trailing: Metadata = ()


UNAVAILABLE = Answer(grpc.StatusCode.UNAVAILABLE, details="The test cut the connection.")


class Call:
    """What became of one call."""

    def __init__(self, method: str, request: bytes) -> None:
        #: The method's name without its service, as `Commit`.
        self.method = method
        self.request = request
        #: What the emulator said, once per forwarding, and when (monotonic).
        self.answers: list[Answer] = []
        self.answered_at = 0.0
        #: What the caller was told; None: nothing, for it waits, gave up or is dead.
        self.told: grpc.StatusCode | None = None
        #: Whether the caller gave up, or died, before it was told anything.
        self.abandoned = False

    @property
    def codes(self) -> list[grpc.StatusCode]:
        """The emulator's answers, by their codes."""
        return [answer.code for answer in self.answers]

    @property
    def applied(self) -> int:
        """How often the emulator did it."""
        return self.codes.count(grpc.StatusCode.OK)


class Plan:
    """A fault for the first calls that fit it: `calls` of them after `skip`, in the order of their arrival."""

    def __init__(
        self,
        proxy: "Proxy",
        method: str,
        fault: Fault,
        *,
        containing: bytes,
        skip: int,
        calls: int,
        delay_seconds: float,
    ) -> None:
        self.fault = fault
        self.delay_seconds = delay_seconds
        #: The calls that met the fault.
        self.calls: list[Call] = []
        self._proxy = proxy
        self._method = method
        self._containing = containing
        self._skip = skip
        self._left = calls
        self._let_go = asyncio.Event()

    async def arrived(self, number: int = 1) -> Call:
        """Waits until this many calls have met the fault; answers the last of them."""
        await self._proxy.until(lambda: len(self.calls) >= number, f"{number} × {self} to arrive")
        return self.calls[number - 1]

    async def applied(self, number: int = 1) -> Call:
        """Waits until this many calls have met the fault, and the emulator has applied the last of them."""
        await self._proxy.until(
            lambda: len(self.calls) >= number and bool(self.calls[number - 1].applied),
            f"{number} × {self} to be applied",
        )
        return self.calls[number - 1]

    def let_go(self) -> None:
        """Lets go what is held and whatever would be held later."""
        self._let_go.set()

    def stop(self) -> None:
        """Lets pass whatever comes from now on."""
        self._left = 0

    def takes(self, call: Call) -> bool:
        """Whether the fault is for this call; counts it if so."""
        if call.method != self._method or self._containing not in call.request:
            return False
        if self._skip:
            self._skip -= 1
            return False
        if not self._left:
            return False
        self._left -= 1
        self.calls.append(call)
        return True

    async def carry_out(self, call: Call, forward: Callable[[], Awaitable[Answer]]) -> Answer:
        """Does to a call what is planned; answers what its caller is told."""
        match self.fault:
            case Fault.HOLD_CALL:
                await self._let_go.wait()
                return await forward()
            case Fault.DROP_CALL:
                return UNAVAILABLE
            case Fault.HOLD_ANSWER:
                answer = await forward()
                if answer.code is grpc.StatusCode.OK:
                    await self._let_go.wait()
                else:
                    self._wait_for_another_than(call)
                return answer
            case Fault.LOSE_ANSWER:
                await forward()
                return UNAVAILABLE
            case Fault.DOUBLE_CALL:
                await forward()
                return await forward()
            case Fault.DELAY_CALL:
                await asyncio.sleep(self.delay_seconds)
                return await forward()

    def _wait_for_another_than(self, call: Call) -> None:
        """A call that was refused, as a commit of what another drain has counted, is not the one that the test waits for."""
        self.calls.remove(call)
        self._left += 1

    def __str__(self) -> str:
        shown = f" with {self._containing!r}" if self._containing else ""
        return f"{self._method}{shown} ({self.fault.name})"


class Proxy(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Forwards gRPC calls to the emulators, by the first part of their service's name."""

    def __init__(self, upstreams: Mapping[str, str]) -> None:
        """`upstreams` maps the beginning of a method's path, as `/google.pubsub`, to the emulator's `host:port`."""
        self._upstreams = dict(upstreams)
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._server: grpc.aio.Server | None = None
        self._plans: list[Plan] = []
        self._errands: set[asyncio.Task[Answer]] = set()
        self._changed = asyncio.Event()
        self._port = 0
        #: Every call, in the order of arrival.
        self.calls: list[Call] = []

    @property
    def host(self) -> str:
        """Its `host:port`."""
        return f"{LOOPBACK}:{self._port}"

    async def __aenter__(self) -> Self:
        for host in self._upstreams.values():
            self._channels[host] = grpc.aio.insecure_channel(host, options=OPTIONS)
        await self.come_back()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)
        await self.go_away()
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def go_away(self) -> None:
        """Cuts every connection, and refuses new ones."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace=None)

    async def come_back(self) -> None:
        """Listens, again, at the same address."""
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((self,))
        # The system chooses the port the first time: proxies that start together never choose the same.
        self._port = server.add_insecure_port(self.host)
        await server.start()
        self._server = server

    def plan(
        self,
        method: str,
        fault: Fault,
        *,
        containing: bytes = b"",
        skip: int = 0,
        calls: int = 1,
        delay_seconds: float = 0.0,
    ) -> Plan:
        """Plans a fault for coming calls; of several plans that fit a call, the first made has it."""
        plan = Plan(
            self,
            method,
            fault,
            containing=containing,
            skip=skip,
            calls=calls,
            delay_seconds=delay_seconds,
        )
        self._plans.append(plan)
        return plan

    def seen(self, method: str, containing: bytes = b"") -> list[Call]:
        """The calls of a method so far."""
        return [call for call in self.calls if call.method == method and containing in call.request]

    async def until(self, holds: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS_MAX) -> None:
        """Waits until a condition on the record holds; fails, with its name, when it does not come to hold."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}") from None

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of one call. A unary answer is a stream of one on the wire, so that one kind serves for both."""
        path = cast("str", details.method)
        host = next((host for start, host in self._upstreams.items() if path.startswith(start)), None)
        if host is None:
            return None
        stub = self._channels[host].unary_stream(path)

        async def serve(request: bytes, context: Any) -> AsyncIterator[bytes]:
            call = Call(path.rpartition("/")[2], request)
            try:
                answer = await self._answer(call, stub, context)
            except asyncio.CancelledError:
                call.abandoned = True
                self._note()
                raise
            call.told = answer.code
            self._note()
            for response in answer.responses:
                yield response
            if answer.code is not grpc.StatusCode.OK:
                await context.abort(answer.code, answer.details, answer.trailing)

        return grpc.unary_stream_rpc_method_handler(serve)

    async def _answer(self, call: Call, stub: Any, context: Any) -> Answer:
        self.calls.append(call)
        plan = next((plan for plan in self._plans if plan.takes(call)), None)
        self._note()
        metadata = _onward(context.invocation_metadata())
        if plan is None:
            # In the caller's own time: a pull that nobody waits for any more would lease messages to nobody.
            return await self._forward(call, stub, metadata, context.time_remaining() or WAIT_SECONDS_MAX)

        def forward() -> Awaitable[Answer]:
            return self._forward(call, stub, metadata, WAIT_SECONDS_MAX)

        errand = asyncio.create_task(plan.carry_out(call, forward))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)
        # Shielded: what the network has taken on does not end with its sender.
        return await asyncio.shield(errand)

    async def _forward(self, call: Call, stub: Any, metadata: Metadata, seconds: float) -> Answer:
        sent = stub(call.request, metadata=metadata, timeout=seconds)
        try:
            answer = Answer(grpc.StatusCode.OK, tuple([response async for response in sent]))
        except grpc.aio.AioRpcError as error:
            answer = Answer(error.code(), (), error.details() or "", _onward(error.trailing_metadata()))
        call.answers.append(answer)
        call.answered_at = time.monotonic()
        self._note()
        return answer

    def _note(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _onward(metadata: Any) -> Metadata:
    return tuple((key, value) for key, value in metadata or () if not key.startswith(OWN_METADATA))
