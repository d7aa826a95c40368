"""The table's schedules as jobs of Cloud Scheduler, which are what terraform makes of them."""

from emulators.cloud_run.views import Place
from emulators.cloud_scheduler.jobs import completed
from emulators.schedules import scheduled
from turnout.deployment import FUNCTIONS, JOBS

PLACE = Place("demo", "us-central1")
URLS = {function.name: f"http://127.0.0.1:{2_000 + index}" for index, function in enumerate(FUNCTIONS)}
JOBS_MADE = {
    each.name.rpartition("/")[2]: each
    for each in scheduled(PLACE, FUNCTIONS, URLS, JOBS, "http://127.0.0.1:3000")
}


def test_all_that_has_a_schedule_is_scheduled_and_nothing_else() -> None:
    assert {name: job.schedule for name, job in JOBS_MADE.items()} == {
        each.name: each.schedule for each in (*FUNCTIONS, *JOBS) if each.schedule
    }


def test_the_service_would_take_every_one_of_them() -> None:
    for job in JOBS_MADE.values():
        assert completed(type(job).pb(job)).name == job.name


def test_a_function_is_called_at_its_first_path_with_an_identity() -> None:
    target = JOBS_MADE["persist"].http_target
    assert (target.uri, target.http_method.name) == (f"{URLS['persist']}/persist", "POST")
    assert target.oidc_token.audience == URLS["persist"]
    assert target.oidc_token.service_account_email == "scheduler@demo.iam.gserviceaccount.com"


def test_a_job_is_started_by_cloud_runs_api_with_access() -> None:
    target = JOBS_MADE["drain"].http_target
    assert target.uri == "http://127.0.0.1:3000/v2/projects/demo/locations/us-central1/jobs/drain:run"
    assert (target.http_method.name, target.body) == ("POST", b"{}")
    assert target.oauth_token.service_account_email == "scheduler@demo.iam.gserviceaccount.com"
