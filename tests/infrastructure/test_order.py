"""What waits for what: rules over Terraform's own graph, each with its source, and each shown to find the fault it is there for."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.infrastructure.conftest import Terraform, copy_module

Graph = dict[str, set[str]]
Rule = Callable[[Graph], list[str]]

APIS = "google_project_service.api"
APIS_SETTLED = "time_sleep.apis"
ACCESS_SETTLED = "time_sleep.access"
AGENTS = "terraform_data.service_agent"
GUARD = "terraform_data.guard"
#: Grants to identities that Google makes when they are first asked for.
GRANTS_TO_AGENTS = (
    "google_artifact_registry_repository_iam_member.functions_read_images",
    "google_pubsub_subscription_iam_member.pubsub_takes",
    "google_pubsub_topic_iam_member.pubsub_buries",
)
#: What fails for good when a grant has not arrived: builds, and what reads the pepper at its start.
NEEDS_ACCESS = (
    "google_cloud_run_v2_job.job",
    "google_cloudfunctions2_function.function",
    "terraform_data.job_image",
)


def waits_for(graph: Graph, one: str) -> set[str]:
    """Everything that is made before one resource is."""
    found: set[str] = set()
    open_ends = [one]
    while open_ends:
        for each in graph[open_ends.pop()] - found:
            found.add(each)
            open_ends.append(each)
    return found


def managed(graph: Graph) -> list[str]:
    return [each for each in graph if not each.startswith(("data.", "ephemeral."))]


def made_before_the_apis_have_settled(graph: Graph) -> list[str]:
    """An API enabled a moment ago answers 403 SERVICE_DISABLED, which the provider does not repeat
    (`google/transport/error_retry_predicates.go` of hashicorp/terraform-provider-google)."""
    found = [
        each
        for each in managed(graph)
        if each.startswith("google_") and each != APIS and APIS_SETTLED not in waits_for(graph, each)
    ]
    return found if APIS in graph[APIS_SETTLED] else [APIS_SETTLED, *found]


def made_before_the_grants_have_settled(graph: Graph) -> list[str]:
    """A grant reaches all of IAM within 2 minutes, and may take 7 (https://cloud.google.com/iam/docs/access-change-propagation)."""
    return [each for each in NEEDS_ACCESS if ACCESS_SETTLED not in waits_for(graph, each)]


def granted_to_an_agent_before_it_exists(graph: Graph) -> list[str]:
    """A policy that names an account that does not exist is refused with 400
    (https://cloud.google.com/iam/docs/service-agents#create-service-agents)."""
    return [each for each in GRANTS_TO_AGENTS if AGENTS not in waits_for(graph, each)]


def scheduled_before_the_call_is_allowed(graph: Graph) -> list[str]:
    """A schedule calls from the moment it is made; without its grant the call is refused with 403."""
    grants = {
        "google_cloud_scheduler_job.job": "google_cloud_run_v2_job_iam_member.scheduler",
        "google_cloud_scheduler_job.persist": "google_cloud_run_v2_service_iam_member.caller",
    }
    return [each for each, grant in grants.items() if grant not in waits_for(graph, each)]


def deployed_before_what_it_runs(graph: Graph) -> list[str]:
    """A job whose image does not exist, and a function whose secret has no version, fail to deploy
    (https://cloud.google.com/run/docs/troubleshooting)."""
    needs = {
        "google_cloud_run_v2_job.job": "terraform_data.job_image",
        "google_cloudfunctions2_function.function": "google_secret_manager_secret_version.pepper",
    }
    return [each for each, needed in needs.items() if needed not in waits_for(graph, each)]


def destroyed_before_the_guard(graph: Graph) -> list[str]:
    """Terraform destroys in the reverse order of making: what the guard did not wait for may go before it refuses."""
    return sorted(set(managed(graph)) - waits_for(graph, GUARD) - {GUARD})


#: Each rule, with a file and an edit that is the fault it finds; the first of each is the module as it once was.
RULES: list[tuple[Rule, str, str, str]] = [
    (made_before_the_apis_have_settled, "queue.tf", "depends_on = [time_sleep.apis]", 'depends_on = [google_project_service.api["pubsub.googleapis.com"]]'),
    (made_before_the_apis_have_settled, "access.tf", 'triggers        = { services = join(" ", sort([for api in google_project_service.api : api.service])) }', ""),
    (made_before_the_grants_have_settled, "build.tf", "depends_on = [time_sleep.access]", "depends_on = [google_storage_bucket_iam_member.build_reads_source]"),
    (granted_to_an_agent_before_it_exists, "access.tf", "depends_on = [terraform_data.service_agent]", ""),
    (scheduled_before_the_call_is_allowed, "schedule.tf", "depends_on = [google_cloud_run_v2_job_iam_member.scheduler]", 'depends_on = [google_project_service.api["cloudscheduler.googleapis.com"]]'),
    (scheduled_before_the_call_is_allowed, "schedule.tf", "depends_on = [google_cloud_run_v2_service_iam_member.caller]", ""),
    (deployed_before_what_it_runs, "intake.tf", "    google_secret_manager_secret_version.pepper,\n", ""),
    (deployed_before_what_it_runs, "drain.tf", "    terraform_data.job_image,\n", ""),
    (destroyed_before_the_guard, "guard.tf", "    google_cloud_scheduler_job.job,\n", ""),
]  # fmt: skip


@pytest.fixture(scope="module")
def graph(terraform: Terraform) -> Graph:
    found = terraform.graph()
    assert GUARD in found
    return found


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, *_ in RULES), ids=lambda rule: rule.__name__)
def test_nothing_is(graph: Graph, rule: Rule) -> None:
    assert rule(graph) == [], rule.__doc__


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """A copy of the module, to plant faults in."""
    terraform = Terraform(copy_module(tmp_path_factory.mktemp("planted")))
    terraform.init()
    return terraform


@pytest.mark.parametrize(
    ("rule", "file", "right", "wrong"), RULES, ids=[f"{rule.__name__}-{file}" for rule, file, _, _ in RULES]
)
def test_a_rule_finds_its_fault(planted: Terraform, rule: Rule, file: str, right: str, wrong: str) -> None:
    path: Path = planted.folder / "terraform" / file
    text = path.read_text(encoding="utf-8")
    assert right in text
    try:
        path.write_text(re.sub(re.escape(right), lambda _: wrong, text), encoding="utf-8")
        assert rule(planted.graph())
    finally:
        path.write_text(text, encoding="utf-8")
