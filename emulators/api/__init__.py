"""What stand-ins of Google's APIs share: one table of methods, served over gRPC and as REST, a port each."""

from emulators.api.method import Method, Route
from emulators.api.refused import Code, Refused

__all__ = ["Code", "Method", "Refused", "Route"]
