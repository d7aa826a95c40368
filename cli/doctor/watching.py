"""Whether anybody would notice: APIs, schedules, alerts."""

from collections.abc import AsyncIterator

from cli.doctor.copy import Copy
from cli.doctor.finding import Finding, fault, good
from cli.doctor.google import Google
from turnout.deployment import APIS, FUNCTIONS, JOBS


async def examine_apis(google: Google, copy: Copy) -> AsyncIterator[Finding]:
    """Each API that is not enabled."""
    enabled = {
        each["config"]["name"]
        async for each in google.each(
            "serviceusage",
            f"v1/projects/{copy.project}/services",
            "services",
            filter="state:ENABLED",
            pageSize="200",
        )
    }
    missing = [f"{api}.googleapis.com" for api in APIS if f"{api}.googleapis.com" not in enabled]
    if missing:
        yield fault(
            "APIs",
            f"Not enabled: {', '.join(missing)}.",
            f"gcloud services enable {' '.join(missing)} --project={copy.project}",
        )
    else:
        yield good("APIs", f"All {len(APIS)} are enabled.")


async def examine_schedules(google: Google, copy: Copy) -> AsyncIterator[Finding]:
    """Each schedule that is missing, paused, or failed at its last call."""
    parent = f"projects/{copy.project}/locations/{copy.region}/jobs"
    found = {
        each["name"].rpartition("/")[2]: each
        async for each in google.each("cloudscheduler", f"v1/{parent}", "jobs", pageSize="500")
    }
    scheduled = [copy.named(each.name) for each in (*FUNCTIONS, *JOBS) if each.schedule]
    faults = []
    for name in scheduled:
        where = f"{name} --location={copy.region} --project={copy.project}"
        if name not in found:
            faults.append(fault("schedules", f"{name} is not there.", "Run `terraform apply`."))
        elif found[name].get("state") != "ENABLED":
            faults.append(
                fault(
                    "schedules",
                    f"{name} is {found[name].get('state', 'in no state').lower()}: nothing is counted or persisted meanwhile.",
                    f"Run `terraform apply` with schedules_paused = false, or `gcloud scheduler jobs resume {where}`.",
                )
            )
        elif found[name].get("status", {}).get("code"):
            faults.append(
                fault(
                    "schedules",
                    f"{name} failed at its last call, with code {found[name]['status']['code']}.",
                    f"Its log says why; `gcloud scheduler jobs run {where}` tries again.",
                )
            )
    for each in faults:
        yield each
    if not faults:
        yield good("schedules", f"{', '.join(scheduled)} are called on time.")


async def examine_alerts(google: Google, copy: Copy) -> AsyncIterator[Finding]:
    """Alerts that nobody hears."""
    policies = [
        each
        async for each in google.each(
            "monitoring",
            f"v3/projects/{copy.project}/alertPolicies",
            "alertPolicies",
            filter=f'user_labels.turnout="{copy.prefix}"',
        )
    ]
    silent = sorted(each["displayName"] for each in policies if not each.get("notificationChannels"))
    off = sorted(each["displayName"] for each in policies if each.get("enabled") is False)
    mend = "Set alert_emails or notification_channels, and run `terraform apply`."
    if not policies:
        yield fault("alerts", "There are none.", "Run `terraform apply`.")
    if silent:
        yield fault("alerts", f"Nobody hears of: {'; '.join(silent)}.", mend)
    if off:
        yield fault(
            "alerts",
            f"Switched off: {'; '.join(off)}.",
            "Run `terraform apply`, or enable them in the console.",
        )
    if policies and not silent and not off:
        yield good("alerts", f"All {len(policies)} have an address.")
