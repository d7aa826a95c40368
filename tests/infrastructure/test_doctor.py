"""`turnout doctor --deployed`: what terraform deploys is found healthy, and each thing that a newcomer gets wrong is named."""

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from cli.doctor.capacity import limit_of, memory_bytes, milli_vcpu
from cli.doctor.copy import VARIABLES
from cli.doctor.examination import examine
from cli.doctor.finding import Finding, State
from cli.doctor.google import Google, Refusal
from cli.faults import NoAnswer
from tests.cli.conftest import Shell, no_cloud
from tests.deadlines import WAIT_SECONDS_MAX
from tests.infrastructure.conftest import ROOT
from tests.infrastructure.deployed import Deployed
from tests.infrastructure.fake_google import DeployedGoogle, shown
from turnout.deployment import APIS


@pytest.fixture
def google(deployed: Deployed) -> DeployedGoogle:
    return DeployedGoogle(deployed)


async def found_at(google: DeployedGoogle, deployed: Deployed) -> list[Finding]:
    async with shown(google, deployed) as environment:
        return await examine(environment)


def test_the_apis_are_those_that_terraform_enables(deployed: Deployed) -> None:
    enabled = {each.values["service"] for each in deployed.of_type("google_project_service")}
    assert enabled == {f"{api}.googleapis.com" for api in APIS}


async def test_what_terraform_deploys_is_healthy(google: DeployedGoogle, deployed: Deployed) -> None:
    found = await found_at(google, deployed)
    assert {each.check for each in found} == {
        "APIs", "grants", "schedules", "alerts", "region quota", "backups", "clock",
    }  # fmt: skip
    assert [each for each in found if each.state is not State.GOOD] == []
    # The doctor's sum is the module's.
    assert f"takes {deployed.outputs['ceilings']['vcpu']:g} vCPU" in " ".join(each.says for each in found)


def bindings(google: DeployedGoogle, end: str) -> list[dict[str, Any]]:
    (found,) = [each for path, each in google.policies.items() if path.endswith(end)]
    return found


def without(google: DeployedGoogle, end: str, member: str) -> None:
    kept = bindings(google, end)
    before = len(kept)
    kept[:] = [each for each in kept if member not in each["members"][0]]
    assert len(kept) < before


def pause(google: DeployedGoogle) -> None:
    for each in google.schedules:
        each["state"] = "PAUSED"


def fail_the_drains_call(google: DeployedGoogle) -> None:
    (drain,) = [each for each in google.schedules if each["name"].endswith("/turnout-drain")]
    drain["status"] = {"code": 7}  # type: ignore[assignment]


def silence(google: DeployedGoogle) -> None:
    for each in google.alerts:
        each["notificationChannels"] = []


def age_the_backups(google: DeployedGoogle) -> None:
    for each in google.backups:
        each["snapshotTime"] = (datetime.now(UTC) - timedelta(days=3)).isoformat()


def unprotect(google: DeployedGoogle) -> None:
    for each in google.databases.values():
        each["deleteProtectionState"] = "DELETE_PROTECTION_DISABLED"
        each["pointInTimeRecoveryEnablement"] = "POINT_IN_TIME_RECOVERY_DISABLED"


