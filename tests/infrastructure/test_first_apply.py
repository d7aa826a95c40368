"""The first apply on a fresh project: real Terraform and the real gcloud, before a fake of Google's APIs that refuses as they do."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import needs
from tests.deadlines import COMMAND_SECONDS_MAX
from tests.infrastructure.conftest import Terraform, copy_module
from tests.infrastructure.fake_cloud import FakeCloud, Refused, serving

VARIABLES = 'project_id = "demo-project"\nalert_emails = ["ada@example.com"]\n'
#: One that needs no build.
IMAGE = "europe-docker.pkg.dev/demo-project/images/jobs:1"
#: The pepper's command as it was, kept to show what the fake refuses it.
OLD_PEPPER = """
set -eu
if [ -z "$(gcloud secrets versions list turnout-pepper --project=demo-project --format='value(name)' --limit=1)" ]; then
  head -c 48 /dev/urandom | base64 | tr -d '\\n' | gcloud secrets versions add turnout-pepper --project=demo-project --data-file=-
fi
"""


@pytest.fixture(scope="session")
def gcloud() -> str:
    """The real gcloud."""
    return needs.program("gcloud")


Project = tuple[FakeCloud, Terraform]

#: gcloud, but for a call that other tests make with the real one, and that takes it a second: asking for an identity.
QUICK_GCLOUD = """#!/bin/sh
case "$*" in
"beta services identity create"*) exec {python} -S -c '
import sys, urllib.request
service = next(each.partition("=")[2] for each in sys.argv if each.startswith("--service="))
path = "/v1beta1/projects/demo-project/services/" + service + ":generateServiceIdentity"
urllib.request.urlopen(urllib.request.Request("{url}" + path, b"{{}}", method="POST"))
' "$@" ;;
*) exec {gcloud} "$@" ;;
esac
"""


@pytest.fixture
def project(gcloud: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A fresh project, and a copy of the module to apply to it."""
    cloud = FakeCloud(**getattr(request, "param", {}))
    with serving(cloud) as address:
        terraform = Terraform(
            copy_module(tmp_path / "copy"),
            stand_ins=True,
            environment=address.environment(str(tmp_path / "gcloud")),
            refusal=cloud.refusal,
        )
        shutil.rmtree(terraform.folder / "terraform" / "tests")
        quick = tmp_path / "quick-gcloud"
        quick.write_text(
            QUICK_GCLOUD.format(python=sys.executable, url=address.url, gcloud=gcloud), encoding="utf-8"
        )
        quick.chmod(0o755)
        tell(terraform)
        terraform.init()
        yield cloud, terraform


def tell(terraform: Terraform, more: str = "", *, gcloud: str = "../../quick-gcloud") -> None:
    """Writes the variables."""
    text = f'{VARIABLES}gcloud = "{gcloud}"\n{more}'
    (terraform.folder / "terraform" / "terraform.tfvars").write_text(text, encoding="utf-8")


def edit(terraform: Terraform, file: str, pattern: str, replacement: str = "") -> None:
    path = terraform.folder / "terraform" / file
    text = path.read_text(encoding="utf-8")
    changed = re.sub(pattern, lambda _: replacement, text, flags=re.MULTILINE)
    assert changed != text, "there is nothing to edit"
    path.write_text(changed, encoding="utf-8")


def refused(terraform: Terraform, *arguments: str) -> str:
    """What a failing apply prints, on one line."""
    done = terraform.attempt("apply", "-auto-approve", "-no-color", *arguments)
    assert done.returncode == 1, done.stdout
    return " ".join((done.stdout + done.stderr).replace("│", " ").split())


def test_the_first_apply_makes_everything_and_the_second_changes_nothing(project: Project) -> None:
    cloud, terraform = project
    tell(terraform, gcloud="gcloud")
    terraform.run("apply", "-auto-approve")

    # Built once, from a copy in the module's own bucket.
    (build,) = cloud.builds
    assert build["status"] == "SUCCESS"
    assert build["source"]["storageSource"]["bucket"] == "demo-project-turnout-source"
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"
    assert set(cloud.buckets) == {"demo-project-turnout-source"}
    # The pepper is written once, is long enough, and no file of Terraform's has it.
    (pepper,) = cloud.secrets["turnout-pepper"]
    assert len(pepper) == 48
    state = (terraform.folder / "terraform" / "terraform.tfstate").read_text(encoding="utf-8")
    assert pepper not in state
    assert cloud.refused_calls == []

    calls = list(cloud.calls)
    terraform.run("apply", "-auto-approve")
    assert cloud.calls == calls, "a second run calls nothing"
    assert cloud.secrets["turnout-pepper"] == [pepper]
    assert terraform.attempt("plan", "-detailed-exitcode").returncode == 0


