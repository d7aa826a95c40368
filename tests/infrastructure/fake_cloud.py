"""A fake of the Google APIs that an apply calls: it refuses what Google refuses, and for Google's reasons.

gcloud calls its REST paths (Storage, Cloud Build, Secret Manager, Service Usage); the stand-in for the provider tells it of each
resource before it is made. Time is its own: it passes when a `time_sleep` is made, so that nothing waits and nothing is luck.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

PROJECT = "demo-project"
NUMBER = "123456789012"
REGION = "europe-west1"
#: How long after it was enabled an API still answers SERVICE_DISABLED, and how long a grant takes to arrive. Google states
#: "a few minutes" and "up to 7"; the module waits for 90 s by default.
API_SETTLES_SECONDS = 60
GRANT_SETTLES_SECONDS = 60

MEETING_SECONDS_MAX = 120

#: The API that a resource's type belongs to, by the longest beginning.
API_OF_TYPE = {
    "google_artifact_registry": "artifactregistry",
    "google_billing": "billingbudgets",
    "google_cloud_run": "run",
    "google_cloud_scheduler": "cloudscheduler",
    "google_cloudfunctions2": "cloudfunctions",
    "google_firestore": "firestore",
    "google_logging": "logging",
    "google_monitoring": "monitoring",
    "google_project_iam": "cloudresourcemanager",
    "google_pubsub": "pubsub",
    "google_secret_manager": "secretmanager",
    "google_service_account": "iam",
    "google_storage": "storage",
}
#: Google's own identities, by the service that is asked for them.
AGENT_OF_SERVICE = {"pubsub": "gcp-sa-pubsub", "cloudfunctions": "gcf-admin-robot"}
#: The Pythons of each builder (https://cloud.google.com/docs/buildpacks/builders).
PYTHONS = {
    "gcr.io/buildpacks/builder:google-22": {"3.10", "3.11", "3.12", "3.13"},
    "gcr.io/buildpacks/builder:google-24": {"3.13", "3.14"},
}


class Refused(Exception):
    """An answer of Google's that is an error."""

    def __init__(self, code: int, status: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


class FakeCloud:
    """One fresh project, and what has been made in it."""

    def __init__(self, *, domain_restricted: bool = False) -> None:
        self.now = 0.0
        self.domain_restricted = domain_restricted
        self.calls: list[str] = []
        self.builds: list[dict[str, Any]] = []
        self.images: set[str] = set()
        self.agents: set[str] = set()
        #: Names of buckets, and of the objects in each.
        self.buckets: dict[str, set[str]] = {}
        #: Values by secret, the oldest first.
        self.secrets: dict[str, list[str]] = {}
        #: The functions' services, as Cloud Run's API shows them, by name.
        self.services: dict[str, dict[str, Any]] = {}
        #: Where those who read meet before any of them hears the answer, so that they act on what was.
        self.meeting: threading.Barrier | None = None
        #: Calls by Cloud Scheduler that were refused.
        self.refused_calls: list[str] = []
        self._enabled: dict[str, float] = {}
        self._grants: dict[tuple[str, str, str], float] = {}
        self._lock = threading.Lock()

    def make(self, kind: str, config: dict[str, Any]) -> None:
        """Makes a resource of Terraform's; `Refused` if Google would not."""
        with self._lock:
            if kind == "time_sleep":
                self.now += float(config["create_duration"].removesuffix("s"))
            elif kind == "google_project_service":
                self._enabled.setdefault(config["service"].partition(".")[0], self.now)
            elif kind.startswith("google_"):
                self._ask_api(API_OF_TYPE[max(filter(kind.startswith, API_OF_TYPE), key=len)])
                if kind.endswith("_iam_member"):
                    self._grant(config)
                else:
                    getattr(self, f"_make_{kind.removeprefix('google_')}", lambda _: None)(config)

    def refusal(self, kind: str, config: dict[str, Any]) -> str:
        """Makes a resource of Terraform's: why Google refuses it, or nothing."""
        try:
            self.make(kind, config)
        except Refused as refused:
            return f"googleapi: Error {refused.code}: {refused}"
        return ""

    def call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answers a call of gcloud's; `Refused` as Google would."""
        with self._lock:
            self.calls.append(f"{method} {path}")
            for pattern, handler in self._routes():
                if match := re.fullmatch(pattern, f"{method} {path}"):
                    answer = handler(*map(unquote, match.groups()), body)
                    break
            else:
                answer = None
        if answer is not None:
            if self.meeting and method == "GET":
                self.meeting.wait(MEETING_SECONDS_MAX)
            return answer
        raise Refused(404, "NOT_FOUND", f"there is no {method} {path} here")

    def may(self, member: str, role: str, on: str) -> bool:
        """Whether a grant was made, and has arrived."""
        granted = self._grants.get((member, role, on))
        return granted is not None and self.now >= granted + GRANT_SETTLES_SECONDS

    # What is made.

    def _ask_api(self, api: str) -> None:
        enabled = self._enabled.get(api)
        if enabled is None or self.now < enabled + API_SETTLES_SECONDS:
            raise Refused(
                403,
                "PERMISSION_DENIED",
                f"{api}.googleapis.com has not been used in project {NUMBER} before or it is disabled. If you enabled this "
                "API recently, wait a few minutes for the action to propagate and retry. Reason: SERVICE_DISABLED",
            )

    def _grant(self, config: dict[str, Any]) -> None:
        member = str(config["member"])
        agent = re.search(r"@(gcp-sa-[a-z]+|gcf-admin-robot)\.", member)
        if agent and member not in self.agents:
            raise Refused(
                400, "INVALID_ARGUMENT", f"Service account {member.partition(':')[2]} does not exist."
            )
        if member == "allUsers" and self.domain_restricted:
            raise Refused(
                400,
                "FAILED_PRECONDITION",
                "One or more users named in the policy do not belong to a permitted customer.",
            )
        on = next(
            (str(config[key]) for key in ("bucket", "repository", "secret_id", "topic", "subscription", "name") if config.get(key)),
            "project",
        )  # fmt: skip
        if config.get("condition"):
            on = str(config["condition"][0]["expression"])
        self._grants.setdefault((member, config["role"], on), self.now)

    def _make_storage_bucket(self, config: dict[str, Any]) -> None:
        self.buckets.setdefault(config["name"], set())

    def _make_storage_bucket_object(self, config: dict[str, Any]) -> None:
        self.buckets[config["bucket"]].add(config["name"])

    def _make_secret_manager_secret(self, config: dict[str, Any]) -> None:
        self.secrets.setdefault(config["secret_id"], [])

    def _make_secret_manager_secret_version(self, config: dict[str, Any]) -> None:
        self.secrets[config["secret"].rpartition("/")[2]].append(config["secret_data_wo"])

    def _make_cloudfunctions2_function(self, config: dict[str, Any]) -> None:
        (build,) = config["build_config"]
        repository = build["docker_repository"].rpartition("/")[2]
        robot = f"serviceAccount:service-{NUMBER}@gcf-admin-robot.iam.gserviceaccount.com"
        if not self.may(robot, "roles/artifactregistry.reader", repository):
            raise Refused(
                400,
                "FAILED_PRECONDITION",
                f"Unable to retrieve the repository metadata for {build['docker_repository']}. Ensure that the Cloud Functions "
                "service account has 'artifactregistry.repositories.get' permission.",
            )
        self._check_build(f"serviceAccount:{build['service_account'].rpartition('/')[2]}", repository)
        for secret in config["service_config"][0]["secret_environment_variables"] or []:
            if len(self.secrets.get(secret["secret"], [])) < int(secret["version"]):
                raise Refused(
                    400,
                    "FAILED_PRECONDITION",
                    f"Secret {secret['secret']}/versions/{secret['version']} was not found",
                )
        self.services[config["name"]] = _service(config["name"])

    def _make_cloud_run_v2_job(self, config: dict[str, Any]) -> None:
        (container,) = config["template"][0]["template"][0]["containers"]
        if container["image"] not in self.images:
            raise Refused(400, "INVALID_ARGUMENT", f"Image '{container['image']}' not found.")

    def _make_cloud_scheduler_job(self, config: dict[str, Any]) -> None:
        """A schedule calls from now on: the first call is refused unless it is granted already."""
        (target,) = config["http_target"]
        token = (target["oidc_token"] or target["oauth_token"])[0]
        member = f"serviceAccount:{token['service_account_email']}"
        if (member, "roles/run.invoker", config["name"]) not in self._grants:
            self.refused_calls.append(config["name"])

    def _check_build(self, member: str, repository: str) -> None:
        for role, on in (
            ("roles/artifactregistry.writer", repository),
            ("roles/logging.logWriter", "project"),
        ):
            if not self.may(member, role, on):
                raise Refused(403, "PERMISSION_DENIED", f"{member} lacks {role} on {on}")

    # What gcloud calls.

    def _routes(self) -> list[tuple[str, Callable[..., dict[str, Any]]]]:
        builds = r"/v1/projects/[^/]+/locations/[^/]+/builds"
        versions = r"/v1/projects/[^/]+/secrets/([^/:]+)"
        return [
            (r"GET /storage/v1/b/([^/]+)", self._get_bucket),
            (r"POST /storage/v1/b", self._insert_bucket),
            (r"POST /storage/v1/b/([^/]+)/o/([^/]+)/rewriteTo/b/([^/]+)/o/([^/]+)", self._rewrite),
            (rf"POST {builds}", self._create_build),
            (rf"GET {builds}/([^/]+)", self._get_build),
            (r"POST /v1beta1/projects/[^/]+/services/([a-z]+)\.googleapis\.com:generateServiceIdentity", self._make_agent),
            (rf"GET {versions}/versions", self._list_versions),
            (rf"POST {versions}:addVersion", self._add_version),
            (r"GET /apis/serving.knative.dev/v1/namespaces/[^/]+/services/([^/]+)", self._get_service),
            (r"PUT /apis/serving.knative.dev/v1/namespaces/[^/]+/services/([^/]+)", self._replace_service),
        ]  # fmt: skip

    def _get_bucket(self, bucket: str, _: object) -> dict[str, Any]:
        self._ask_api("storage")
        if bucket not in self.buckets:
            raise Refused(404, "NOT_FOUND", "The specified bucket does not exist.")
        return {"name": bucket, "location": REGION}

    def _insert_bucket(self, body: dict[str, Any]) -> dict[str, Any]:
        self._ask_api("storage")
        self.buckets[body["name"]] = set()
        return {"name": body["name"]}

    def _rewrite(self, source: str, name: str, target: str, copy: str, _: object) -> dict[str, Any]:
        if name not in self.buckets.get(source, ()):
            raise Refused(404, "NOT_FOUND", f"No such object: {source}/{name}")
        self.buckets[target].add(copy)
        return {"done": True, "resource": {"bucket": target, "name": copy, "generation": "1"}}

    def _create_build(self, body: dict[str, Any]) -> dict[str, Any]:
        self._ask_api("cloudbuild")
        build = {**body, "id": f"build-{len(self.builds)}", "projectId": PROJECT}
        why = self._why_a_build_fails(build)
        if why:
            build |= {"status": "FAILURE", "failureInfo": {"type": "FETCH_SOURCE_FAILED", "detail": why}}
        else:
            build["status"] = "SUCCESS"
            self.images.update(_substituted(image, body) for image in body["images"])
        self.builds.append(build)
        kind = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"
        return {
            "name": f"operations/{build['id']}",
            "metadata": {"@type": kind, "build": {**build, "status": "QUEUED"}},
        }

    def _why_a_build_fails(self, build: dict[str, Any]) -> str:
        member = f"serviceAccount:{build['serviceAccount'].rpartition('/')[2]}"
        source = build["source"]["storageSource"]
        if not self.may(member, "roles/storage.objectViewer", source["bucket"]):
            return (
                f"{member} does not have storage.objects.get access to the Google Cloud Storage object "
                f"{source['bucket']}/{source['object']}"
            )
        image = _substituted(build["images"][0], build)
        try:
            self._check_build(member, image.split("/")[2])
        except Refused as refused:
            return str(refused)
        builder, python = build["substitutions"]["_BUILDER"], build["substitutions"]["_PYTHON"]
        if python.removesuffix(".x") not in PYTHONS.get(builder, ()):
            return f"{builder} has no Python {python}"
        return ""

    def _get_build(self, name: str, _: object) -> dict[str, Any]:
        return next(build for build in self.builds if build["id"] == name)

    def _make_agent(self, service: str, _: object) -> dict[str, Any]:
        self._ask_api(service)
        email = f"service-{NUMBER}@{AGENT_OF_SERVICE[service]}.iam.gserviceaccount.com"
        self.agents.add(f"serviceAccount:{email}")
        kind = "type.googleapis.com/google.api.serviceusage.v1beta1.ServiceIdentity"
        return {
            "name": "operations/finished.DONE_OPERATION",
            "done": True,
            "response": {"@type": kind, "email": email, "uniqueId": "1"},
        }

    def _list_versions(self, secret: str, _: object) -> dict[str, Any]:
        self._ask_api("secretmanager")
        name = f"projects/{NUMBER}/secrets/{secret}/versions/"
        count = len(self.secrets[secret])
        return {
            "versions": [{"name": f"{name}{number}", "state": "ENABLED"} for number in range(count, 0, -1)]
        }

    def _get_service(self, name: str, _: object) -> dict[str, Any]:
        self._ask_api("run")
        if name not in self.services:
            raise Refused(404, "NOT_FOUND", f"Resource '{name}' of kind 'SERVICE' does not exist.")
        return self.services[name]

    def _replace_service(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self.services[name]["metadata"]["annotations"] = body["metadata"]["annotations"]
        return self.services[name]

    def _add_version(self, secret: str, body: dict[str, Any]) -> dict[str, Any]:
        self._ask_api("secretmanager")
        self.secrets[secret].append(body["payload"]["data"])
        name = f"projects/{NUMBER}/secrets/{secret}/versions/{len(self.secrets[secret])}"
        return {"name": name, "clientSpecifiedPayloadChecksum": True}


def _service(name: str) -> dict[str, Any]:
    """A service whose one revision is ready."""
    revision = f"{name}-00001-abc"
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NUMBER, "labels": {"cloud.googleapis.com/location": REGION}, "annotations": {}},
        "spec": {
            "template": {"metadata": {"name": revision}, "spec": {"containers": [{"image": "an/image:built"}]}},
            "traffic": [{"percent": 100, "latestRevision": True}],
        },
        "status": {
            "conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "ConfigurationsReady", "RoutesReady")],
            "latestReadyRevisionName": revision,
            "latestCreatedRevisionName": revision,
        },
    }  # fmt: skip


