"""Google's REST APIs under the caller's own credentials: they are only read."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from cli.faults import NoAnswer

ANSWER_SECONDS_MAX = 30.0
TOKEN_SECONDS_MAX = 30.0
CALLS_AT_ONCE = 8
PAGES_MAX = 50
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: gcloud's own variables: a ready token, and where an API is instead of at Google's address.
TOKEN_VARIABLE = "CLOUDSDK_AUTH_ACCESS_TOKEN"  # noqa: S105  # the name of a variable
OVERRIDE_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_{}"
CREDENTIALS_MEND = "Run `gcloud auth application-default login`, or `gcloud auth login`."


class Refusal(Exception):
    """An API answered with an error."""

    def __init__(self, api: str, status: int, why: str) -> None:
        super().__init__(why)
        self.api = api
        self.status = status

    @property
    def is_missing(self) -> bool:
        """Whether there is no such thing."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def is_disabled(self) -> bool:
        """Whether the API is not enabled."""
        return self.status == HTTPStatus.FORBIDDEN and (
            "SERVICE_DISABLED" in str(self) or "it is disabled" in str(self)
        )


class Google:
    """Calls APIs by their short names: `await google.get("pubsub", "v1/projects/p/topics/t:getIamPolicy")`."""

    def __init__(self, environment: Mapping[str, str], project: str) -> None:
        self._environment = environment
        self._project = project
        self._headers: dict[str, str] = {}
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None
        #: How far this machine's clock is ahead of Google's, by the last answer.
        self.clock_ahead_seconds: float | None = None

    async def __aenter__(self) -> Self:
        token, is_quota_ours = await self._token()
        self._headers = {"Authorization": f"Bearer {token}"}
        if is_quota_ours:
            # A person's own credentials belong to no project, whose quota a call would count against.
            self._headers["x-goog-user-project"] = self._project
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, api: str, path: str, **parameters: str) -> dict[str, Any]:
        """What a GET answers; `Refusal` is an error of the API's, `NoAnswer` none at all."""
        return await self._call("GET", api, path, parameters, None)

    async def post(self, api: str, path: str, body: object) -> dict[str, Any]:
        """The same for what is read with a POST, as a project's policy is."""
        return await self._call("POST", api, path, {}, body)

    async def each(self, api: str, path: str, field: str, **parameters: str) -> AsyncIterator[dict[str, Any]]:
        """Everything in a list, page by page."""
        page = ""
        for _ in range(PAGES_MAX):
            more = {"pageToken": page} if page else {}
            answer = await self.get(api, path, **parameters, **more)
            for found in answer.get(field, []):
                yield found
            page = answer.get("nextPageToken", "")
            if not page:
                return

    async def _call(
        self, method: str, api: str, path: str, parameters: Mapping[str, str], body: object
    ) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("Google is used outside its context")
        base = (
            self._environment.get(OVERRIDE_VARIABLE.format(api.upper())) or f"https://{api}.googleapis.com/"
        )
        try:
            async with (
                self._places,
                self._session.request(
                    method, f"{base.rstrip('/')}/{path}", params=parameters, json=body, headers=self._headers
                ) as answer,
            ):
                content, status = await answer.read(), answer.status
                self._note_clock(answer.headers.get("Date", ""))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(f"{base} does not answer: {error or type(error).__name__}") from None
        if status == HTTPStatus.UNAUTHORIZED:
            raise NoAnswer(f"Google does not take your credentials. {CREDENTIALS_MEND}")
        if status != HTTPStatus.OK:
            raise Refusal(api, status, content.decode(errors="replace"))
        found: dict[str, Any] = msgspec.json.decode(content or b"{}")
        return found

    def _note_clock(self, date: str) -> None:
        if date:
            theirs = parsedate_to_datetime(date)
            self.clock_ahead_seconds = (datetime.now(UTC) - theirs).total_seconds()

    async def _token(self) -> tuple[str, bool]:
        """An access token, and whether calls need to name the project whose quota they count against."""
        given = self._environment.get(TOKEN_VARIABLE, "")
        if given:
            return given, False
        token = await asyncio.to_thread(fetch_access_token)
        if token:
            return token, True
        return await _token_of_gcloud(), False


def fetch_access_token() -> str:
    """An access token of the application default credentials; empty if there are none."""
    # Slow to import, and only a deployed Turnout needs it.
    import google.auth  # noqa: PLC0415
    import google.auth.exceptions  # noqa: PLC0415
    from google.auth.transport.requests import Request  # noqa: PLC0415

    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
        credentials.refresh(Request())  # type: ignore[no-untyped-call]
    except google.auth.exceptions.GoogleAuthError:
        return ""
    return str(credentials.token)


async def _token_of_gcloud() -> str:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise NoAnswer(f"There are no credentials of Google's here. {CREDENTIALS_MEND}")
    process = await asyncio.create_subprocess_exec(
        gcloud, "auth", "print-access-token", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), TOKEN_SECONDS_MAX)
    except TimeoutError:
        process.kill()
        await process.wait()
        said = b""
    if process.returncode != 0 or not said.strip():
        raise NoAnswer(f"There are no credentials of Google's here. {CREDENTIALS_MEND}")
    return said.decode().strip()
