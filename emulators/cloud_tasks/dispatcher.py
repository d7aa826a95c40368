"""Makes the attempts that are due: sleeps until the engine's next moment, sends, and tells the engine the answer."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from yarl import URL

from emulators.api.refused import Refused
from emulators.cloud_tasks.attempts import Attempts, FinishedAttempt
from emulators.cloud_tasks.engine import Answer, Dispatch, Engine
from emulators.cloud_tasks.limits import SECOND_US
from emulators.cloud_tasks.messages import Task
from emulators.cloud_tasks.outgoing import IdToken, NoTarget, Outgoing, outgoing
from emulators.cloud_tasks.store import Store
from emulators.identity import Identity

logger = logging.getLogger(__name__)

#: What stands for no answer [G]: a handler's HTTP task sees 504, App Engine's sees 0. No connection is 503 (ours).
TIMED_OUT, UNREACHABLE, APP_ENGINE_SILENT = 504, 503, 0
#: The answer's body is read so that the connection can be used again; of a longer one, it is closed.
ANSWER_BYTES_MAX = 1 << 20
ANSWER_PART_BYTES = 1 << 16
CONNECTIONS_MAX = 1000
#: A longer number in a Retry-After means for ever.
DIGITS_MAX = 9
#: The wall clock may be set, and a machine may sleep: a longer wait looks at the clock in between.
WAIT_SECONDS_MAX = 60.0
#: How long attempts under way may go on when the stand-in stops.
GRACE_SECONDS = 2.0


class Dispatcher:
    """One per stand-in, between `start` and `stop`."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        identity: Identity,
        attempts: Attempts,
        clock: Callable[[], int],
        app_engine_url: str = "",
    ) -> None:
        self._engine = engine
        self._store = store
        self._identity = identity
        self._attempts = attempts
        self._clock = clock
        self._app_engine_url = app_engine_url
        self._wake = asyncio.Event()
        self._sleeps_until_us: int | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        #: Whoever waits for a connection does not use up its deadline.
        self._connections = asyncio.Semaphore(CONNECTIONS_MAX)
        self._loop: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession

    async def start(self) -> None:
        """Begins to dispatch."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            # A task without a Content-Type is sent without one.
            skip_auto_headers=("Content-Type", "User-Agent"),
        )
        self._loop = asyncio.create_task(self._run(), name="cloud-tasks-dispatcher")
        self._loop.add_done_callback(_say_fault)

    def wake(self) -> None:
        """Says that the engine's next moment may have changed; it is looked at again only if it is earlier."""
        moment_us = self._engine.next_moment()
        if moment_us is not None and (self._sleeps_until_us is None or moment_us < self._sleeps_until_us):
            self._wake.set()

    def look(self) -> None:
        """Looks at the clock now: it was turned."""
        self._wake.set()

    async def stop(self) -> None:
        """Ends: attempts under way have a moment to end, and are cut off then; they come again after a restart."""
        if self._loop is None:
            return
        self._loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._loop
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=GRACE_SECONDS)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._session.close()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            due = self._engine.due()
            changes = self._engine.take_changes()
            if due or changes:
                self._spawn(self._send_all(due, changes))
            await self._until(self._engine.next_moment())

    async def _until(self, moment_us: int | None) -> None:
        self._sleeps_until_us = moment_us
        seconds = None
        if moment_us is not None:
            seconds = min(WAIT_SECONDS_MAX, (moment_us - self._clock()) / SECOND_US)
            if seconds <= 0:
                # Others have their turn, though more is due.
                await asyncio.sleep(0)
                return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(_say_fault)

    async def _send_all(self, due: Sequence[Dispatch], changes: Sequence[Any]) -> None:
        """Notes the attempts, reads what is to be sent, and sends each by itself."""

        def take_back() -> None:
            for each in due:
                self._engine.unsent(each)
            self.wake()

        try:
            # No task is sent before its creation and this attempt are kept.
            await self._store.write(changes, take_back)
        except Refused as fault:
            logger.warning("%d attempts wait, since they could not be noted: %s", len(due), fault)
            return
        definitions = self._store.definitions(each.order for each in due)
        for each in due:
            definition = definitions.get(each.order)
            if definition is None:
                # Deleted meanwhile.
                self._engine.unsent(each)
            else:
                self._spawn(self._send(each, Task.FromString(definition)))

    async def _send(self, dispatch: Dispatch, definition: Any) -> None:
        fault, request = "", None
        try:
            request = outgoing(dispatch, definition, dispatch.task.queue.config, self._app_engine_url)
            answer = await self._exchange(request)
        except TimeoutError:
            answer = Answer(APP_ENGINE_SILENT if dispatch.app_engine else TIMED_OUT, answered=False)
            fault = f"No answer within {request.deadline_seconds:g} s" if request else "No answer"
        except aiohttp.ClientConnectorError as error:
            answer = Answer(APP_ENGINE_SILENT if dispatch.app_engine else UNREACHABLE, answered=False)
            fault = f"{_said(error.os_error)}: {error.host}:{error.port}"
        except (
            Exception
        ) as error:  # whatever it is, the task is scheduled anew and its place in the queue is free
            if not isinstance(error, aiohttp.ClientError | OSError | ValueError | NoTarget):
                logger.exception("an attempt failed by a fault of the stand-in")
            answer = Answer(APP_ENGINE_SILENT if dispatch.app_engine else UNREACHABLE, answered=False)
            fault = str(error) or type(error).__name__
        self._engine.answered(dispatch, answer)
        self._note(dispatch, request, answer, fault)
        self.wake()
        changes = self._engine.take_changes()
        if changes:
            self._store.keep_soon(changes)

    async def _exchange(self, request: Outgoing) -> Answer:
        headers = request.headers
        if request.token:
            headers = {key: value for key, value in headers.items() if key.lower() != "authorization"}
            headers["Authorization"] = f"Bearer {self._signed(request)}"
        async with (
            self._connections,
            asyncio.timeout(request.deadline_seconds),
            self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=headers,
                data=request.body or None,
                allow_redirects=False,
            ) as answer,
        ):
            read = 0
            while read <= ANSWER_BYTES_MAX and (part := await answer.content.read(ANSWER_PART_BYTES)):
                read += len(part)
            return Answer(
                answer.status,
                retry_after_us=retry_after_us(answer.headers.get("Retry-After", ""), self._clock()),
            )

    def _signed(self, request: Outgoing) -> str:
        token = request.token
        if isinstance(token, IdToken):
            return self._identity.id_token(token.email, token.audience)
        if token is None:
            raise ValueError("this request bears no token")
        return self._identity.access_token(token.email, token.scope)

    def _note(self, dispatch: Dispatch, request: Outgoing | None, answer: Answer, fault: str) -> None:
        self._attempts.note(
            FinishedAttempt(
                queue=dispatch.queue,
                task=dispatch.task_id,
                number=dispatch.retry_count + 1,
                method=request.method if request else "",
                url=request.url if request else "",
                dispatch_us=dispatch.dispatch_us,
                response_us=self._clock(),
                status=answer.status if answer.answered else 0,
                fault=fault,
            )
        )
        if not answer.succeeded:
            logger.info(
                "attempt %d of %s in %s failed: %s",
                dispatch.retry_count + 1,
                dispatch.task_id,
                dispatch.queue,
                fault or f"HTTP status code {answer.status}",
            )


def _say_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()):
        logger.critical("the dispatcher failed; restart the stand-in", exc_info=fault)


def _said(fault: OSError) -> str:
    """What the system calls a fault; resolvers number theirs in another way."""
    known = fault.errno if fault.errno and fault.errno > 0 and not isinstance(fault, socket.gaierror) else 0
    return os.strerror(known) if known else str(fault.strerror or fault)


def retry_after_us(text: str, now_us: int) -> int:
    """The delay that a Retry-After header asks for (RFC 9110, 10.2.3): seconds, or a date; 0 for anything else."""
    text = text.strip()
    if not text:
        return 0
    if text.isascii() and text.isdigit():
        return (int(text) if len(text) < DIGITS_MAX else 10**DIGITS_MAX) * SECOND_US
    try:
        return max(0, int(parsedate_to_datetime(text).timestamp() * SECOND_US) - now_us)
    except ValueError:
        return 0
