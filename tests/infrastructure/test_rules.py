"""Rules that no schema holds: ranges, pairs that exclude each other, protection of data, names of logged events."""

import ast
import json
import math
import re

import pytest

from tests.infrastructure.conftest import ROOT, Terraform
from tests.infrastructure.deployed import Deployed
from tests.infrastructure.fake_cloud import PYTHONS
from tests.infrastructure.terraform_offline.provider import without_zeros
from turnout.deployment import FUNCTIONS, JOBS

#: Roles that exist and are narrow enough; a misspelt one is refused by Google only when it is applied.
ROLES_ALLOWED = {
    "roles/artifactregistry.reader",
    "roles/artifactregistry.writer",
    "roles/datastore.user",
    "roles/datastore.viewer",
    "roles/logging.logWriter",
    "roles/pubsub.publisher",
    "roles/pubsub.subscriber",
    "roles/run.invoker",
    "roles/secretmanager.secretAccessor",
    "roles/storage.objectViewer",
}


def seconds(text: str) -> float:
    assert text.endswith("s"), text
    return float(text[:-1])


def test_every_role_is_on_the_list(deployed: Deployed) -> None:
    roles = {each.values["role"] for each in deployed.resources if "_iam_" in each.type}
    assert roles == ROLES_ALLOWED


def test_only_databases_logs_and_googles_own_bucket_are_granted_on_the_project(deployed: Deployed) -> None:
    """The project's grants name one database or one bucket in a condition; log entries cannot be narrowed."""
    for each in deployed.of_type("google_project_iam_member"):
        assert each.values["condition"] or each.values["role"] == "roles/logging.logWriter", each.address


def test_schedules_are_those_of_the_table(deployed: Deployed) -> None:
    schedules = {
        each.index or each.name: each.values["schedule"]
        for each in deployed.of_type("google_cloud_scheduler_job")
    }
    assert schedules == {each.name: each.schedule for each in (*FUNCTIONS, *JOBS) if each.schedule}


def test_a_scheduler_job_has_one_target_one_token_and_a_deadline_in_range(deployed: Deployed) -> None:
    for each in deployed.of_type("google_cloud_scheduler_job"):
        targets = [each.values[kind] for kind in ("http_target", "pubsub_target", "app_engine_http_target")]
        assert sorted(map(len, targets)) == [0, 0, 1], each.address
        (target,) = each.values["http_target"]
        assert len(target["oidc_token"]) + len(target["oauth_token"]) == 1
        assert 15 <= seconds(each.values["attempt_deadline"]) <= 1800
        assert 0 <= each.values["retry_config"][0]["retry_count"] <= 5


def test_a_function_is_called_with_its_own_audience_and_a_job_with_an_access_token(
    deployed: Deployed,
) -> None:
    (persist,) = deployed.functions["persist"]["service_config"]
    (target,) = deployed.one("google_cloud_scheduler_job", "persist")["http_target"]
    assert target["oidc_token"][0]["audience"] == persist["uri"]
    assert target["uri"] == persist["uri"] + "/persist"
    assert target["http_method"] == "POST"
    for name in ("drain", "audit"):
        (target,) = deployed.one("google_cloud_scheduler_job", "job", name)["http_target"]
        assert target["oauth_token"]
        assert target["uri"] == (
            f"https://run.googleapis.com/v2/projects/demo-project/locations/europe-west1/jobs/turnout-{name}:run"
        )


def test_a_scheduled_call_may_take_as_long_as_the_function(deployed: Deployed) -> None:
    (persist,) = deployed.functions["persist"]["service_config"]
    job = deployed.one("google_cloud_scheduler_job", "persist")
    assert seconds(job["attempt_deadline"]) >= persist["timeout_seconds"]


def test_functions_answer_many_requests_at_once_within_stated_ceilings(deployed: Deployed) -> None:
    for name, function in deployed.functions.items():
        (config,) = function["service_config"]
        assert config["max_instance_request_concurrency"] > 1, name
        assert float(config["available_cpu"]) >= 1, "a concurrency above 1 needs a whole CPU"
        assert config["environment_variables"]["FUNCTION_USE_ASGI"] == "true"
        assert config["min_instance_count"] <= config["max_instance_count"] <= 1000
        assert 1 <= config["timeout_seconds"] <= 3600


