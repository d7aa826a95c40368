"""`python -m emulators.cloud_tasks`: the stand-in alone, until SIGINT or SIGTERM."""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from emulators.api.serving import Ports
from emulators.cloud_tasks.names import queue_name
from emulators.cloud_tasks.server import CloudTasks, Settings
from emulators.errors import LocalCloudError
from emulators.identity import Identity, load_key

DEFAULT_STATE = Path(".turnout/cloud-tasks")
DEFAULT_PROJECT = "local-project"
DEFAULT_LOCATION = "us-central1"


class Ready(msgspec.Struct, frozen=True):
    """The line on stdout that says that calls are taken, with `--json`."""

    grpc: str
    rest: str
    jwks: str
    project: str
    location: str


class JsonLines(logging.Formatter):
    """One JSON object a line, with the fields that Cloud Logging reads."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "severity": record.levelname,
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until it is told to stop; the exit code."""
    given = _parser().parse_args(arguments)
    _log(as_json=given.json)
    try:
        return uvloop.run(_serve(given))
    except LocalCloudError as fault:
        sys.stderr.write(f"{fault}\n")
        return 1


async def _serve(given: argparse.Namespace) -> int:
    folder: Path = given.state_folder
    parent = f"projects/{given.project}/locations/{given.location}"
    settings = Settings(
        state_folder=folder,
        ports=Ports(given.grpc_port, given.rest_port, given.host),
        reset=given.reset,
        ramp_up=given.ramp_up,
        service_accounts=frozenset(given.service_account) if given.service_account else None,
        app_engine_url=given.app_engine_url,
        queues=tuple(queue_name(each if "/" in each else f"{parent}/queues/{each}") for each in given.queue),
    )
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with CloudTasks(settings, Identity(load_key(folder))) as tasks:
        _say_ready(tasks, given)
        await stopping.wait()
    return 0


def _say_ready(tasks: CloudTasks, given: argparse.Namespace) -> None:
    jwks = f"{tasks.ports.url}/oauth2/v3/certs"
    if given.json:
        line = msgspec.json.encode(
            Ready(tasks.ports.grpc_host, tasks.ports.url, jwks, given.project, given.location)
        )
        sys.stdout.write(line.decode() + "\n")
    else:
        sys.stdout.write(
            f"Cloud Tasks is ready: gRPC {tasks.ports.grpc_host}, REST and page {tasks.ports.url}, keys of tokens {jwks}\n"
        )
    sys.stdout.flush()


def _log(*, as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else logging.Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulators.cloud_tasks", description="A stand-in for Cloud Tasks on this machine."
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--grpc-port", type=int, default=8123, help="0 takes a free one (%(default)s)")
    parser.add_argument("--rest-port", type=int, default=8124, help="0 takes a free one (%(default)s)")
    parser.add_argument("--project", default=DEFAULT_PROJECT, help="for --queue (%(default)s)")
    parser.add_argument("--location", default=DEFAULT_LOCATION, help="for --queue (%(default)s)")
    parser.add_argument(
        "--queue", action="append", default=[], help="a queue to create if it does not exist; can be repeated"
    )
    parser.add_argument(
        "--state-folder", type=Path, default=DEFAULT_STATE, help="what survives a restart (%(default)s)"
    )
    parser.add_argument("--reset", action="store_true", help="begin with an empty state")
    parser.add_argument(
        "--service-account",
        action="append",
        default=[],
        help="a service account that exists; can be repeated; without any, all exist",
    )
    parser.add_argument("--app-engine-url", default="", help="where App Engine tasks go")
    parser.add_argument(
        "--no-ramp-up",
        dest="ramp_up",
        action="store_false",
        help="let a location dispatch more than 500/s from its first second on",
    )
    parser.add_argument("--json", action="store_true", help="the ready line and the log as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
