"""The schedules of the table, as jobs of Cloud Scheduler: what terraform/schedule.tf makes of them in the cloud."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from google.cloud.scheduler_v1 import types

from emulators.cloud_run.views import Place
from turnout.deployment import Function, Job

#: The identity that calls, as in the cloud; there it may call functions and start jobs, and nothing else.
ACCOUNT = "scheduler"
FUNCTION_RETRIES = {"retry_count": 2, "min_backoff_duration": timedelta(seconds=5)}
JOB_RETRIES = {"retry_count": 1, "min_backoff_duration": timedelta(seconds=5)}
JOB_SECONDS_MAX = 60


def scheduled(
    place: Place,
    functions: Sequence[Function],
    function_urls: Mapping[str, str],
    jobs: Sequence[Job],
    run_url: str,
) -> list[types.Job]:
    """Jobs for all that has a schedule; `run_url` is where Cloud Run's API is."""
    account = f"{ACCOUNT}@{place.project}.iam.gserviceaccount.com"
    return [
        *(_call(place, each, function_urls[each.name], account) for each in functions if each.schedule),
        *(_start(place, each, run_url, account) for each in jobs if each.schedule),
    ]


def _call(place: Place, function: Function, url: str, account: str) -> types.Job:
    return types.Job(
        name=place.job(function.name),
        description=f"Calls the function {function.name}.",
        schedule=function.schedule,
        time_zone="Etc/UTC",
        retry_config=types.RetryConfig(**FUNCTION_RETRIES),
        http_target=types.HttpTarget(
            uri=url + function.paths[0],
            http_method=types.HttpMethod.POST,
            # The service's own address, without a path.
            oidc_token=types.OidcToken(service_account_email=account, audience=url),
        ),
    )


def _start(place: Place, job: Job, run_url: str, account: str) -> types.Job:
    return types.Job(
        name=place.job(job.name),
        description=f"Starts an execution of the job {job.name}.",
        schedule=job.schedule,
        time_zone="Etc/UTC",
        retry_config=types.RetryConfig(**JOB_RETRIES),
        attempt_deadline=timedelta(seconds=JOB_SECONDS_MAX),
        http_target=types.HttpTarget(
            uri=f"{run_url}/v2/{place.job(job.name)}:run",
            http_method=types.HttpMethod.POST,
            headers={"Content-Type": "application/json"},
            body=b"{}",
            oauth_token=types.OAuthToken(service_account_email=account),
        ),
    )