#: What each fault brings back of the module as it was: file, pattern, replacement, what is applied, and what Google says then.
FAULTS: dict[str, tuple[str, str, str, str, str]] = {
    "a_build_reads_only_what_its_identity_may": (
        "build.tf",
        r'^ *"--gcs-source-staging-dir=.*\n',
        "",
        "google_cloud_run_v2_job.job",
        "does not have storage.objects.get access to the Google Cloud Storage object demo-project_cloudbuild/source/",
    ),
    "an_api_enabled_a_moment_ago_is_not_in_force": (
        "access.tf",
        r"create_duration = \"\$\{var\.api_settle_seconds\}s\"",
        'create_duration = "0s"',
        "google_pubsub_topic.votes",
        "SERVICE_DISABLED",
    ),
    "an_agent_does_not_exist_until_it_was_asked_for": (
        "access.tf",
        r'toset\(\["cloudfunctions.googleapis.com", "pubsub.googleapis.com"\]\)',
        'toset(["cloudfunctions.googleapis.com"])',
        "google_pubsub_topic_iam_member.pubsub_buries",
        "@gcp-sa-pubsub.iam.gserviceaccount.com does not exist",
    ),
    "cloud_functions_looks_into_the_repository": (
        "access.tf",
        r'role       = "roles/artifactregistry.reader"',
        'role       = "roles/artifactregistry.writer"',
        "google_cloudfunctions2_function.function",
        "Unable to retrieve the repository metadata",
    ),
    "a_grant_takes_its_time": (
        "access.tf",
        r"create_duration = \"\$\{var\.access_settle_seconds\}s\"",
        'create_duration = "0s"',
        "google_cloud_run_v2_job.job",
        "does not have storage.objects.get access",
    ),
    "a_builder_has_some_pythons": (
        "build.tf",
        r"builder:google-22",
        "gcr.io/buildpacks/builder:google-24",
        "google_cloud_run_v2_job.job",
        "has no Python 3.12.x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_the_apply_with_googles_reason(project: Project, fault: str) -> None:
    cloud, terraform = project
    file, pattern, replacement, target, reason = FAULTS[fault]
    if fault == "a_builder_has_some_pythons":
        pattern = "gcr.io/buildpacks/" + pattern
        tell(terraform, 'runtime = "python312"\n')
    edit(terraform, file, pattern, replacement)
    said = refused(terraform, f"-target={target}")
    assert reason in said
    if "build" in fault:
        assert "BUILD FAILURE" in said
        assert cloud.builds[-1]["status"] == "FAILURE"
        assert not cloud.images


def test_a_failed_build_is_done_again_by_the_next_apply(project: Project) -> None:
    cloud, terraform = project
    path = terraform.folder / "terraform" / "build.tf"
    right = path.read_text(encoding="utf-8")
    edit(terraform, "build.tf", r'^ *"--gcs-source-staging-dir=.*\n')
    refused(terraform, "-target=google_cloud_run_v2_job.job")
    path.write_text(right, encoding="utf-8")
    terraform.run("apply", "-auto-approve", "-target=google_cloud_run_v2_job.job")
    assert [each["status"] for each in cloud.builds] == ["FAILURE", "SUCCESS"]


def test_a_schedule_before_its_grant_calls_in_vain(project: Project) -> None:
    """The module as it was: with the dependency gone the grant may come later, as it does here, where it is left out."""
    cloud, terraform = project
    cloud.images.add(IMAGE)
    tell(terraform, f'job_image = "{IMAGE}"\n')
    edit(terraform, "schedule.tf", r"depends_on = \[google_cloud_run_v2_job_iam_member.scheduler\]")
    terraform.run("apply", "-auto-approve", "-target=google_cloud_scheduler_job.job")
    assert sorted(cloud.refused_calls) == ["turnout-audit", "turnout-drain"]


@pytest.mark.parametrize("project", [{"domain_restricted": True}], indirect=True)
def test_domain_restricted_sharing_refuses_all_users(project: Project) -> None:
    _, terraform = project
    said = refused(terraform, "-target=google_cloud_run_v2_service_iam_member.caller")
    assert "do not belong to a permitted customer" in said


@pytest.mark.parametrize("project", [{"domain_restricted": True}], indirect=True)
def test_without_the_question_who_calls_all_users_are_not_needed(project: Project) -> None:
    """And whatever deploys a function anew is followed by the command, so that no plan after it finds more to do."""
    cloud, terraform = project
    tell(terraform, "invoker_check_disabled = true\n")
    targets = [
        "-target=terraform_data.invoker_check",
        "-target=google_cloud_run_v2_service_iam_member.caller",
    ]
    terraform.run("apply", "-auto-approve", *targets)
    assert asked_of(cloud) == {"turnout-vote": False, "turnout-results": False}

    for service in cloud.services.values():
        service["metadata"]["annotations"] = {}
    tell(terraform, "invoker_check_disabled = true\nfunctions = { vote = { timeout_seconds = 90 } }\n")
    terraform.run("apply", "-auto-approve", *targets)
    assert asked_of(cloud) == {"turnout-vote": False}
    assert terraform.attempt("plan", "-detailed-exitcode", *targets).returncode == 0


def asked_of(cloud: FakeCloud) -> dict[str, bool]:
    """Whether IAM is asked who calls, of the services that were told."""
    key = "run.googleapis.com/invoker-iam-disabled"
    told = {name: each["metadata"]["annotations"].get(key) for name, each in cloud.services.items()}
    return {name: disabled != "True" for name, disabled in told.items() if disabled}


@pytest.fixture
def shell(
    gcloud: str, tmp_path: Path
) -> Iterator[tuple[FakeCloud, Callable[[str], subprocess.CompletedProcess[str]]]]:
    """Runs shell commands with the real gcloud before a fresh project in which everything has settled."""
    cloud = FakeCloud()
    for api in ("secretmanager", "pubsub"):
        cloud.make("google_project_service", {"service": f"{api}.googleapis.com"})
    cloud.make("time_sleep", {"create_duration": "90s"})
    with serving(cloud) as address:
        environment = {**os.environ, **address.environment(str(tmp_path))}

        def run(command: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["sh", "-c", command],
                capture_output=True, text=True, check=False, env=environment, timeout=COMMAND_SECONDS_MAX,
            )  # fmt: skip

        yield cloud, run


def test_the_peppers_old_command_wrote_a_second_version_when_two_applies_met(
    shell: tuple[FakeCloud, Callable[[str], subprocess.CompletedProcess[str]]],
) -> None:
    """It listed and then added: what comes between the two is not seen. The provider writes one value, once."""
    cloud, run = shell
    cloud.make("google_secret_manager_secret", {"secret_id": "turnout-pepper"})
    cloud.meeting = threading.Barrier(2)
    with ThreadPoolExecutor(2) as applies:
        done = list(applies.map(run, [OLD_PEPPER, OLD_PEPPER]))
    assert [each.returncode for each in done] == [0, 0]
    assert len(cloud.secrets["turnout-pepper"]) == 2


def test_an_agent_may_be_asked_for_again(
    shell: tuple[FakeCloud, Callable[[str], subprocess.CompletedProcess[str]]],
) -> None:
    cloud, run = shell
    command = (
        "gcloud beta services identity create --service=pubsub.googleapis.com --project=demo-project --quiet"
    )
    for _ in range(2):
        done = run(command)
        assert done.returncode == 0, done.stderr
    assert len(cloud.agents) == 1


def test_an_agent_of_an_api_that_is_not_enabled_is_refused(
    shell: tuple[FakeCloud, Callable[[str], subprocess.CompletedProcess[str]]],
) -> None:
    _, run = shell
    done = run(
        "gcloud beta services identity create --service=cloudfunctions.googleapis.com --project=demo-project --quiet"
    )
    assert done.returncode == 1
    assert "SERVICE_DISABLED" in done.stderr


def test_the_fake_refuses_what_it_does_not_know() -> None:
    with pytest.raises(Refused, match="there is no"):
        FakeCloud().call("GET", "/v1/unheard-of", {})
