"""A copy's life under Terraform: applied, planned again, destroyed; by Terraform itself, with stand-ins for the providers."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.infrastructure.conftest import Terraform, copy_module

#: What `plan -detailed-exitcode` ends with when there is something to do.
CHANGES = 2


PATCH_DAYS = 30  # var.image_patch_days


class Calendar:
    """A clock that a test turns."""

    now = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the module that was applied once."""
    terraform = Terraform(
        copy_module(tmp_path_factory.mktemp("applied") / "copy"), stand_ins=True, now=Calendar()
    )
    folder = terraform.folder / "terraform"
    (folder / "terraform.tfvars").write_text(
        'project_id = "demo-project"\n'
        'alert_emails = ["ada@example.com"]\n'
        # Nothing is built or waited for.
        'gcloud = "true"\n'
        "api_settle_seconds = 0\n"
        "access_settle_seconds = 0\n",
        encoding="utf-8",
    )
    # The module's own tests would need the examples' modules.
    shutil.rmtree(folder / "tests")
    terraform.init()
    terraform.run("apply", "-auto-approve")
    return terraform.folder


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def copy(applied: Path, tmp_path: Path, calendar: Calendar) -> Terraform:
    """The applied copy, for one test."""
    shutil.copytree(applied, tmp_path / "copy")
    return Terraform(tmp_path / "copy", stand_ins=True, now=calendar)


def resources(terraform: Terraform) -> set[str]:
    return {each for each in terraform.run("state", "list").split() if not each.startswith("data.")}


def test_a_second_plan_is_empty_and_a_protected_copy_is_not_destroyed_until_it_may_be(
    copy: Terraform,
) -> None:
    assert copy.attempt("plan", "-detailed-exitcode").returncode == 0
    before = resources(copy)
    state = kept(copy)

    refused = copy.attempt("destroy", "-auto-approve", "-no-color")

    assert refused.returncode == 1
    assert "Nothing was destroyed: the data of this copy is protected." in refused.stdout + refused.stderr
    assert "terraform apply with -var allow_destroy_data=true" in refused.stdout + refused.stderr
    assert resources(copy) == before
    assert kept(copy) == state
    # Terraform itself forgets the outputs' values, and the next apply writes them again.
    copy.run("plan", "-out=next")
    changes = json.loads(copy.run("show", "-json", "next"))["resource_changes"]
    assert {action for each in changes for action in each["change"]["actions"]} <= {"no-op", "read"}

    # Said in the destroy alone, it was not agreed to by an apply.
    assert copy.attempt("destroy", "-auto-approve", "-var=allow_destroy_data=true").returncode == 1
    assert resources(copy) == before

    copy.run("apply", "-auto-approve", "-var=allow_destroy_data=true")
    copy.run("destroy", "-auto-approve", "-var=allow_destroy_data=true")
    assert resources(copy) == set()


def kept(terraform: Terraform) -> object:
    """What the state says of every resource."""
    state = json.loads((terraform.folder / "terraform" / "terraform.tfstate").read_text(encoding="utf-8"))
    return state["resources"]


def test_without_the_guard_a_protected_destroy_takes_down_all_but_the_data(copy: Terraform) -> None:
    """The module as it was: what the guard is there for."""
    (copy.folder / "terraform" / "guard.tf").unlink()
    before = resources(copy)
    assert copy.attempt("destroy", "-auto-approve").returncode == 1
    lost = {each.partition("[")[0] for each in before - resources(copy)}
    assert {
        "google_cloud_scheduler_job.job",
        "google_cloudfunctions2_function.function",
        "google_cloud_run_v2_job.job",
        "google_firestore_index.ledger_sums",
    } <= lost


def test_with_zeros_in_the_dashboard_a_second_plan_is_never_empty(copy: Terraform) -> None:
    """The module as it was: what the rule on zeros is there for."""
    path = copy.folder / "terraform" / "observe.tf"
    text = path.read_text(encoding="utf-8")
    assert " : key => at if at > 0 }" in text
    path.write_text(text.replace(" : key => at if at > 0 }", " : key => at }"), encoding="utf-8")
    copy.run("apply", "-auto-approve")
    assert copy.attempt("plan", "-detailed-exitcode").returncode == CHANGES


def test_an_api_that_a_later_version_adds_changes_nothing_else(copy: Terraform) -> None:
    """What follows from the project's number must not be unknown because an API is enabled: grants would be made anew."""
    path = copy.folder / "terraform" / "locals.tf"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace(
            '    "storage.googleapis.com",\n',
            '    "storage.googleapis.com",\n    "cloudtasks.googleapis.com",\n',
        ),
        encoding="utf-8",
    )
    planned = copy.run("plan", "-no-color")
    changed = {line.split()[1] for line in planned.splitlines() if line.startswith("  # ")}
    assert changed == {'google_project_service.api["cloudtasks.googleapis.com"]', "time_sleep.apis"}


def test_the_jobs_image_is_built_anew_when_its_system_is_old_and_functions_stay(
    copy: Terraform, calendar: Calendar
) -> None:
    """Its tag was the sources' digest alone: without new sources it never got a patch of the system beneath them."""
    calendar.now += timedelta(days=PATCH_DAYS - 1)
    assert copy.attempt("plan", "-detailed-exitcode").returncode == 0
    calendar.now += timedelta(days=1)
    copy.run("plan", "-out=patches")
    planned = json.loads(copy.run("show", "-json", "patches"))["resource_changes"]
    changes = {each["address"]: each["change"]["actions"] for each in planned}
    changed = {
        address: actions for address, actions in changes.items() if actions not in (["no-op"], ["read"])
    }
    assert changed == {
        "time_rotating.patched": ["create"],
        "terraform_data.job_image[0]": ["delete", "create"],
        'google_cloud_run_v2_job.job["audit"]': ["update"],
        'google_cloud_run_v2_job.job["drain"]': ["update"],
    }
    copy.run("apply", "-auto-approve")
    assert "-20261201-" in copy.run("output", "-json", "source")
    assert copy.attempt("plan", "-detailed-exitcode").returncode == 0
