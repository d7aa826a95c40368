"""What functions and jobs are told: every setting that the code requires, none that it does not know, and the right values."""

import pytest
from pydantic import SecretStr

from cli.target import own_addresses
from tests.infrastructure.deployed import Deployed
from turnout.base.environment import read, variables
from turnout.deployment import COMMON_SETTINGS, FUNCTIONS, JOBS, Function, Job
from turnout.gcp.pubsub import CALL_SECONDS
from turnout.gcp.votes.settings import Settings

#: What functions-framework reads.
FRAMEWORK = {"FUNCTION_USE_ASGI", "WORKERS"}
SERVICES = (*FUNCTIONS, *JOBS)


def settings_of(deployed: Deployed, service: str) -> Settings:
    """The settings as the deployed service would read them."""
    secrets = dict.fromkeys(deployed.secrets(service), "a secret from Secret Manager")
    return read(Settings, deployed.environment(service) | secrets)


def test_the_same_functions_and_jobs_are_deployed_as_run_locally(deployed: Deployed) -> None:
    assert set(deployed.functions) == {each.name for each in FUNCTIONS}
    assert set(deployed.jobs) == {each.name for each in JOBS}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_is_told_its_settings_and_no_others(deployed: Deployed, service: Function | Job) -> None:
    plain, secret = set(deployed.environment(service.name)), set(deployed.secrets(service.name))
    framework = FRAMEWORK if isinstance(service, Function) else set()
    assert plain | secret == {*COMMON_SETTINGS, *service.settings} | framework
    assert plain & secret == set()


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_the_code_accepts_what_it_is_told(deployed: Deployed, service: Function | Job) -> None:
    settings = settings_of(deployed, service.name)
    assert settings.project == "demo-project"
    assert settings.firestore_database == deployed.one("google_firestore_database", "counters")["name"]
    assert not settings.pubsub_emulator_host


def test_names_are_those_of_what_is_deployed(deployed: Deployed) -> None:
    vote, drain = deployed.environment("vote"), deployed.environment("drain")
    assert vote["TURNOUT_TOPIC"] == deployed.one("google_pubsub_topic", "votes")["name"]
    subscription = deployed.one("google_pubsub_subscription", "votes")
    assert drain["TURNOUT_SUBSCRIPTION"] == subscription["name"]
    assert drain["TURNOUT_DEAD_LETTER_TOPIC"] == deployed.one("google_pubsub_topic", "dead_letters")["name"]
    record = deployed.one("google_firestore_database", "record")["name"]
    for service in ("results", "polls", "persist", "audit"):
        assert deployed.environment(service)["TURNOUT_DATASTORE_DATABASE"] == record


def test_the_command_line_is_told_each_functions_own_address(deployed: Deployed) -> None:
    """A copy without a load balancer has several hosts; and a token's audience is the service's own address in any case."""
    lines = deployed.outputs["environment"].splitlines()
    told = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    assert own_addresses(told) == {
        name: function["service_config"][0]["uri"] for name, function in deployed.functions.items()
    }
    settings = read(Settings, told)
    assert settings.dead_letter_topic == deployed.one("google_pubsub_topic", "dead_letters")["name"]
    assert settings.datastore_database == deployed.one("google_firestore_database", "record")["name"]


def test_secrets_are_the_peppers_alone(deployed: Deployed) -> None:
    assert deployed.secrets("vote") == {"TURNOUT_PEPPER": "turnout-pepper"}
    secret_settings = {
        variable
        for name, variable in variables(Settings).items()
        if Settings.model_fields[name].annotation == SecretStr | None
    }
    assert secret_settings == {"TURNOUT_PEPPER"}
    for service in SERVICES:
        assert not secret_settings & set(deployed.environment(service.name))


def test_a_lease_outlives_the_worst_commit(deployed: Deployed) -> None:
    settings = settings_of(deployed, "drain")
    subscription = deployed.one("google_pubsub_subscription", "votes")
    assert subscription["ack_deadline_seconds"] == settings.ack_deadline_seconds
    assert settings.commit_attempt_seconds < settings.ack_deadline_seconds
    # A lease is extended each third of its deadline, and the call may take its time.
    assert settings.ack_deadline_seconds / 3 + CALL_SECONDS < settings.ack_deadline_seconds
    assert subscription["message_retention_duration"] == f"{settings.message_retention_days * 86_400}s"


def test_the_ledger_outlives_what_was_dead_lettered_and_redriven(deployed: Deployed) -> None:
    settings = settings_of(deployed, "drain")
    queue, dead_letters = (
        int(deployed.one("google_pubsub_subscription", name)["message_retention_duration"].removesuffix("s"))
        for name in ("votes", "dead_letters")
    )
    assert settings.ledger_margin_seconds >= queue + dead_letters + queue + 86_400


@pytest.mark.parametrize("service", ["polls", "persist"])
def test_who_certifies_waits_until_no_message_can_be_hidden(deployed: Deployed, service: str) -> None:
    settings = settings_of(deployed, service)
    subscription = deployed.one("google_pubsub_subscription", "votes")
    (retry,) = subscription["retry_policy"]
    hidden_seconds = subscription["ack_deadline_seconds"] + int(retry["maximum_backoff"].removesuffix("s"))
    assert settings.hidden_seconds_max >= hidden_seconds


def test_the_drain_ends_before_its_task_is_ended(deployed: Deployed) -> None:
    settings = settings_of(deployed, "drain")
    (template,) = deployed.jobs["drain"]["template"]
    timeout_seconds = int(template["template"][0]["timeout"].removesuffix("s"))
    assert settings.idle_seconds + settings.shutdown_seconds < timeout_seconds
