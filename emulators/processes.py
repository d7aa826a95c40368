"""Processes of the local cloud: each with a guard that ends it if it is orphaned, with a log, and bound to no event loop."""

import asyncio
import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from emulators.errors import NotReady, ProcessDied, ProcessUnstartable

ROOT = Path(__file__).resolve().parent.parent
ORPHAN_GUARD = Path(__file__).resolve().parent / "orphan_guard.py"
LOOPBACK = "127.0.0.1"

START_SECONDS_MAX = 20.0
#: Cloud Run's time between SIGTERM and SIGKILL.
GRACE_SECONDS = 10.0
KILL_SECONDS_MAX = 10.0
POLL_SECONDS = 0.02
LISTEN_BYTES = 1_024
#: Below the ranges that Linux and macOS take client ports from, so that no client takes one in between.
PORT_FIRST = 20_000
PORTS_A_PART = 300
PORT_PARTS = 40
_given_out: set[int] = set()


class Process:
    """A running process that ends with its holder, at the latest."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        folder: Path = ROOT,
    ) -> None:
        self.name = name
        self.log = log
        self.pid = 0
        self._code: int | None = None
        self._said = b""
        self._why = ""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(ORPHAN_GUARD), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                bufsize=0,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        self._orders = cast("IO[bytes]", self._guard.stdin)
        self._reports = cast("IO[bytes]", self._guard.stdout)
        self._await_pid()

    def code(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        while self._code is None and self._readable(0):
            self._listen()
        return self._code

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process; SIGKILL to all of its group."""
        if self.code() is None and not self._orders.closed:
            with contextlib.suppress(BrokenPipeError):
                self._orders.write(bytes([number]))

    async def wait(self) -> int:
        """Waits for the process's end."""
        while (code := self.code()) is None:  # noqa: ASYNC110  # a process belongs to no event loop
            await asyncio.sleep(POLL_SECONDS)
        return code

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> int:
        """Ends the process as Cloud Run does: SIGTERM, a grace period, SIGKILL."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                return await self.wait()
        except TimeoutError:
            return await self.kill()
        except asyncio.CancelledError:
            self.signal(signal.SIGKILL)
            raise

    async def kill(self) -> int:
        """Ends the process and its group at once."""
        self.signal(signal.SIGKILL)
        async with asyncio.timeout(KILL_SECONDS_MAX):
            return await self.wait()

    def let_go(self) -> None:
        """Lets the guard kill what still runs, without a wait."""
        self._orders.close()

    def _await_pid(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.pid and self._code is None:
            if not self._readable(max(0.0, deadline - time.monotonic())):
                self.let_go()
                raise ProcessUnstartable(self.name, f"nothing happened within {START_SECONDS_MAX:g} s")
            self._listen()
        if not self.pid:
            raise ProcessUnstartable(self.name, self._why or "its guard ended early")

    def _readable(self, seconds: float) -> bool:
        # Not `select`: it takes no descriptor above 1,023, and a holder with a thousand connections has those.
        waiting = select.poll()
        waiting.register(self._reports, select.POLLIN)
        return bool(waiting.poll(seconds * 1_000))

    def _listen(self) -> None:
        said = self._reports.read(LISTEN_BYTES)
        *lines, self._said = (self._said + said).split(b"\n")
        for line in lines:
            self._heed(line.decode(errors="replace"))
        if not said and self._code is None:
            self._guard_ended()

    def _heed(self, line: str) -> None:
        kind, _, value = line.partition(" ")
        if kind == "pid":
            self.pid = int(value)
        elif kind == "exit":
            self._end(int(value))
        else:
            self._why = value
            self._end(1)

    def _guard_ended(self) -> None:
        """The guard itself was killed: the process has nobody else who would end it."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._end(-signal.SIGKILL)

    def _end(self, code: int) -> None:
        self._code = code
        self.let_go()
        self._reports.close()
        self._guard.wait(KILL_SECONDS_MAX)


async def until_ready(process: Process, ready: Callable[[], Awaitable[bool]], *, seconds_max: float) -> None:
    """Waits until a process answers; `ProcessDied` or `NotReady`, with the log's end, if it never does."""
    deadline = time.monotonic() + seconds_max
    while True:
        code = process.code()
        if code is not None:
            raise ProcessDied(process.name, code, process.log)
        if await ready():
            return
        if time.monotonic() > deadline:
            raise NotReady(process.name, seconds_max, process.log)
        await asyncio.sleep(POLL_SECONDS * 2)


async def stop_all(processes: Sequence[Process], grace_seconds: float = GRACE_SECONDS) -> None:
    """Ends processes side by side; whatever happens meanwhile, none is left."""
    try:
        await asyncio.gather(*(process.stop(grace_seconds) for process in processes))
    finally:
        for process in processes:
            process.let_go()


def free_port(taken: frozenset[int] | set[int] = frozenset()) -> int:
    """A port of the loopback interface that nobody listens on, and that was not given out lately.

    Each process looks in a part of the range that follows from its id: two that start at once do not meet. A port is given
    out again only when every other one was: whoever got it may not listen on it yet.
    """
    first = PORT_FIRST + os.getpid() % PORT_PARTS * PORTS_A_PART
    ports = [port for port in range(first, first + PORTS_A_PART) if port not in taken]
    for _ in range(2):
        for port in _shuffled(ports):
            if port not in _given_out and port_is_free(port):
                _given_out.add(port)
                return port
        _given_out.clear()
    raise ProcessUnstartable("The local cloud", f"no port from {first} to {first + PORTS_A_PART - 1} is free")


def _shuffled(ports: Sequence[int]) -> list[int]:
    return secrets.SystemRandom().sample(ports, len(ports))


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
