"""A fake of the Google APIs that `turnout doctor` reads: it shows what terraform deployed, from the state of an apply.

So a name that the module and the doctor spell apart is found. A test changes what it shows, as a newcomer or an outage would.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from tests.infrastructure.deployed import Deployed
from tests.local_cloud.helpers import serving

PROJECT = "demo-project"
NUMBER = "123456789012"
REGION = "europe-west1"
APIS = (
    "cloudresourcemanager",
    "cloudscheduler",
    "firestore",
    "monitoring",
    "pubsub",
    "run",
    "secretmanager",
    "serviceusage",
)
#: What a grant is on, as its policy's path.
POLICY_OF = {
    "google_pubsub_topic_iam_member": ("topic", "v1/projects/{project}/topics/{}"),
    "google_pubsub_subscription_iam_member": ("subscription", "v1/projects/{project}/subscriptions/{}"),
    "google_secret_manager_secret_iam_member": ("secret_id", "v1/projects/{project}/secrets/{}"),
    "google_cloud_run_v2_service_iam_member": (
        "name",
        "v2/projects/{project}/locations/{region}/services/{}",
    ),
    "google_cloud_run_v2_job_iam_member": ("name", "v2/projects/{project}/locations/{region}/jobs/{}"),
    "google_project_iam_member": ("project", "v1/projects/{}"),
}


class DeployedGoogle:
    """One project as its APIs show it; everything may be changed before it is asked."""

    def __init__(self, deployed: Deployed) -> None:
        self.enabled = {each.values["service"] for each in deployed.of_type("google_project_service")}
        self.policies = _policies(deployed)
        self.schedules = [
            {
                "name": _in_region("jobs", each.values["name"]),
                "state": "PAUSED" if each.values["paused"] else "ENABLED",
            }
            for each in deployed.of_type("google_cloud_scheduler_job")
        ]
        self.alerts = [
            {
                "displayName": each.values["display_name"],
                "notificationChannels": list(each.values["notification_channels"] or ()),
                "userLabels": each.values["user_labels"],
            }
            for each in deployed.of_type("google_monitoring_alert_policy")
        ]
        self.services = [_service(each) for each in deployed.functions.values()]
        self.jobs = [_job(each) for each in deployed.jobs.values()]
        #: In the regions' units, by metric: milli vCPU and bytes.
        self.quotas = {
            "run.googleapis.com/cpu_allocation": 20_000,
            "run.googleapis.com/mem_allocation": 40 << 30,
        }
        now = datetime.now(UTC)
        self.databases = {
            each.values["name"]: {
                "createTime": (now - timedelta(days=30)).isoformat(),
                "pointInTimeRecoveryEnablement": each.values["point_in_time_recovery_enablement"],
                "deleteProtectionState": each.values["delete_protection_state"],
            }
            for each in deployed.of_type("google_firestore_database")
        }
        self.backup_schedules: dict[str, list[dict[str, Any]]] = {
            name: [
                {"dailyRecurrence": {}}
                if each.values["daily_recurrence"]
                else {"weeklyRecurrence": {"day": "SUNDAY"}}
                for each in deployed.of_type("google_firestore_backup_schedule")
                if each.values["database"] == name
            ]
            for name in self.databases
        }
        self.backups = [
            {
                "database": f"projects/{PROJECT}/databases/{name}",
                "snapshotTime": (now - timedelta(hours=5)).isoformat(),
                "state": "READY",
            }
            for name in self.databases
        ]
        self.clock_behind = timedelta()
        #: Paths that the caller may not read, as regular expressions.
        self.denied: list[str] = []

    @property
    def application(self) -> web.Application:
        """Answers GET and POST at any path."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.Response:
        date = format_datetime(datetime.now(UTC) - self.clock_behind, usegmt=True)
        status, document = self._document(request)
        return web.json_response(document, status=status, headers={"Date": date})

    def _document(self, request: web.Request) -> tuple[int, Any]:
        path = request.path.lstrip("/")
        if request.headers.get("Authorization") != "Bearer a-token-of-nobody":
            return 401, _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if any(re.fullmatch(each, path) for each in self.denied):
            return 403, _error(403, "PERMISSION_DENIED", "The caller does not have permission")
        if path.endswith(":getIamPolicy"):
            return 200, {"bindings": self.policies.get(path.removesuffix(":getIamPolicy"), [])}
        found = self._things(request).get(path)
        return (
            (200, found) if found is not None else (404, _error(404, "NOT_FOUND", f"{path} was not found."))
        )

    def _things(self, request: web.Request) -> dict[str, Any]:
        project, region = f"projects/{PROJECT}", f"projects/{PROJECT}/locations/{REGION}"
        # One service a page: whoever reads the first alone is found out.
        page = int(request.query.get("pageToken", "0"))
        enabled = sorted(self.enabled)
        things: dict[str, Any] = {
            f"v1/{project}": {"projectNumber": NUMBER, "projectId": PROJECT},
            f"v1/{project}/services": {
                "services": [{"config": {"name": enabled[page]}}],
                **({"nextPageToken": str(page + 1)} if page + 1 < len(enabled) else {}),
            },
            f"v1/{region}/jobs": {"jobs": self.schedules},
            f"v3/{project}/alertPolicies": {
                "alertPolicies": [
                    each
                    for each in self.alerts
                    if request.query.get("filter") == f'user_labels.turnout="{each["userLabels"]["turnout"]}"'
                ]
            },
            f"v2/{region}/services": {"services": self.services},
            f"v2/{region}/jobs": {"jobs": self.jobs},
            f"v1beta1/{project}/services/run.googleapis.com/consumerQuotaMetrics": {
                "metrics": [_quota(metric, limit) for metric, limit in self.quotas.items()]
            },
            f"v1/{project}/locations/-/backups": {"backups": self.backups},
        }
        things |= {f"v2/{each['name']}": each for each in self.services}
        for name, database in self.databases.items():
            things[f"v1/{project}/databases/{name}"] = database
            things[f"v1/{project}/databases/{name}/backupSchedules"] = {
                "backupSchedules": self.backup_schedules[name]
            }
        return things


