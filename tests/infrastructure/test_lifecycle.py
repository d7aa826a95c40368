"""A copy's life under Terraform: applied, planned again, destroyed; by Terraform itself, with stand-ins for the providers."""

import json
from pathlib import Path

import pytest

from tests.infrastructure.conftest import Terraform, copy_sources

#: What `plan -detailed-exitcode` ends with when there is something to do.
CHANGES = 2


@pytest.fixture
def copy(tmp_path: Path) -> Terraform:
    """A copy's sources, and Terraform with what a test needs of variables."""
    terraform = Terraform(copy_sources(tmp_path), stand_ins=True)
    (terraform.folder / "terraform" / "terraform.tfvars").write_text(
        'project_id = "demo-project"\n'
        'alert_emails = ["ada@example.com"]\n'
        # Nothing is built or waited for.
        'gcloud = "true"\n'
        "api_settle_seconds = 0\n"
        "access_settle_seconds = 0\n",
        encoding="utf-8",
    )
    # The module's own tests would need the examples' modules.
    for path in (terraform.folder / "terraform" / "tests").iterdir():
        path.unlink()
    terraform.init()
    return terraform


def resources(terraform: Terraform) -> set[str]:
    return {each for each in terraform.run("state", "list").split() if not each.startswith("data.")}


def test_a_second_plan_is_empty_and_a_protected_copy_is_not_destroyed_until_it_may_be(
    copy: Terraform,
) -> None:
    copy.run("apply", "-auto-approve")
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
    copy.run("apply", "-auto-approve")
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
    copy.run("apply", "-auto-approve")
    path = copy.folder / "terraform" / "locals.tf"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("  services = [\n", '  services = [\n    "cloudtasks.googleapis.com",\n'),
        encoding="utf-8",
    )
    planned = copy.run("plan", "-no-color")
    changed = {line.split()[1] for line in planned.splitlines() if line.startswith("  # ")}
    assert changed == {'google_project_service.api["cloudtasks.googleapis.com"]', "time_sleep.apis"}