def fits(cpu: float, memory_mib: float) -> bool:
    """Cloud Run's pairs (https://cloud.google.com/run/docs/configuring/services/memory-limits)."""
    least, most = {1: (128, 4096), 2: (128, 8192), 4: (2048, 16_384), 8: (4096, 32_768)}[int(cpu)]
    return least <= memory_mib <= most


def sizes(deployed: Deployed) -> dict[str, tuple[float, int, int]]:
    """By function and job: vCPU and MiB of one instance or task, and how many there may be at once."""
    found = {}
    for name, function in deployed.functions.items():
        (config,) = function["service_config"]
        memory = int(config["available_memory"].removesuffix("Mi"))
        found[name] = (float(config["available_cpu"]), memory, config["max_instance_count"])
    every_seconds = {each.name: 60 if each.schedule == "* * * * *" else 3600 for each in JOBS}
    for name, job in deployed.jobs.items():
        (execution,) = job["template"]
        (task,) = execution["template"]
        limits = task["containers"][0]["resources"][0]["limits"]
        at_once = math.ceil(seconds(task["timeout"]) / every_seconds[name]) * execution["parallelism"]
        found[name] = (float(limits["cpu"]), int(limits["memory"].removesuffix("Mi")), at_once)
    return found


def test_cpu_and_memory_are_pairs_that_cloud_run_takes(deployed: Deployed) -> None:
    assert [name for name, (cpu, memory, _) in sizes(deployed).items() if not fits(cpu, memory)] == []


def test_all_ceilings_fit_into_a_new_projects_region(deployed: Deployed) -> None:
    """20 vCPU and 40 GiB (https://cloud.google.com/run/quotas): beyond that a busy intake leaves the drain nothing."""
    found = sizes(deployed)
    assert sum(cpu * at_once for cpu, _, at_once in found.values()) <= 20
    assert sum(memory * at_once for _, memory, at_once in found.values()) <= 40 * 1024
    said = deployed.outputs["ceilings"]
    assert {name: each["instances"] for name, each in said["each"].items()} == {
        name: at_once for name, (_, _, at_once) in found.items()
    }
    assert said["vcpu"] == sum(cpu * at_once for cpu, _, at_once in found.values())


@pytest.mark.parametrize("runtime", ["python311", "python312", "python313", "python314"])
def test_a_builder_has_the_runtimes_python(terraform: Terraform, runtime: str) -> None:
    """Builders and their Pythons: https://cloud.google.com/docs/buildpacks/builders; `latest` would change one day."""
    expression = '"${local.builder} ${local.python_version}"\n'
    said = terraform.run(
        "console", "-var=project_id=demo-project", f"-var=runtime={runtime}", given=expression
    )
    builder, version = said.strip().strip('"').split()
    assert version.removesuffix(".x") in PYTHONS[builder]


def test_the_dashboard_has_no_value_that_monitoring_drops(deployed: Deployed) -> None:
    """A zero or an empty text does not come back (protobuf's JSON leaves defaults out), so no later plan would be empty."""
    dashboard = json.loads(deployed.one("google_monitoring_dashboard", "turnout")["dashboard_json"])
    assert without_zeros(dashboard) == dashboard
    assert without_zeros({"xPos": 0, "unitOverride": "", "width": 16}) == {"width": 16}


def test_fields_and_indexes_go_with_their_database(deployed: Deployed) -> None:
    """Deleting a field's settings answers 409 while another is being changed, and that is not repeated."""
    found = [*deployed.of_type("google_firestore_field"), *deployed.of_type("google_firestore_index")]
    assert found
    assert {each.values["deletion_policy"] for each in found} == {"ABANDON"}


