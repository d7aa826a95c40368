"""The least-privilege deployer of terraform/examples/team: its roles follow from what an apply makes."""

import re

import pytest

from tests.infrastructure.conftest import HERE, ROOT, Terraform
from tests.infrastructure.deployed import Deployed

#: The least predefined role that lets somebody create, change and delete a resource of a type, by the longest beginning; from
#: https://cloud.google.com/iam/docs/roles-permissions and each product's page on access control. None: nothing of Google's.
ROLE_OF_TYPE = {
    # artifactregistry.repositories.create, .setIamPolicy
    "google_artifact_registry_repository": "roles/artifactregistry.admin",
    # billing.budgets.*, on the billing account
    "google_billing_budget": "roles/billing.costsManager",
    # run.jobs.create, .setIamPolicy; run.services.setIamPolicy
    "google_cloud_run_v2": "roles/run.admin",
    # cloudscheduler.jobs.create
    "google_cloud_scheduler_job": "roles/cloudscheduler.admin",
    # cloudfunctions.functions.create; whoever calls them is a matter of Cloud Run
    "google_cloudfunctions2_function": "roles/cloudfunctions.developer",
    # datastore.databases.create, .indexes.*, .backupSchedules.*
    "google_firestore": "roles/datastore.owner",
    # logging.logMetrics.*, .exclusions.*, .buckets.*, .sinks.*
    "google_logging": "roles/logging.configWriter",
    # monitoring.alertPolicies.*, .dashboards.*, .uptimeCheckConfigs.*, .services.*, .slos.*, .notificationChannels.*
    "google_monitoring": "roles/monitoring.editor",
    # resourcemanager.projects.setIamPolicy
    "google_project_iam_member": "roles/resourcemanager.projectIamAdmin",
    # serviceusage.services.enable
    "google_project_service": "roles/serviceusage.serviceUsageAdmin",
    # pubsub.topics.create, .setIamPolicy
    "google_pubsub": "roles/pubsub.admin",
    # secretmanager.secrets.create, .setIamPolicy, .versions.add
    "google_secret_manager": "roles/secretmanager.admin",
    # iam.serviceAccounts.create
    "google_service_account": "roles/iam.serviceAccountAdmin",
    # storage.buckets.create, .setIamPolicy, storage.objects.*
    "google_storage_bucket": "roles/storage.admin",
    "time_": None,
    "terraform_data": None,
}
#: What the module's own commands call, by the resource that runs them.
ROLE_OF_COMMAND = {
    # gcloud builds submit: cloudbuild.builds.create
    "job_image": "roles/cloudbuild.builds.editor",
    # gcloud beta services identity create: serviceusage.services.enable
    "service_agent": "roles/serviceusage.serviceUsageAdmin",
    # gcloud run services update: run.services.update
    "invoker_check": "roles/run.admin",
    "function_ids": None,
    "guard": None,
}
#: To deploy what runs as an identity is to act as it: iam.serviceAccounts.actAs.
ACTS_AS = "roles/iam.serviceAccountUser"
RUNS_AS_AN_IDENTITY = {
    "google_cloudfunctions2_function",
    "google_cloud_run_v2_job",
    "google_cloud_scheduler_job",
}
ON_THE_BILLING_ACCOUNT = {"roles/billing.costsManager"}
BOUNDED = "roles/resourcemanager.projectIamAdmin"


@pytest.fixture(scope="module")
def bootstrap(terraform: Terraform) -> Deployed:
    chdir = "terraform/examples/team/bootstrap"
    terraform.init(chdir)
    return terraform.apply_on_mocks(HERE / "bootstrap.tftest.hcl", chdir=chdir)["bootstrap"]


def role_for(kind: str) -> str | None:
    """`KeyError` for a type that the table does not know: say there which role makes it."""
    known = [each for each in ROLE_OF_TYPE if kind.startswith(each)]
    if not known:
        raise KeyError(kind)
    return ROLE_OF_TYPE[max(known, key=len)]


