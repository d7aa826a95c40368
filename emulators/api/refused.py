"""A call that is refused, with the code and the words that the service has for it."""

from http import HTTPStatus

import grpc

#: How Google's REST endpoints put a gRPC code: https://cloud.google.com/apis/design/errors#handling_errors
HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Refused(Exception):
    """Answered to the client as it stands."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)

    @property
    def http_status(self) -> HTTPStatus:
        """The status of the REST answer."""
        return HTTP_STATUS[self.code]


def invalid(message: str) -> Refused:
    """The client sent something that the service does not take."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> Refused:
    """There is no such thing."""
    return Refused(grpc.StatusCode.NOT_FOUND, message)


def failed_precondition(message: str) -> Refused:
    """The thing is not in the state that the call is for."""
    return Refused(grpc.StatusCode.FAILED_PRECONDITION, message)