@asynccontextmanager
async def shown(google: DeployedGoogle, deployed: Deployed) -> AsyncIterator[dict[str, str]]:
    """The environment in which a doctor looks at it: what terraform says, and where each API is."""
    said = deployed.outputs["environment"]
    environment = dict(line.removeprefix("export ").split("=", 1) for line in said.splitlines())
    async with serving(google.application) as url:
        yield {
            **environment,
            "CLOUDSDK_AUTH_ACCESS_TOKEN": "a-token-of-nobody",
            **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}": f"{url}/" for api in APIS},
        }


def _policies(deployed: Deployed) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in deployed.resources:
        if each.type in POLICY_OF:
            argument, path = POLICY_OF[each.type]
            binding = {"role": each.values["role"], "members": [each.values["member"]]}
            if each.values.get("condition"):
                binding["condition"] = {"expression": each.values["condition"][0]["expression"]}
            on = path.format(each.values[argument], project=PROJECT, region=REGION)
            found.setdefault(on, []).append(binding)
    return found


def _in_region(collection: str, name: str) -> str:
    return f"projects/{PROJECT}/locations/{REGION}/{collection}/{name}"


def _service(function: dict[str, Any]) -> dict[str, Any]:
    (config,) = function["service_config"]
    limits = {"cpu": config["available_cpu"], "memory": config["available_memory"]}
    return {
        "name": _in_region("services", function["name"]),
        "template": {
            "scaling": {"maxInstanceCount": config["max_instance_count"]},
            "containers": [{"resources": {"limits": limits}}],
        },
    }


def _job(job: dict[str, Any]) -> dict[str, Any]:
    (execution,) = job["template"]
    (task,) = execution["template"]
    (resources,) = task["containers"][0]["resources"]
    return {
        "name": _in_region("jobs", job["name"]),
        "template": {
            "parallelism": execution["parallelism"],
            "taskCount": execution["task_count"],
            "template": {
                "timeout": task["timeout"],
                "containers": [{"resources": {"limits": resources["limits"]}}],
            },
        },
    }


def _quota(metric: str, limit: int) -> dict[str, Any]:
    """The region's own figure beside that for all regions."""
    return {
        "metric": metric,
        "consumerQuotaLimits": [
            {
                "unit": "1/{project}/{region}",
                "quotaBuckets": [
                    {"effectiveLimit": "-1"},
                    {"effectiveLimit": str(limit), "dimensions": {"region": REGION}},
                    {"effectiveLimit": "1", "dimensions": {"region": "us-central1"}},
                ],
            }
        ],
    }


def _error(code: int, status: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message}}
