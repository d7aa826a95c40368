"""The audit job: proves for every poll that its books balance. Exit code 1: one does not.

`python -m jobs.audit`, as a Cloud Run job of one task.
"""

import sys

import structlog
import uvloop

from turnout.base.errors import SettingsInvalid, TurnoutError
from turnout.base.logs import configure_logs
from turnout.gcp.wiring import Wiring
from turnout.votes.settings import Settings

log = structlog.get_logger()


async def audit(settings: Settings) -> bool:
    """Audits every poll, a log line each; whether all are exact."""
    async with Wiring(settings) as wiring:
        verdicts = await wiring.audit().audit_all()
    for verdict in verdicts:
        books = verdict.books
        if verdict.exact:
            log.info(
                "books balance", poll=books.poll, votes=books.shards.votes, duplicates=books.shards.duplicates
            )
        else:
            log.error("audit failed", poll=books.poll, faults=verdict.faults)
    return all(verdict.exact for verdict in verdicts)


def main() -> int:
    """The job's process."""
    try:
        settings = Settings.from_environment()
    except SettingsInvalid as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    configure_logs(settings.project, "audit")
    try:
        return 0 if uvloop.run(audit(settings)) else 1
    except TurnoutError as fault:
        log.error("audit not done", error=str(fault))
        return 1


if __name__ == "__main__":
    sys.exit(main())
