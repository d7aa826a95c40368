"""The stand-in as a whole: the executions of their owner on two ports."""

import contextlib
from collections.abc import AsyncIterator

from emulators.api.page import page_routes
from emulators.api.serving import Ports, serving
from emulators.cloud_run.executions import Executions
from emulators.cloud_run.page import executions_table
from emulators.cloud_run.service import CloudRunJobs
from emulators.cloud_run.views import Place


@contextlib.asynccontextmanager
async def cloud_run(executions: Executions, place: Place, ports: Ports) -> AsyncIterator[CloudRunJobs]:
    """Serves the jobs until the block ends; executions under way are their owner's to end."""
    jobs = CloudRunJobs(executions, place, executions.clock())
    try:
        async with serving("Cloud Run", jobs.services, ports, page_routes(executions_table(jobs))):
            yield jobs
    finally:
        await executions.close()