def test_both_databases_have_backups_within_what_firestore_keeps(deployed: Deployed) -> None:
    """14 weeks at most, one daily and one weekly schedule a database
    (https://cloud.google.com/firestore/docs/backups)."""
    schedules = deployed.of_type("google_firestore_backup_schedule")
    assert sorted((each.values["database"], each.name) for each in schedules) == [
        (database, each)
        for database in ("turnout-counters", "turnout-record")
        for each in ("daily", "weekly")
    ]
    for each in schedules:
        assert 86_400 <= seconds(each.values["retention"]) <= 14 * 7 * 86_400
        assert len(each.values["daily_recurrence"]) + len(each.values["weekly_recurrence"]) == 1


def test_googles_own_identities_have_what_they_need(deployed: Deployed) -> None:
    """Dead-lettering: https://cloud.google.com/pubsub/docs/handling-failures#grant_forwarding_permissions; the functions'
    images: https://cloud.google.com/functions/docs/building#image_registry."""
    granted = {(each.member, each.role, each.on) for each in deployed.grants()}
    assert granted >= {
        ("Pub/Sub", "pubsub.publisher", "topic turnout-votes-dead"),
        ("Pub/Sub", "pubsub.subscriber", "subscription turnout-votes"),
        ("Cloud Functions", "artifactregistry.reader", "repository turnout-images"),
    }


def test_nothing_in_the_module_decides_where_apis_are() -> None:
    """So that GOOGLE_<PRODUCT>_CUSTOM_ENDPOINT and gcloud's own variables lead all of it to any address."""
    for path in (ROOT / "terraform").glob("*.tf"):
        text = path.read_text(encoding="utf-8")
        for forbidden in (
            r'^provider "',
            "custom_endpoint",
            "CLOUDSDK_",
            "--access-token-file",
            "--account=",
        ):
            assert not re.search(forbidden, text, re.MULTILINE), (path.name, forbidden)


def test_the_log_bucket_never_holds_who_voted_when(variations: dict[str, Deployed]) -> None:
    kept = variations["organisation"]
    sink = kept.one("google_logging_project_sink", "turnout", "turnout-logs")
    assert [each["filter"] for each in sink["exclusions"]] == [
        kept.one("google_logging_project_exclusion", "votes_requests", 0)["filter"]
    ]
    assert (
        kept.one("google_logging_project_bucket_config", "turnout", "turnout-logs")["retention_days"] == 400
    )


def test_a_budget_is_told_of_and_there_is_none_without_a_billing_account(
    deployed: Deployed, variations: dict[str, Deployed]
) -> None:
    """At most five channels (https://cloud.google.com/billing/docs/how-to/budgets-notification-recipients)."""
    assert deployed.of_type("google_billing_budget") == []
    budget = variations["organisation"].one("google_billing_budget", "turnout", "month")
    assert budget["billing_account"] == "012345-6789AB-CDEF01"
    assert budget["amount"][0]["specified_amount"][0]["units"] == "200"
    assert [each["threshold_percent"] for each in budget["threshold_rules"]] == [0.5, 0.9, 1, 1]
    (told,) = budget["all_updates_rule"]
    assert 1 <= len(told["monitoring_notification_channels"]) <= 5
    assert budget["budget_filter"][0]["projects"] == ["projects/123456789012"]
    apis = {each.values["service"] for each in variations["organisation"].of_type("google_project_service")}
    assert "billingbudgets.googleapis.com" in apis


def test_a_key_of_ones_own_encrypts_everything_that_holds_votes(variations: dict[str, Deployed]) -> None:
    kept = variations["organisation"]
    key = "projects/demo-project/locations/europe-west1/keyRings/ring/cryptoKeys/key"
    for kind in (
        "google_pubsub_topic",
        "google_artifact_registry_repository",
        "google_cloudfunctions2_function",
    ):
        assert {each.values["kms_key_name"] for each in kept.of_type(kind)} == {key}, kind
    for database in kept.of_type("google_firestore_database"):
        assert [each["kms_key_name"] for each in database.values["cmek_config"]] == [key + "-of-databases"]
    assert {job["template"][0]["template"][0]["encryption_key"] for job in kept.jobs.values()} == {key}
    (bucket,) = kept.of_type("google_storage_bucket")
    assert [each["default_kms_key_name"] for each in bucket.values["encryption"]] == [key]
    (replica,) = kept.one("google_secret_manager_secret", "pepper", 0)["replication"][0]["user_managed"][0][
        "replicas"
    ]
    assert [each["kms_key_name"] for each in replica["customer_managed_encryption"]] == [key]


