"""Jobs and functions as processes of a scenario: watched, killed and told to stop."""

import asyncio
import signal
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from emulators.execution import Execution
from emulators.processes import LOOPBACK, Process
from tests.deadlines import WAIT_SECONDS_MAX
from turnout.votes.poll import Poll

#: How often a test looks whether something has been counted.
LOOK_SECONDS = 0.1
#: Cloud Run sends SIGKILL so long after SIGTERM.
SIGTERM_SECONDS_MAX = 10.0


class Job:
    """A drain as a process, behind a proxy."""

    def __init__(self, execution: Execution) -> None:
        #: Its records' names begin with it.
        self.name = execution.name.encode()
        self._execution = execution

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._execution.running

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._execution.logs[0].read_text()

    async def until_logged(self, text: str) -> None:
        """Waits until its log has a text."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while text not in self.log:  # a file tells nobody
                assert self.running, f"it ended by itself:\n{self.log}"
                await asyncio.sleep(LOOK_SECONDS)

    async def kill(self) -> None:
        """Kills it with SIGKILL, and makes sure that this is what it died of."""
        assert self.running, f"it ended by itself:\n{self.log}"
        self._execution.kill()
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            assert await self._execution.wait() == [-signal.SIGKILL], self.log

    async def end(self) -> None:
        """Waits until it ends by itself, with exit code 0."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            assert await self._execution.wait() == [0], self.log

    def terminate_soon(self) -> None:
        """Sends SIGTERM, and waits for nothing."""
        self._execution.terminate()

    async def terminate(self) -> float:
        """Sends SIGTERM; the seconds until it has ended, with exit code 0 and as Cloud Run asks for."""
        assert self.running, f"it ended by itself:\n{self.log}"
        began_at = time.monotonic()
        self._execution.terminate()
        async with asyncio.timeout(SIGTERM_SECONDS_MAX):
            assert await self._execution.wait() == [0], self.log
        return time.monotonic() - began_at


class Function:
    """The function `vote` as a process, behind proxies of its own."""

    def __init__(self, process: Process, port: int, session: aiohttp.ClientSession) -> None:
        self.process = process
        #: Where it listens.
        self.port = port
        self._session = session

    async def post(
        self, path: str, body: object, *, key: str = ""
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        """Posts JSON; the status, the document and the headers of the answer."""
        headers = {"Idempotency-Key": key} if key else {}
        async with self._session.post(
            f"http://{LOOPBACK}:{self.port}{path}", json=body, headers=headers
        ) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    async def listens(self) -> bool:
        """Whether it takes a new connection."""
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def vote(self, poll: Poll, choice: int = 0, *, key: str = "") -> tuple[int, Mapping[str, str]]:
        """Casts a vote; the status and the headers of the answer."""
        body = {"poll": poll.id, "choice": poll.choices[choice]}
        status, _, headers = await self.post("/vote", body, key=key)
        return status, headers

    async def kill(self) -> None:
        """Kills it with SIGKILL, and makes sure that this is what it died of."""
        assert await self.process.kill() == -signal.SIGKILL

    async def terminate(self) -> float:
        """Sends SIGTERM; the seconds until it has ended, with exit code 0."""
        began_at = time.monotonic()
        self.process.signal(signal.SIGTERM)
        async with asyncio.timeout(SIGTERM_SECONDS_MAX):
            assert await self.process.wait() == 0, self.process.log.read_text()
        return time.monotonic() - began_at
