"""Replies: JSON, or a problem document (RFC 9457). Tables say which fault has which status: a common one, and one per family."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from math import ceil

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from turnout.base import errors
from turnout.base.logs import bind_trace
from turnout.queue.errors import QueueUnavailable

log = structlog.get_logger()

Handler = Callable[[Request], Awaitable[Response]]


class Answer(msgspec.Struct, frozen=True):
    """How a kind of fault is answered: its status, its stable name, and a title that a person understands."""

    status: int
    slug: str
    title: str


#: A table of answers, by the type of the fault.
Answers = Mapping[type[errors.TurnoutError], Answer]
#: How faults of any family are answered. The first type that a fault is an instance of decides.
COMMON_ANSWERS: Answers = {
    errors.BatchRefused: Answer(
        422, "batch-refused", "Some items of the batch are at fault; none was accepted"
    ),
    errors.ValueRefused: Answer(422, "value-refused", "A value is outside the stated limits"),
    errors.BodyInvalid: Answer(400, "body-invalid", "The body cannot be understood"),
    errors.RequestInvalid: Answer(400, "request-invalid", "The request cannot be understood"),
    errors.PathUnknown: Answer(404, "path-unknown", "Nothing is at this address"),
    errors.MethodNotAllowed: Answer(405, "method-not-allowed", "The method is not allowed here"),
    errors.BodyTooSlow: Answer(408, "body-too-slow", "The body came too slowly"),
    errors.BodyTooLarge: Answer(413, "body-too-large", "The body is too large"),
    errors.MediaTypeUnsupported: Answer(415, "media-type-unsupported", "The media type is not supported"),
    QueueUnavailable: Answer(503, "queue-unavailable", "The queue cannot take anything now"),
    errors.ServiceUnavailable: Answer(503, "service-unavailable", "A backing service is unavailable"),
}
INTERNAL = Answer(500, "internal", "Turnout made a mistake; it is logged")
RETRY_AFTER_SECONDS = 1.0
#: Faults that a refused batch names one by one.
FAULTS_NAMED_MAX = 100

_json = msgspec.json.Encoder()


class Accepted(Response):
    """A 202 with a JSON document. The base class's constructor would take three times as long as all of this."""

    def __init__(self, document: object) -> None:
        self.status_code = 202
        self.background = None
        self.body = _json.encode(document)
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body)),
        ]


def json_reply(
    body: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """A JSON document."""
    return Response(_json.encode(body), status, headers, media_type)


def problem(fault: errors.TurnoutError, answers: Answers = COMMON_ANSWERS) -> Response:
    """The problem document of a fault."""
    answer = answer_for(fault, answers)
    document: dict[str, object] = problem_document(fault, answer)
    if isinstance(fault, errors.BatchRefused):
        named = sorted(fault.faults.items())[:FAULTS_NAMED_MAX]
        document["faults"] = [
            {"index": index, **_brief(each, answer_for(each, answers))} for index, each in named
        ]
        document["faults_total"] = len(fault.faults)
    return json_reply(
        document, status=answer.status, headers=_headers(fault), media_type="application/problem+json"
    )


def problem_document(fault: errors.TurnoutError, answer: Answer) -> dict[str, object]:
    """The members that every problem document has."""
    document = {
        "type": problem_type(answer),
        "title": answer.title,
        "status": answer.status,
        "detail": _detail(fault),
    }
    field = getattr(fault, "field", "")
    return {**document, "field": field} if field else document


def problem_type(answer: Answer) -> str:
    """The stable name of a kind of fault: docs/http-api.md explains each."""
    return f"urn:turnout:problem:{answer.slug}"


def answer_for(fault: errors.TurnoutError, answers: Answers = COMMON_ANSWERS) -> Answer:
    """The table's row for a fault."""
    for kind, answer in answers.items():
        if isinstance(fault, kind):
            return answer
    return INTERNAL


def answering(own: Answers) -> Callable[[Handler], Handler]:
    """Answers with a problem document whenever the handler raises, by the family's own table and the common one."""
    answers: Answers = {**own, **COMMON_ANSWERS}

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it
            except errors.TurnoutError as fault:
                reply = problem(fault, answers)
                if reply.status_code >= INTERNAL.status:
                    bind_trace(request.headers)
                    path = request.scope["path"]
                    log.error("request failed", status=reply.status_code, error=str(fault), path=path)
                return reply
            except Exception:
                bind_trace(request.headers)
                log.exception("request crashed", path=request.scope["path"])
                return _internal_problem()

        return answer

    return decorate


def _internal_problem() -> Response:
    """What a client is told of a mistake of ours: no fault goes out unnamed."""
    document = {
        "type": problem_type(INTERNAL),
        "title": INTERNAL.title,
        "status": INTERNAL.status,
        "detail": "Send the request again; if this repeats, tell whoever runs this service.",
    }
    return json_reply(document, status=INTERNAL.status, media_type="application/problem+json")


def _brief(fault: errors.TurnoutError, answer: Answer) -> dict[str, object]:
    document = problem_document(fault, answer)
    return {name: document[name] for name in ("type", "detail", "field") if name in document}


def _detail(fault: errors.TurnoutError) -> str:
    if type(fault) in (errors.ServiceUnavailable, errors.OutcomeUnknown):
        # What a backing service says is for the logs.
        return "Nothing was changed for sure; send the request again in a moment."
    return str(fault)


def _headers(fault: errors.TurnoutError) -> dict[str, str]:
    if isinstance(fault, errors.MethodNotAllowed):
        return {"Allow": ", ".join(fault.allowed)}
    if isinstance(fault, errors.BodyTooSlow):
        # The rest of the body is not waited for (RFC 9110, 15.5.9).
        return {"Connection": "close"}
    if isinstance(fault, QueueUnavailable):
        return {"Retry-After": str(max(1, ceil(fault.retry_after_seconds)))}
    if isinstance(fault, errors.ServiceUnavailable):
        return {"Retry-After": str(ceil(RETRY_AFTER_SECONDS))}
    return {}