def test_a_function_is_built_from_the_one_file_with_its_target(deployed: Deployed) -> None:
    for name, function in deployed.functions.items():
        (build,) = function["build_config"]
        assert build["entry_point"] == name
        assert build["environment_variables"]["GOOGLE_FUNCTION_SOURCE"] == "functions/main.py"
        assert build["service_account"].endswith("turnout-build@demo-project.iam.gserviceaccount.com")


def test_jobs_run_their_modules_in_an_image_of_these_very_sources(deployed: Deployed) -> None:
    digest = deployed.outputs["source"]["sha256"]
    for job in JOBS:
        (container,) = deployed.jobs[job.name]["template"][0]["template"][0]["containers"]
        assert container["args"] == ["-m", f"jobs.{job.module}"]
        assert container["image"].rpartition("-")[2] == digest[:32]
        assert (ROOT / "jobs" / f"{job.module}.py").exists()
    assert digest in deployed.one("google_storage_bucket_object", "source")["name"]


def test_the_queue_keeps_what_nobody_reads_and_expires_never(deployed: Deployed) -> None:
    for name in ("votes", "dead_letters"):
        subscription = deployed.one("google_pubsub_subscription", name)
        assert [each["ttl"] for each in subscription["expiration_policy"]] == [""]
        assert 86_400 <= seconds(subscription["message_retention_duration"]) <= 31 * 86_400
        assert 10 <= subscription["ack_deadline_seconds"] <= 600
        assert not subscription["push_config"], "a pull subscription"
        topic = deployed.one("google_pubsub_topic", name)
        assert topic["message_storage_policy"][0]["allowed_persistence_regions"] == ["europe-west1"]


def test_what_is_dead_lettered_has_a_subscription_to_wait_in(deployed: Deployed) -> None:
    (policy,) = deployed.one("google_pubsub_subscription", "votes")["dead_letter_policy"]
    dead_topic = deployed.one("google_pubsub_topic", "dead_letters")
    assert policy["dead_letter_topic"] == dead_topic["id"]
    assert 5 <= policy["max_delivery_attempts"] <= 100
    assert deployed.one("google_pubsub_subscription", "dead_letters")["topic"] == dead_topic["id"]


def test_buckets_are_private(deployed: Deployed) -> None:
    buckets = deployed.of_type("google_storage_bucket")
    assert buckets
    for bucket in buckets:
        assert bucket.values["uniform_bucket_level_access"] is True
        assert bucket.values["public_access_prevention"] == "enforced"


