"""The audit job: proves for every poll that its books balance. Exit code 1: one does not.

`python -m jobs.audit`, as a Cloud Run job of one task.
"""

import sys

import structlog

from jobs.process import ExitCode, run
from turnout.gcp.votes.wiring import Wiring

log = structlog.get_logger()


async def audit(wiring: Wiring) -> ExitCode:
    """Audits every poll, a log line each."""
    verdicts = await wiring.audit().audit_all()
    for verdict in verdicts:
        books = verdict.books
        if verdict.exact:
            log.info(
                "books balance", poll=books.poll, votes=books.shards.votes, duplicates=books.shards.duplicates
            )
        else:
            log.error("audit failed", poll=books.poll, faults=verdict.faults)
    return ExitCode.DONE if all(verdict.exact for verdict in verdicts) else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(run("audit", audit, Wiring.from_environment))
