"""Whether the data could be brought back: protection, point-in-time recovery, backup schedules, and a backup that is new."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from cli.doctor.copy import Copy
from cli.doctor.finding import Finding, fault, good
from cli.doctor.google import Google

CHECK = "backups"
MEND = "Run `terraform apply`: it schedules a backup each day and each Sunday."
#: A daily backup that is late, and some hours more.
OLD = timedelta(hours=36)


async def examine(google: Google, copy: Copy) -> AsyncIterator[Finding]:
    """The findings of both databases."""
    backups = [
        each
        async for each in google.each(
            "firestore", f"v1/projects/{copy.project}/locations/-/backups", "backups"
        )
    ]
    for database in copy.databases:
        name = f"projects/{copy.project}/databases/{database}"
        kept = await google.get("firestore", f"v1/{name}")
        schedules = (await google.get("firestore", f"v1/{name}/backupSchedules")).get("backupSchedules", [])
        newest = max(
            (
                datetime.fromisoformat(each["snapshotTime"])
                for each in backups
                if each["database"] == name and each.get("state") == "READY"
            ),
            default=None,
        )
        age = None if newest is None else datetime.now(UTC) - newest
        made = datetime.now(UTC) - datetime.fromisoformat(kept["createTime"])
        if not any("dailyRecurrence" in each for each in schedules):
            yield fault(CHECK, f"{database} has no daily backup.", MEND)
        elif (age or made) > OLD:
            what = (
                "has no backup yet" if age is None else f"has a newest backup of {newest:%Y-%m-%d %H:%M} UTC"
            )
            yield fault(
                CHECK,
                f"{database} {what}, although one is scheduled each day.",
                f"See `gcloud firestore backups list --project={copy.project}`, and the state of each.",
            )
        else:
            when = (
                "the first one is due within a day"
                if newest is None
                else f"the newest is of {newest:%Y-%m-%d %H:%M} UTC"
            )
            yield good(CHECK, f"{database} is backed up each day; {when}.")
        if kept.get("pointInTimeRecoveryEnablement") != "POINT_IN_TIME_RECOVERY_ENABLED":
            yield fault(
                CHECK,
                f"{database} cannot be read as it was at any minute of the last 7 days.",
                "Run `terraform apply`.",
            )
        if kept.get("deleteProtectionState") != "DELETE_PROTECTION_ENABLED":
            yield fault(
                CHECK,
                f"{database} can be deleted: nothing protects it.",
                "Run `terraform apply` with allow_destroy_data = false, unless you are about to tear it down.",
            )
