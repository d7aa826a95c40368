"""Calling: one attempt of a task with a URL. What is sent is signed; what is reached was judged; what comes is bounded."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from turnout.base.clock import Clock
from turnout.base.errors import ValueRefused
from turnout.tasks.callbacks.addresses import Allowed, check_url, refusal
from turnout.tasks.callbacks.headers import callback_headers
from turnout.tasks.callbacks.signing import Signing
from turnout.tasks.running import RETRY_AFTER_SECONDS_MAX, Fail, Retry, Run
from turnout.tasks.settings import TaskSettings

CONNECT_SECONDS = 10.0
LINE_BYTES_MAX = 8_190
#: Statuses of 400 to 499 that say "again": the rest are final.
AGAIN = frozenset({408, 425, 429})
#: Answers that may say when to come again.
WITH_RETRY_AFTER = frozenset({429, 503})
WITHOUT_BODY = frozenset({"GET", "DELETE"})
JSON = "application/json"

#: Looks a name up once: all its addresses.
LookUp = Callable[[str, int], Awaitable[Sequence[str]]]


class CallbackFailed(Exception):
    """An attempt that may be repeated: the target did not answer, or with an error."""


class TargetRefused(Exception):
    """The target's name leads to where no callback may go."""


class Answered(msgspec.Struct, frozen=True):
    """What is kept of an answer, as the task's result: never shown but to who asks for that task."""

    status: int
    body: str
    is_cut: bool


class CallbackRunner:
    """Calls URLs. One session for the worker: no proxies, no cookies, no redirects, nothing unpacked."""

    def __init__(
        self,
        signing: Signing,
        allowed: Allowed,
        settings: TaskSettings,
        *,
        clock: Clock,
        look_up: LookUp | None = None,
    ) -> None:
        self._signing = signing
        self._allowed = allowed
        self._settings = settings
        self._clock = clock
        self._resolver = GuardedResolver(allowed, look_up or _look_up)
        self._session: aiohttp.ClientSession | None = None

    async def run(self, run: Run) -> str:
        """Calls a task's URL; 2xx is its result, 4xx final but for 408, 425 and 429, and all else may be repeated."""
        call = run.task.work.call
        if call is None:
            raise AssertionError("this task has a handler")
        try:
            # Once more: what may be called can have changed since the task was added.
            url = check_url(call.url, self._allowed)
        except ValueRefused as refused:
            raise Fail(str(refused)) from None
        body = b"" if call.method in WITHOUT_BODY else bytes(run.task.work.payload)
        headers = self._headers(run, call.headers, body)
        try:
            async with self._opened().request(
                call.method, url, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                return await self._settle(answer)
        except TargetRefused as refused:
            raise Fail(f"This URL is not called: {refused}.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallbackFailed(f"no answer: {type(error).__name__}: {str(error)[:200]}") from None

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()

    def _headers(self, run: Run, own: Mapping[str, str], body: bytes) -> dict[str, str]:
        now = self._clock.now()
        has_type = any(name.lower() == "content-type" for name in own)
        return {
            **({} if has_type or not body else {"Content-Type": JSON}),
            **own,
            "User-Agent": "Turnout",
            "Accept-Encoding": "identity",
            **callback_headers(run.task, now),
            **self._signing.headers(str(run.task.id), now, body),
        }

    async def _settle(self, answer: aiohttp.ClientResponse) -> str:
        status = answer.status
        kept = await self._read(answer)
        if 200 <= status < 300:  # noqa: PLR2004  # the class of success
            return msgspec.json.encode(kept).decode()
        told = f"it answered {status}: {kept.body[:200]}" if kept.body else f"it answered {status}"
        if 300 <= status < 400:  # noqa: PLR2004  # redirects
            raise CallbackFailed(f"it answered {status}: callbacks follow no redirect")
        after = _retry_after(answer, self._clock) if status in WITH_RETRY_AFTER else None
        if after is not None:
            raise Retry(after, told)
        if 400 <= status < 500 and status not in AGAIN:  # noqa: PLR2004  # the client's faults
            raise Fail(told)
        raise CallbackFailed(told)

    async def _read(self, answer: aiohttp.ClientResponse) -> Answered:
        """The beginning of a body; the rest is not waited for."""
        bytes_max = self._settings.callback_answer_bytes_max
        kept = bytearray()
        async for chunk in answer.content.iter_any():
            kept += chunk
            if len(kept) > bytes_max:
                answer.close()
                break
        body = bytes(kept[:bytes_max]).decode("utf-8", "replace")
        fitting = _fitting(body, bytes_max)
        return Answered(answer.status, fitting, len(kept) > bytes_max or len(fitting) < len(body))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                limit=self._settings.callbacks_in_flight_max,
                limit_per_host=self._settings.callbacks_per_host_max,
            )
            # The task's own timeout bounds the whole.
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                max_line_size=LINE_BYTES_MAX,
                max_field_size=LINE_BYTES_MAX,
            )
        return self._session


class GuardedResolver(AbstractResolver):
    """Looks a name up once, and refuses it unless each of its addresses is public: the connection goes to one of those."""

    def __init__(self, allowed: Allowed, look_up: LookUp) -> None:
        self._allowed = allowed
        self._look_up = look_up

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  # the base class's signature
    ) -> list[ResolveResult]:
        """The addresses that a connection may be made to."""
        addresses = await self._look_up(host, port)
        if not self._allowed.has(host.lower(), port):
            why = refusal(addresses)
            if why:
                raise TargetRefused(why)
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Nothing is held."""


def _fitting(body: str, bytes_max: int) -> str:
    """The beginning of a text whose JSON is not longer: a control character takes six bytes of it."""
    while len(msgspec.json.encode(body)) - 2 > bytes_max:
        body = body[: len(body) * 3 // 4]
    return body


async def _look_up(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=family,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


def _retry_after(answer: aiohttp.ClientResponse, clock: Clock) -> float | None:
    """The seconds that a Retry-After asks for, to a day; None: it says nothing that is understood."""
    given = answer.headers.get("Retry-After", "").strip()
    if given.isascii() and given.isdecimal():
        return min(float(given[:12]), RETRY_AFTER_SECONDS_MAX)
    try:
        seconds = (parsedate_to_datetime(given) - clock.now()).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