def needed(*copies: Deployed) -> set[str]:
    """The roles that an apply of these copies needs."""
    resources = [each for copy in copies for each in copy.resources]
    roles = {role_for(each.type) for each in resources}
    roles |= {ROLE_OF_COMMAND[each.name] for each in resources if each.type == "terraform_data"}
    if RUNS_AS_AN_IDENTITY & {each.type for each in resources}:
        roles.add(ACTS_AS)
    return {role for role in roles if role is not None}


def test_the_deployer_has_the_roles_that_an_apply_needs_and_no_others(
    bootstrap: Deployed, deployed: Deployed, variations: dict[str, Deployed]
) -> None:
    granted = {each.values["role"] for each in bootstrap.of_type("google_project_iam_member")}
    on_the_account = {each.values["role"] for each in bootstrap.of_type("google_billing_account_iam_member")}
    wanted = needed(deployed, *variations.values())
    assert granted == wanted - ON_THE_BILLING_ACCOUNT
    assert on_the_account == wanted & ON_THE_BILLING_ACCOUNT


def test_every_entry_of_the_table_is_for_something(
    deployed: Deployed, variations: dict[str, Deployed]
) -> None:
    types = {each.type for copy in (deployed, *variations.values()) for each in copy.resources}
    assert [each for each in ROLE_OF_TYPE if not any(kind.startswith(each) for kind in types)] == []


def test_a_type_that_the_table_does_not_know_is_found() -> None:
    with pytest.raises(KeyError, match="google_compute_address"):
        role_for("google_compute_address")


def test_the_deployer_may_grant_what_the_module_grants_and_cannot_make_itself_an_owner(
    bootstrap: Deployed, deployed: Deployed
) -> None:
    """https://cloud.google.com/iam/docs/setting-limits-on-granting-roles"""
    bounds = {
        each.values["role"]: [condition["expression"] for condition in each.values["condition"]]
        for each in bootstrap.of_type("google_project_iam_member")
    }
    granted = sorted({each.values["role"] for each in deployed.of_type("google_project_iam_member")})
    listed = ", ".join(f"'{role}'" for role in granted)
    assert bounds.pop(BOUNDED) == [
        f"api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([{listed}])"
    ]
    assert set(map(tuple, bounds.values())) == {()}


def test_one_repository_may_act_as_the_deployer_and_there_is_no_key(bootstrap: Deployed) -> None:
    (who,) = bootstrap.of_type("google_service_account_iam_member")
    assert who.values["role"] == "roles/iam.workloadIdentityUser"
    assert who.values["member"].endswith("/attribute.repository_id/123456")
    assert bootstrap.of_type("google_service_account_key") == []


def test_the_workflow_names_what_the_example_takes_and_what_the_bootstrap_says() -> None:
    example = ROOT / "terraform" / "examples" / "team"
    workflow = (example / "deploy.yml").read_text(encoding="utf-8")
    takes = set(
        re.findall(r'^variable "(\w+)"', (example / "main.tf").read_text(encoding="utf-8"), re.MULTILINE)
    )
    told = set(re.findall(r"TF_VAR_(\w+):", workflow))
    assert {"project_id", "poll_owners", "alert_emails"} <= told <= takes
    bootstrap = (example / "bootstrap" / "main.tf").read_text(encoding="utf-8")
    says = {each.upper() for each in re.findall(r'^output "(\w+)"', bootstrap, re.MULTILINE)}
    assert {"WORKLOAD_IDENTITY_PROVIDER", "DEPLOYER"} <= says & set(re.findall(r"vars\.(\w+)", workflow))
    # The state's bucket, by the name that it was given.
    assert 'name     = "${var.project_id}-terraform-state"' in bootstrap
    assert "-backend-config=bucket=${{ vars.PROJECT_ID }}-terraform-state" in workflow
    # A token for Google, and nothing else that could be written; a plan is applied where it was made.
    assert "permissions:\n  contents: read\n  id-token: write\n" in workflow
    assert workflow.index("terraform plan -out=next") < workflow.index("terraform apply next")
