"""Logs: one JSON object a line on standard output, as Cloud Logging reads it. No line names a voter or a key."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

#: Cloud Logging's field for the trace that a line belongs to.
TRACE_FIELD = "logging.googleapis.com/trace"


def configure_logs(project: str, service: str) -> None:
    """Makes every log line of this process a JSON object with `severity`, `message` and `service`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # As plain text: a structured traceback carries local variables, and they may name a voter.
            structlog.processors.format_exc_info,
            _for_cloud_logging(project, service),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )


def bind_trace(headers: Mapping[str, str]) -> None:
    """Joins this task's log lines to the request's trace: W3C's `traceparent`, or Google's own header."""
    parts = headers.get("traceparent", "").split("-")
    trace = parts[1] if len(parts) > 1 else headers.get("x-cloud-trace-context", "").split("/")[0]
    if trace.isalnum():
        structlog.contextvars.bind_contextvars(trace=trace[:32])


def _for_cloud_logging(project: str, service: str) -> structlog.typing.Processor:
    def name_fields(_: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["severity"] = method.upper()
        event["message"] = event.pop("event")
        event["service"] = service
        trace = event.pop("trace", None)
        if trace is not None:
            event[TRACE_FIELD] = f"projects/{project}/traces/{trace}"
        return event

    return name_fields
