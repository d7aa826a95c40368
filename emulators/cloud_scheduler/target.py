"""One attempt of a job: an HTTP request to its handler, or a message to its Pub/Sub topic."""

import base64
import os
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import msgspec
from google.cloud.scheduler_v1 import types
from multidict import CIMultiDict
from yarl import URL

from emulators.api import Code
from emulators.cloud_scheduler.engine import Attempt
from emulators.cloud_scheduler.jobs import deadline_of, short_name
from emulators.identity import Identity

USER_AGENT = "Google-Cloud-Scheduler"
#: Recorded on 2026-10-05: the schedule time is told in this zone, whatever the job's own zone is.
TOLD_ZONE = ZoneInfo("America/Los_Angeles")
#: Of an answer that is no success, so much is shown to a person.
ANSWER_LENGTH_MAX = 200
ANSWER_BYTES_MAX = 4_096
REDIRECTS_MAX = 10
PUBLISH_SECONDS_MAX = 60.0

#: "Some are ignored or replaced" (HttpTarget.headers).
REPLACED = frozenset({"host", "content-length", "user-agent"})
REPLACED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudscheduler")

#: Google's own mapping of HTTP to codes (google/rpc/code.proto); recorded of attempts: 401, 403, 404, 400, 500, 504.
CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ABORTED,
    416: Code.OUT_OF_RANGE,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    code: Code
    #: For a person: the status, and the beginning of what was answered with a failure.
    answer: str

    @property
    def number(self) -> int:
        """The code as `google.rpc.Status` has it."""
        return int(self.code)


class Targets:
    """Makes attempts; `pubsub_host` is where the Pub/Sub emulator listens, as `PUBSUB_EMULATOR_HOST` says."""

    def __init__(self, session: aiohttp.ClientSession, identity: Identity, pubsub_host: str = "") -> None:
        self._session = session
        self._identity = identity
        self._pubsub_host = pubsub_host

    async def attempt(self, attempt: Attempt) -> Outcome:
        """Makes an attempt; whatever happens is an outcome."""
        seconds = deadline_of(attempt.job).total_seconds()
        try:
            if attempt.job.HasField("pubsub_target"):
                return await self._publish(attempt.job.pubsub_target)
            return await self._call(attempt, seconds)
        except TimeoutError:
            return Outcome(Code.DEADLINE_EXCEEDED, f"No answer within {seconds:g} s.")
        except aiohttp.ClientConnectorError as error:
            why = os.strerror(error.os_error.errno) if error.os_error.errno else error.os_error
            return Outcome(Code.UNAVAILABLE, f"No connection to {error.host}:{error.port}: {why}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(Code.UNAVAILABLE, f"No answer: {error or type(error).__name__}")

    async def _call(self, attempt: Attempt, seconds: float) -> Outcome:
        target = attempt.job.http_target
        async with self._session.request(
            types.HttpMethod(target.http_method).name,
            URL(target.uri),
            headers=self._headers(attempt),
            data=target.body or None,
            timeout=aiohttp.ClientTimeout(total=seconds),
            # A redirect is followed, and the last answer counts (HttpTarget); Cloud Tasks does not follow.
            max_redirects=REDIRECTS_MAX,
            skip_auto_headers=("Accept", "Content-Type"),
        ) as answer:
            return await _outcome(answer)

    def _headers(self, attempt: Attempt) -> CIMultiDict[str]:
        target = attempt.job.http_target
        headers: CIMultiDict[str] = CIMultiDict(
            (name, value)
            for name, value in target.headers.items()
            if name.lower() not in REPLACED and not name.lower().startswith(REPLACED_PREFIXES)
        )
        if target.body:
            headers.setdefault("Content-Type", "application/octet-stream")
        headers.update(scheduler_headers(short_name(attempt.job.name), attempt.slot))
        token = self._token(target)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _token(self, target: Any) -> str:
        if target.HasField("oidc_token"):
            return self._identity.id_token(
                target.oidc_token.service_account_email, target.oidc_token.audience
            )
        if target.HasField("oauth_token"):
            return self._identity.access_token(
                target.oauth_token.service_account_email, target.oauth_token.scope
            )
        return ""

    async def _publish(self, target: Any) -> Outcome:
        if not self._pubsub_host:
            return Outcome(
                Code.UNAVAILABLE,
                "There is no Pub/Sub here: set PUBSUB_EMULATOR_HOST before the stand-in is started.",
            )
        message = {"data": base64.b64encode(target.data).decode(), "attributes": dict(target.attributes)}
        async with self._session.post(
            f"http://{self._pubsub_host}/v1/{target.topic_name}:publish",
            data=msgspec.json.encode({"messages": [message]}),
            headers={"Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=PUBLISH_SECONDS_MAX),
        ) as answer:
            return await _outcome(answer)


def scheduler_headers(name: str, slot: datetime) -> dict[str, str]:
    """The headers by which a handler knows Cloud Scheduler, the job, and the moment that it is called for."""
    return {
        "User-Agent": USER_AGENT,
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": name,
        "X-CloudScheduler-ScheduleTime": slot.astimezone(TOLD_ZONE).isoformat(),
    }


def code_of(status: int) -> Code:
    """The code of an HTTP status."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Code.OK
    if status in CODES:
        return CODES[status]
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Code.FAILED_PRECONDITION
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Code.INTERNAL
    return Code.UNKNOWN


async def _outcome(answer: aiohttp.ClientResponse) -> Outcome:
    code = code_of(answer.status)
    if code is Code.OK:
        return Outcome(code, f"{answer.status} {answer.reason}")
    said = (await answer.content.read(ANSWER_BYTES_MAX)).decode(errors="replace")
    text = " ".join(said.split())[:ANSWER_LENGTH_MAX]
    return Outcome(code, f"{answer.status} {answer.reason}{': ' if text else ''}{text}")