def _substituted(text: str, build: dict[str, Any]) -> str:
    for name, value in build["substitutions"].items():
        text = text.replace(f"${name}", value)
    return text


class Address(msgspec.Struct, frozen=True):
    """Where a fake listens."""

    url: str

    def environment(self, folder: str) -> dict[str, str]:
        """What the real gcloud needs to call it; it keeps its own in the folder."""
        overridden = ("storage", "cloudbuild", "secretmanager", "serviceusage")
        return {
            "CLOUDSDK_CONFIG": folder,
            "CLOUDSDK_AUTH_ACCESS_TOKEN": "a-token-of-nobody",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
            **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}": f"{self.url}/" for api in overridden},
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{self.url}/storage/v1/",
            # Cloud Run's host begins with the region, which gcloud puts before any name: a proxy finds its way all the same.
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.invalid/",
            "http_proxy": self.url,
            "no_proxy": "127.0.0.1",
        }


@contextmanager
def serving(cloud: FakeCloud) -> Iterator[Address]:
    """Serves a fake on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            path = urlsplit(self.path).path
            try:
                self._send(200, cloud.call(self.command, path, body))
            except Refused as refused:
                error = {"code": refused.code, "message": str(refused), "status": refused.status}
                self._send(refused.code, {"error": error})

        do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815

        def _send(self, code: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """The test's output is for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Address(f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
