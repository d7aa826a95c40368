"""The module as Terraform itself judges it: format, schema, its own tests, its examples, and two copies in one project."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.infrastructure.conftest import ROOT, Terraform, copy_module
from tests.infrastructure.deployed import Deployed
from tests.infrastructure.module_docs import readmes, written

EXAMPLES = sorted(
    path.parent.relative_to(ROOT / "terraform" / "examples").as_posix()
    for path in (ROOT / "terraform" / "examples").rglob("main.tf")
)
MODULE_TESTS = sorted(path.name for path in (ROOT / "terraform" / "tests").glob("*.tftest.hcl"))
STAGES = ("intake", "queue", "drain", "counters", "record", "schedule", "build", "observe", "access")

TWO_COPIES = """
module "spring" {
  source       = "../terraform"
  project_id   = "demo-project"
  prefix       = "spring"
  alert_emails = ["ada@example.com"]
}

module "autumn" {
  source       = "../terraform"
  project_id   = "demo-project"
  prefix       = "autumn"
  alert_emails = ["ada@example.com"]
}
"""
#: What an API calls a resource, by type; None: it has no name of its own, or both copies share it on purpose.
NAMES = {
    "google_service_account": "account_id",
    "google_storage_bucket_object": None,  # its bucket is the copy's
    "google_artifact_registry_repository": "repository_id",
    "google_secret_manager_secret": "secret_id",
    "google_secret_manager_secret_version": None,  # its secret is the copy's
    "google_billing_budget": "display_name",
    "google_monitoring_alert_policy": "display_name",
    "google_monitoring_dashboard": None,  # the service makes its id
    "google_monitoring_custom_service": "service_id",
    "google_monitoring_notification_channel": "display_name",
    "google_monitoring_slo": None,  # its service is the copy's
    "google_monitoring_uptime_check_config": "display_name",
    "google_logging_project_bucket_config": "bucket_id",
    "google_project_service": None,  # enabled once, never disabled
    "google_firestore_backup_schedule": None,  # its database is the copy's
    "google_firestore_field": None,  # as is this one's
    "google_firestore_index": None,
    "terraform_data": None,
    "time_rotating": None,
    "time_sleep": None,
}


def test_there_is_a_file_for_each_stage_of_the_flow() -> None:
    files = {path.stem for path in (ROOT / "terraform").glob("*.tf")}
    assert {*STAGES, "versions", "variables", "outputs"} <= files


def test_every_file_has_terraforms_own_format(terraform: Terraform) -> None:
    assert terraform.run("fmt", "-check", "-recursive", "-no-color") == ""


def test_the_module_is_valid(terraform: Terraform) -> None:
    assert "Success!" in terraform.run("validate", "-no-color")


#: Whose zip is looked at.
OVER_ALL_SOURCES = ("plan.tftest.hcl",)


@pytest.mark.parametrize("file", MODULE_TESTS)
def test_the_modules_own_tests_pass(terraform: Terraform, checkout: Terraform, file: str) -> None:
    out = (checkout if file in OVER_ALL_SOURCES else terraform).run(
        "test", "-no-color", f"-filter=tests/{file}"
    )
    assert re.search(r"Success! [1-9]\d* passed, 0 failed", out)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_valid(terraform: Terraform, example: str) -> None:
    chdir = f"terraform/examples/{example}"
    terraform.init(chdir)
    assert "Success!" in terraform.run("validate", "-no-color", chdir=chdir)


def test_every_variable_is_described_and_those_with_values_to_refuse_are_validated() -> None:
    text = (ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")
    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    assert blocks
    for name, body in blocks:
        assert re.search(r"^  description\s+= ", body, re.MULTILINE), name
        kind = re.search(r"^  type\s+= (.*)$", body, re.MULTILINE)
        assert kind, name
        assert kind[1] == "bool" or "validation {" in body, name


def test_every_validation_is_refused_by_a_test() -> None:
    text = (ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")
    validated = {
        name
        for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
        if "validation {" in body
    }
    tests = "\n".join(
        (ROOT / "terraform" / "tests" / name).read_text(encoding="utf-8") for name in MODULE_TESTS
    )
    expected = " ".join(re.findall(r"expect_failures = \[(.*?)\]", tests, re.DOTALL))
    refused = set(re.findall(r"var\.(\w+)", expected))
    assert validated <= refused


def test_no_data_is_protected_by_a_literal() -> None:
    """`prevent_destroy` takes no variable, and makes `terraform test` fail when it tears down."""
    for path in (ROOT / "terraform").rglob("*.tf"):
        assert "prevent_destroy" not in path.read_text(encoding="utf-8"), path


def test_no_lock_file_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "terraform"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    assert [path for path in listed if Path(path).name == ".terraform.lock.hcl" or "tfstate" in path] == []


def test_every_configuration_wants_the_same_provider() -> None:
    """From 7.46 on, all of Pub/Sub has `deletion_policy`; 9 may change what is used here."""
    found = {
        str(path.relative_to(ROOT)): re.findall(
            r'source\s+= "hashicorp/google"\n(?:\s+#.*\n)*\s+version\s+= "(.*)"',
            path.read_text(encoding="utf-8"),
        )
        for path in (ROOT / "terraform").rglob("*.tf")
        if "required_providers" in path.read_text(encoding="utf-8")
    }
    assert {path: [">= 7.46, < 9.0"] for path in found} == found


def test_two_copies_share_a_project(tmp_path: Path) -> None:
    terraform = Terraform(copy_module(tmp_path), stand_ins=True)
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "main.tf").write_text(TWO_COPIES, encoding="utf-8")
    deployed = terraform.planned(chdir="copies")
    names = named(deployed)
    assert len({address.partition(".google")[0] for address, _ in names}) == 2
    seen = [name for _, name in names]
    assert sorted(seen) == sorted(set(seen))


def named(deployed: Deployed) -> list[tuple[str, tuple[str, str]]]:
    """The address, the type and the name of everything that has a name in its project."""
    found = []
    for each in deployed.resources:
        argument = NAMES.get(each.type, "name")
        if argument is not None and "_iam_" not in each.type:
            found.append((each.address, (each.type, each.values[argument])))
    return found


def test_every_configuration_has_a_readme_with_tables() -> None:
    configurations = {path.parent for path in (ROOT / "terraform").rglob("main.tf")} | {ROOT / "terraform"}
    assert {path.parent for path in readmes()} == configurations


@pytest.mark.parametrize("readme", readmes(), ids=lambda path: path.parent.name)
def test_the_tables_of_inputs_and_outputs_are_the_files(readme: Path) -> None:
    said = readme.read_text(encoding="utf-8")
    assert written(readme) == said, "python -m tests.infrastructure.module_docs writes them anew"


@pytest.mark.parametrize("readme", ["README.md", "examples/team/README.md"])
def test_the_readme_says_how_a_lock_file_is_made(readme: str) -> None:
    """None can be committed here: it holds the digests of the real providers, which only the registry tells."""
    said = " ".join((ROOT / "terraform" / readme).read_text(encoding="utf-8").split())
    assert "terraform providers lock -platform=linux_amd64 -platform=darwin_arm64" in said


#: Every address that the module had when it was last released, without indices.
ADDRESSES = Path(__file__).parent / "addresses.txt"


def test_nothing_leaves_the_state_in_silence() -> None:
    """What a release had is still there, is the `from` of a `moved` block, or is named in UPGRADING.md."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "terraform").glob("*.tf"))
    there = {".".join(each) for each in re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE)}
    there |= set(re.findall(r"^moved \{\n  from = ([\w.]+)$", text, re.MULTILINE))
    upgrading = (ROOT / "terraform" / "UPGRADING.md").read_text(encoding="utf-8")
    there |= set(re.findall(r"`(\w+\.\w+)`", upgrading))
    released = set(ADDRESSES.read_text(encoding="utf-8").split())
    assert released
    assert released - there == set()
