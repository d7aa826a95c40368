"""A call that is refused, with the code and the words that the service has for it."""

import enum
from http import HTTPStatus
from typing import Any

from google.rpc import status_pb2


class Code(enum.IntEnum):
    """The canonical codes of Google's APIs; names and numbers are gRPC's."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


#: How Google's REST endpoints put what they refuse: https://cloud.google.com/apis/design/errors#handling_errors
HTTP_STATUS = {
    Code.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Code.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    Code.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    Code.ABORTED: HTTPStatus.CONFLICT,
    Code.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Refused(Exception):
    """Answered to the client as it stands: a code, a message, and further details as protobuf messages."""

    def __init__(self, code: Code, message: str, *details: Any) -> None:
        self.code = code
        self.message = message
        self.details = details
        super().__init__(message)

    @property
    def http_status(self) -> HTTPStatus:
        """The status of the REST answer."""
        return HTTP_STATUS[self.code]

    def status(self) -> Any:
        """The same as google.rpc.Status."""
        status = status_pb2.Status(code=int(self.code), message=self.message)
        for detail in self.details:
            status.details.add().Pack(detail)
        return status


def invalid(message: str) -> Refused:
    """The client sent something that the service does not take."""
    return Refused(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> Refused:
    """There is no such thing."""
    return Refused(Code.NOT_FOUND, message)


def failed_precondition(message: str) -> Refused:
    """The thing is not in the state that the call is for."""
    return Refused(Code.FAILED_PRECONDITION, message)


def internal() -> Refused:
    """A fault of the stand-in."""
    return Refused(Code.INTERNAL, "A fault of the stand-in; its log has the details.")
