"""Logs of the stand-ins, on standard error: for a person, or a JSON object a line."""

import logging
from datetime import UTC, datetime

import msgspec

#: So many lines tell of each request to a client of ours; they are not the stand-ins' own.
QUIET = ("grpc", "aiohttp", "asyncio")


class JsonLines(logging.Formatter):
    """One JSON object a line, with the fields that Cloud Logging reads."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def log_to_standard_error(*, as_json: bool) -> None:
    """Shows what the stand-ins say; of the libraries' own, warnings and worse."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
