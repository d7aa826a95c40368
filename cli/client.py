"""Turnout's HTTP API, as the commands use it."""

import asyncio
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec

from cli.faults import NoAnswer, Refused
from turnout.deployment import function_for_path

T = TypeVar("T")

ANSWER_SECONDS_MAX = 60.0
FAULTS_FROM = 400
SERVER_FAULTS_FROM = 500
#: A ready identity token, as of `gcloud auth print-identity-token`: a person's own credentials cannot make one.
TOKEN_VARIABLE = "TURNOUT_IDENTITY_TOKEN"  # noqa: S105  # the name of a variable
JSON = "application/json"
BODY_SHOWN_CHARACTERS_MAX = 200


class Problem(msgspec.Struct, frozen=True):
    """A problem document (RFC 9457)."""

    title: str = ""
    detail: str = ""


class Answer(msgspec.Struct, frozen=True):
    """An answer as it came."""

    status: int
    body: bytes


class Client:
    """Calls the functions behind one address, or each at its own; every fault becomes `Refused` or `NoAnswer`."""

    def __init__(
        self,
        base_url: str,
        environment: Mapping[str, str] | None = None,
        own: Mapping[str, str] | None = None,
    ) -> None:
        self.base_url = base_url
        self._environment = os.environ if environment is None else environment
        self._own = own or {}
        #: By audience.
        self._tokens: dict[str, str] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """What the answer's JSON says."""
        answer = await self.ask(method, path, body=body, headers=headers)
        if answer.status >= FAULTS_FROM:
            raise fault(answer, self.address(path))
        return self.read(answer, kind)

    def address(self, path: str) -> str:
        """The address that a path is called at."""
        if self.base_url:
            return self.base_url
        function = function_for_path(path.partition("?")[0])
        found = self._own.get(function.name, "") if function else ""
        if not found:
            raise NoAnswer(
                f"The environment names no address for {path}: set TURNOUT_URL, or all that `terraform output -raw environment` says"
            )
        return found

    async def ask(
        self, method: str, path: str, *, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer, whatever it says."""
        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        address = self.address(path)
        sent = {"Accept": JSON, **(await self._authorization(path)), **(headers or {})}
        if body is not None:
            sent["Content-Type"] = JSON
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._session.request(method, address + path, data=data, headers=sent) as answer:
                return Answer(answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise silence(address, error) from None

    def read(self, answer: Answer, kind: type[T]) -> T:
        """The answer's JSON as a struct."""
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except msgspec.DecodeError:
            raise NoAnswer(
                f"{self.base_url or 'The function'} answers, but not as Turnout does: is the address right?"
            ) from None

    async def _authorization(self, path: str) -> dict[str, str]:
        """Private functions of a deployed Turnout want to know who calls; the local cloud has no identities."""
        function = function_for_path(path.partition("?")[0])
        if function is None or function.access == "public":
            return {}
        address = self.address(path)
        if not address.startswith("https://"):
            return {}
        # Behind a load balancer, too, a token is for the service itself, and not for the domain.
        audience = self._own.get(function.name, address)
        if audience not in self._tokens:
            given = self._environment.get(TOKEN_VARIABLE, "")
            self._tokens[audience] = given or await asyncio.to_thread(fetch_identity_token, audience)
        return {"Authorization": f"Bearer {self._tokens[audience]}"}


def fetch_identity_token(audience: str) -> str:
    """An identity token of the application default credentials; they must be a service account's."""
    # Slow to import, and only a deployed Turnout needs it.
    import google.auth.exceptions  # noqa: PLC0415
    from google.auth.transport.requests import Request  # noqa: PLC0415
    from google.oauth2 import id_token  # noqa: PLC0415

    try:
        token: str = id_token.fetch_id_token(Request(), audience)  # type: ignore[no-untyped-call]
    except google.auth.exceptions.GoogleAuthError as error:
        raise NoAnswer(
            f"{audience} wants an identity token, and none could be made from your credentials ({error}). "
            f'Try: export {TOKEN_VARIABLE}="$(gcloud auth print-identity-token)"'
        ) from None
    return token


def silence(base_url: str, error: Exception) -> NoAnswer:
    """The fault of an answer that did not come."""
    if isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error.strerror or str(error.os_error)
    else:
        why = str(error) or f"{type(error).__name__}"
    return NoAnswer(f"Turnout at {base_url} does not answer: {why}")


def fault(answer: Answer, base_url: str) -> Refused | NoAnswer:
    """The fault that an answer stands for."""
    try:
        document = msgspec.json.decode(answer.body, type=Problem)
    except msgspec.DecodeError:
        text = answer.body.decode(errors="replace").strip()
        document = Problem(detail=text[:BODY_SHOWN_CHARACTERS_MAX])
    why = document.detail or document.title or "no reason was given"
    if answer.status >= SERVER_FAULTS_FROM:
        return NoAnswer(f"Turnout at {base_url} has a fault: {why} ({answer.status})")
    return Refused(answer.status, why)