def test_no_secret_is_written_down(deployed: Deployed) -> None:
    """The pepper is an ephemeral value, and written without being kept: no state, no plan and no variable ever holds it."""
    version = deployed.one("google_secret_manager_secret_version", "pepper", 0)
    assert version["secret_data"] is None
    assert version["secret_data_wo"] is None
    assert deployed.of_type("random_password") == []
    variables = (ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")
    assert not re.search(r'variable "pepper"', variables)


@pytest.mark.parametrize("name", ["counters", "record"])
def test_a_database_is_protected_unless_a_variable_says_otherwise(
    deployed: Deployed, variations: dict[str, Deployed], name: str
) -> None:
    protected = deployed.one("google_firestore_database", name)
    assert protected["delete_protection_state"] == "DELETE_PROTECTION_ENABLED"
    assert protected["deletion_policy"] == "PREVENT"
    assert protected["point_in_time_recovery_enablement"] == "POINT_IN_TIME_RECOVERY_ENABLED"
    free = variations["destroyable"].one("google_firestore_database", name)
    assert free["delete_protection_state"] == "DELETE_PROTECTION_DISABLED"
    assert free["deletion_policy"] == "DELETE"


def test_the_databases_are_of_both_kinds(deployed: Deployed) -> None:
    assert deployed.one("google_firestore_database", "counters")["type"] == "FIRESTORE_NATIVE"
    assert deployed.one("google_firestore_database", "record")["type"] == "DATASTORE_MODE"


def test_apis_stay_enabled_when_a_copy_is_destroyed(deployed: Deployed) -> None:
    for each in deployed.of_type("google_project_service"):
        assert each.values["disable_on_destroy"] is False


def test_everything_that_expires_has_a_ttl_policy(deployed: Deployed) -> None:
    """And none that does not: the collections in which `turnout/gcp/firestore.py` writes `expire_at`."""
    with_ttl = {
        each.values["collection"]
        for each in deployed.of_type("google_firestore_field")
        if each.values["ttl_config"] and each.values["field"] == "expire_at"
    }
    assert with_ttl == {"ledger", "drains"}


def test_moments_and_counts_have_no_index(deployed: Deployed) -> None:
    exempt = {
        f"{each.values['collection']}.{each.values['field']}"
        for each in deployed.of_type("google_firestore_field")
        if each.values["index_config"] and not (each.values["index_config"][0].get("indexes") or ())
    }
    assert {"ledger.expire_at", "drains.expire_at", "shards.counts", "shards.updated_at"} <= exempt


def logged_events() -> set[str]:
    """What the code logs: the first argument of each `log.…` call in the sources."""
    found = set()
    for folder in ("turnout", "functions", "jobs"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "log"
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                ):
                    found.add(str(node.args[0].value))
    return found


def test_metrics_are_made_of_events_that_the_code_logs(deployed: Deployed) -> None:
    metrics = deployed.of_type("google_logging_metric")
    events = logged_events()
    assert metrics
    for metric in metrics:
        named = events_in(metric.values["filter"])
        assert named, metric.address
        assert named <= events, metric.address


def events_in(filter_text: str) -> set[str]:
    """The events that a log filter names: `message="a"` or `message=("a" OR "b")`."""
    alternatives = re.findall(r'jsonPayload\.message=("[^"]*"|\([^)]*\))', filter_text)
    return {event for each in alternatives for event in re.findall(r'"([^"]*)"', each)}


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_exist(deployed: Deployed) -> None:
    # PromQL's names: https://cloud.google.com/monitoring/promql/promql-mapping
    own = {re.sub(r"\W", "_", each.values["name"]) for each in deployed.of_type("google_logging_metric")}
    dashboard = deployed.one("google_monitoring_dashboard", "turnout")["dashboard_json"]
    policies = json.dumps([each.values for each in deployed.of_type("google_monitoring_alert_policy")])
    asked = set(re.findall(r"logging_googleapis_com:user_(\w+)", dashboard + policies))
    assert asked
    # A distribution is asked for its parts.
    assert {re.sub(r"_(sum|count|bucket)$", "", name) for name in asked} <= own


@pytest.mark.parametrize(
    "shown",
    [
        "num_undelivered_messages",
        "oldest_unacked_message_age",
        "request_latencies",
        "request_count",
        "turnout-votes-dead",
    ],
)
def test_the_dashboard_shows(deployed: Deployed, shown: str) -> None:
    dashboard = deployed.one("google_monitoring_dashboard", "turnout")["dashboard_json"]
    assert json.loads(dashboard)
    assert shown in dashboard


def test_there_is_an_alert_for_each_thing_that_wants_a_person(deployed: Deployed) -> None:
    policies = deployed.of_type("google_monitoring_alert_policy")
    assert {each.values["display_name"] for each in policies} == {
        "turnout: votes wait to be counted",
        "turnout: messages are dead-lettered",
        "turnout: requests fail",
        "turnout: totals are not persisted",
        "turnout: an audit failed",
        "turnout: results cannot be reached",
        "turnout: votes fail, fast burn",
        "turnout: votes fail, steady burn",
        "turnout: votes fail, slow burn",
    }
    for each in policies:
        assert each.values["enabled"] is not False
        assert each.values["documentation"][0]["content"], "an alert says what to do"