#: What somebody does: the check that finds it, and words of what it says and of the mend.
WRONGS: dict[str, tuple[Callable[[DeployedGoogle], object], str, str, str]] = {
    "an API is not enabled": (
        lambda google: google.enabled.discard("pubsub.googleapis.com"), "APIs", "Not enabled: pubsub.googleapis.com.",
        "gcloud services enable pubsub.googleapis.com --project=demo-project",
    ),
    "a publisher is gone": (
        lambda google: without(google, "/topics/turnout-votes", "turnout-vote@"), "grants",
        "turnout-vote lacks roles/pubsub.publisher on turnout-votes.", "terraform apply",
    ),
    "a database's grant names another one": (
        lambda google: [each.pop("condition", None) and each.update(condition={"expression": "false"}) for each in bindings(google, "v1/projects/demo-project")],
        "grants", "turnout-drain lacks roles/datastore.user on turnout-counters.", "terraform apply",
    ),
    "Pub/Sub itself may not bury": (
        lambda google: without(google, "/topics/turnout-votes-dead", "gcp-sa-pubsub"), "grants", "cannot dead-letter", "terraform apply",
    ),
    "the pepper cannot be read": (
        lambda google: without(google, "/secrets/turnout-pepper", "turnout-vote@"), "grants",
        "turnout-vote lacks roles/secretmanager.secretAccessor on turnout-pepper.", "terraform apply",
    ),
    "not everyone may vote": (
        lambda google: without(google, "/services/turnout-vote", "allUsers"), "grants", "Not everyone may call turnout-vote",
        "invoker_check_disabled = true",
    ),
    "the schedule may not start the drain": (
        lambda google: without(google, "/jobs/turnout-drain", "turnout-scheduler@"), "grants", "may not start turnout-drain", "terraform apply",
    ),
    "schedules are paused": (pause, "schedules", "turnout-drain is paused", "schedules_paused = false"),
    "a schedule is gone": (lambda google: google.schedules.pop(), "schedules", "is not there", "terraform apply"),
    "a schedule's call fails": (fail_the_drains_call, "schedules", "turnout-drain failed at its last call, with code 7", "gcloud scheduler jobs run"),
    "nobody hears of alerts": (silence, "alerts", "turnout: votes wait to be counted", "alert_emails"),
    "there are no alerts": (lambda google: google.alerts.clear(), "alerts", "There are none", "terraform apply"),
    "an alert is off": (lambda google: google.alerts[0].update(enabled=False), "alerts", "Switched off", "enable them"),
    "the region gives less": (
        lambda google: google.quotas.update({"run.googleapis.com/cpu_allocation": 10_000}), "region quota", "europe-west1 gives 10",
        "region_vcpu",
    ),
    "the region gives less memory": (
        lambda google: google.quotas.update({"run.googleapis.com/mem_allocation": 1 << 30}), "region quota", "GiB of memory", "region_memory_gib",
    ),
    "there is no backup": (lambda google: google.backups.clear(), "backups", "has no backup yet", "gcloud firestore backups list"),
    "backups are old": (age_the_backups, "backups", "has a newest backup of", "gcloud firestore backups list"),
    "no backup is scheduled": (
        lambda google: google.backup_schedules.update({"turnout-counters": []}), "backups", "turnout-counters has no daily backup", "terraform apply",
    ),
    "nothing protects the data": (unprotect, "backups", "turnout-record can be deleted", "allow_destroy_data = false"),
    "a database is gone": (lambda google: google.databases.pop("turnout-record"), "backups", "Something is not there", "terraform apply"),
    "the clock is wrong": (
        lambda google: setattr(google, "clock_behind", timedelta(minutes=3)), "clock", "s ahead of Google", "timedatectl",
    ),
    "somebody else's services take the region": (
        lambda google: google.services.append({"name": "other", "template": {"containers": [{}]}}), "region quota", "and europe-west1 gives 20", "region_vcpu",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONGS)
async def test_it_names_what_is_wrong_and_the_mend(
    google: DeployedGoogle, deployed: Deployed, wrong: str
) -> None:
    do, check, says, mend = WRONGS[wrong]
    do(google)
    faults = [each for each in await found_at(google, deployed) if each.state is State.FAULT]
    assert {each.check for each in faults} == {check}
    assert any(says in each.says and mend in each.mend for each in faults), faults


async def test_where_the_question_who_calls_is_left_out_nobody_needs_a_grant(
    google: DeployedGoogle, deployed: Deployed
) -> None:
    for name in ("vote", "results"):
        without(google, f"/services/turnout-{name}", "allUsers")
    for service in google.services:
        service["invokerIamDisabled"] = True
    assert {each.state for each in await found_at(google, deployed)} == {State.GOOD}


async def test_what_may_not_be_looked_at_is_not_good(google: DeployedGoogle, deployed: Deployed) -> None:
    google.denied = [r".*/secrets/.*", r".*/backupSchedules"]
    found = {each.check: each for each in await found_at(google, deployed)}
    assert found["grants"].state is found["backups"].state is State.UNKNOWN
    assert "roles/iam.securityReviewer" in found["grants"].mend
    assert found["schedules"].state is State.GOOD


async def test_a_quota_that_is_not_told_is_not_taken_for_enough(
    google: DeployedGoogle, deployed: Deployed
) -> None:
    google.quotas.clear()
    found = [each for each in await found_at(google, deployed) if each.check == "region quota"]
    assert [each.state for each in found] == [State.UNKNOWN, State.UNKNOWN]
    google.quotas.update({"run.googleapis.com/cpu_allocation": -1, "run.googleapis.com/mem_allocation": -1})
    found = [each for each in await found_at(google, deployed) if each.check == "region quota"]
    assert [each.state for each in found] == [State.GOOD, State.GOOD]
    assert "no limit is set" in found[0].says


async def test_an_api_that_is_off_is_named_by_the_check_that_needs_it(
    google: DeployedGoogle, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Google, api: str, path: str, **parameters: str) -> None:
        raise Refusal(api, 403, "it is disabled. SERVICE_DISABLED")

    monkeypatch.setattr(Google, "get", refuse)
    found = await found_at(google, deployed)
    assert "gcloud services enable monitoring.googleapis.com --project=demo-project" in [
        each.mend for each in found
    ]


async def test_wrong_credentials_are_one_clear_line(google: DeployedGoogle, deployed: Deployed) -> None:
    async with shown(google, deployed) as environment:
        with pytest.raises(NoAnswer, match="gcloud auth application-default login"):
            await examine({**environment, "CLOUDSDK_AUTH_ACCESS_TOKEN": "an old one"})


async def test_gclouds_own_credentials_will_do(
    google: DeployedGoogle, deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no application default credentials, gcloud is asked; without it, a line says what to run."""
    monkeypatch.setattr("cli.doctor.google.fetch_access_token", lambda: "")
    monkeypatch.setenv("PATH", str(tmp_path))
    async with shown(google, deployed) as environment:
        del environment["CLOUDSDK_AUTH_ACCESS_TOKEN"]
        with pytest.raises(NoAnswer, match="gcloud auth application-default login"):
            await examine(environment)
        gcloud = tmp_path / "gcloud"
        gcloud.write_text(
            '#!/bin/sh\ntest "$*" = "auth print-access-token" && echo a-token-of-nobody\n', encoding="utf-8"
        )
        gcloud.chmod(0o755)
        assert {each.state for each in await examine(environment)} == {State.GOOD}


async def test_an_environment_that_names_no_copy_says_what_it_lacks() -> None:
    with pytest.raises(NoAnswer, match=r"TURNOUT_PREFIX.*terraform output -raw environment"):
        await examine({"GOOGLE_CLOUD_PROJECT": "demo-project"})


@pytest.mark.parametrize(("text", "expected"), [("1", 1_000), ("1000m", 1_000), ("0.5", 500), ("8", 8_000)])
def test_cpu_is_read_in_both_spellings(text: str, expected: float) -> None:
    assert milli_vcpu(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512Mi", 512 << 20), ("1Gi", 1 << 30), ("128M", 128_000_000), ("7", 7), ("many", 0)],
)
def test_memory_is_read_in_all_units(text: str, expected: float) -> None:
    assert memory_bytes(text) == expected


def test_a_quota_without_a_bucket_for_the_region_is_that_for_all() -> None:
    metric = {
        "consumerQuotaLimits": [{"unit": "1/{project}/{region}", "quotaBuckets": [{"effectiveLimit": "7"}]}]
    }
    assert limit_of(metric, "europe-west1") == 7
    assert limit_of({"consumerQuotaLimits": [{"unit": "1/min/{project}"}]}, "europe-west1") == float("inf")


@pytest.fixture
def doctor(google: DeployedGoogle, deployed: Deployed, tmp_path: Path) -> Iterator[Callable[..., Result]]:
    """The command, in a terminal whose environment names the copy; Google answers from a thread of its own."""
    done = threading.Event()
    environment: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()

    async def serve() -> None:
        async with shown(google, deployed) as said:
            environment.put(said)
            await asyncio.to_thread(done.wait)

    with ThreadPoolExecutor(1) as thread:
        served = thread.submit(asyncio.run, serve())
        shell = Shell({**no_cloud(tmp_path), **environment.get(timeout=WAIT_SECONDS_MAX)})
        yield lambda *words: shell("doctor", *words)
        done.set()
        served.result()


def test_the_command_shows_each_mend_and_ends_with_1(
    google: DeployedGoogle, doctor: Callable[..., Result]
) -> None:
    healthy = doctor("--deployed")
    assert healthy.exit_code == 0, healthy.output
    pause(google)
    told = doctor("--deployed")
    assert told.exit_code == 1
    assert "→ Run `terraform apply` with schedules_paused" in " ".join(told.stdout.split())
    assert told.stderr == "✗ 3 things to mend.\n"
    printed = json.loads(doctor("--deployed", "--json").stdout)
    assert [each["state"] for each in printed if each["check"] == "schedules"] == ["fault"] * 3


def test_without_a_flag_it_says_which(tmp_path: Path) -> None:
    result = Shell(no_cloud(tmp_path))("doctor")
    assert result.exit_code == 2
    assert "--deployed" in result.output


def test_the_environment_that_it_reads_is_what_terraform_says() -> None:
    said = (ROOT / "terraform" / "outputs.tf").read_text(encoding="utf-8")
    assert [each for each in VARIABLES.values() if f"{each} " not in said] == []
