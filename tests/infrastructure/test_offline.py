"""The stand-ins for Terraform's providers: what they find, and what they refuse and drop as Google does."""

import json
from pathlib import Path

import pytest

from tests.infrastructure.conftest import Terraform
from tests.infrastructure.terraform_offline import schema

CHANGES = 2
TOPIC = """
terraform {
  required_providers {
    google = {
      source = "hashicorp/google"
    }
  }
}

resource "google_pubsub_topic" "votes" {
  name = "votes"
  %s
}
"""


@pytest.fixture
def alone(tmp_path: Path) -> Terraform:
    """Terraform with the stand-ins in an empty folder."""
    (tmp_path / "terraform").mkdir()
    return Terraform(tmp_path, stand_ins=True)


def write(terraform: Terraform, text: str) -> None:
    (terraform.folder / "terraform" / "main.tf").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("argument", "fault"),
    [
        ('retention = "600s"', "Unsupported argument"),
        ("labels = true", "map of string required"),
        ('effective_labels = { a = "b" }', "effective_labels is read-only"),
        ("kms_key_name = google_kms_crypto_key.none.id", "undeclared resource"),
        (
            'ingestion_data_source_settings {\n platform_logs_settings {\n severity = "LOUD"\n }\n }',
            "expected severity to be",
        ),
    ],
)
def test_a_stand_in_finds(alone: Terraform, argument: str, fault: str) -> None:
    write(alone, TOPIC % argument)
    done = alone.attempt("validate", "-no-color")
    assert done.returncode == 1
    assert fault in " ".join(done.stderr.replace("│", " ").split())


def test_what_is_applied_is_not_changed_by_a_second_plan(alone: Terraform) -> None:
    write(alone, TOPIC % "")
    alone.run("apply", "-auto-approve")
    assert alone.attempt("plan", "-detailed-exitcode").returncode == 0


def test_what_is_protected_is_not_deleted(alone: Terraform) -> None:
    write(alone, TOPIC % 'deletion_policy = "PREVENT"')
    alone.run("apply", "-auto-approve")
    done = alone.attempt("destroy", "-auto-approve", "-no-color")
    assert "deletion_policy is PREVENT" in done.stderr
    assert alone.run("state", "list").split() == ["google_pubsub_topic.votes"]


def test_a_zero_in_a_dashboard_does_not_come_back(alone: Terraform) -> None:
    dashboard = json.dumps({"mosaicLayout": {"tiles": [{"xPos": 0, "yPos": 12}]}})
    write(
        alone,
        TOPIC % ""
        + f'resource "google_monitoring_dashboard" "votes" {{\n  dashboard_json = {json.dumps(dashboard)}\n}}\n',
    )
    alone.run("apply", "-auto-approve")
    assert alone.attempt("plan", "-detailed-exitcode").returncode == CHANGES


def test_a_write_only_value_is_in_no_state(alone: Terraform) -> None:
    write(
        alone,
        TOPIC % ""
        + """
        ephemeral "random_password" "pepper" {
          length = 40
        }
        resource "google_secret_manager_secret_version" "pepper" {
          secret                 = "projects/p/secrets/pepper"
          secret_data_wo         = ephemeral.random_password.pepper.result
          secret_data_wo_version = "1"
        }
        """,
    )
    alone.run("apply", "-auto-approve")
    state = json.loads(alone.run("show", "-json"))
    (version,) = [
        each["values"]
        for each in state["values"]["root_module"]["resources"]
        if each["type"] == "google_secret_manager_secret_version"
    ]
    assert version["secret_data_wo"] is None
    assert version["secret_data_wo_version"] == "1"


def test_no_lock_file_is_made(alone: Terraform) -> None:
    write(alone, TOPIC % "")
    alone.init()
    alone.run("apply", "-auto-approve")
    assert not list(alone.folder.rglob(".terraform.lock.hcl"))


def test_every_provider_of_the_module_has_a_stand_in() -> None:
    assert {"google", "archive", "random", "time"} <= set(schema.names())
