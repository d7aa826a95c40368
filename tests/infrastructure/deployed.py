"""What terraform deploys, as its state says: resources by type, and who may do what."""

from collections.abc import Iterator
from typing import Any

import msgspec

#: The argument that names what a grant is on, by the grant's type.
GRANTED_ON = {
    "google_pubsub_topic_iam_member": ("topic", "topic"),
    "google_pubsub_subscription_iam_member": ("subscription", "subscription"),
    "google_secret_manager_secret_iam_member": ("secret", "secret_id"),
    "google_storage_bucket_iam_member": ("bucket", "bucket"),
    "google_artifact_registry_repository_iam_member": ("repository", "repository"),
    "google_cloud_run_v2_service_iam_member": ("function", "name"),
    "google_cloud_run_v2_job_iam_member": ("job", "name"),
    "google_service_account_iam_member": ("account", "service_account_id"),
}

#: Google's own identities, by the project they live in.
GOOGLES_OWN = {"gcp-sa-pubsub": "Pub/Sub", "gcf-admin-robot": "Cloud Functions"}


class Resource(msgspec.Struct, frozen=True):
    """One resource of the state."""

    address: str
    type: str
    name: str
    values: dict[str, Any]
    index: str | int | None = None


class Grant(msgspec.Struct, frozen=True, order=True):
    """One role of one member on one thing."""

    member: str
    role: str
    on: str


class Deployed(msgspec.Struct, frozen=True):
    """Everything that one apply deploys."""

    resources: tuple[Resource, ...]
    outputs: dict[str, Any]

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Deployed":
        """What a state in Terraform's JSON holds, its modules' resources among the others."""
        outputs = {name: output.get("value") for name, output in state.get("outputs", {}).items()}
        return cls(tuple(_resources(state["root_module"])), outputs)

    def of_type(self, kind: str) -> list[Resource]:
        """The resources of one type."""
        return [resource for resource in self.resources if resource.type == kind]

    def one(self, kind: str, name: str, index: str | int | None = None) -> dict[str, Any]:
        """The values of a resource that must be there once."""
        (found,) = [each for each in self.of_type(kind) if (each.name, each.index) == (name, index)]
        return found.values

    @property
    def functions(self) -> dict[str, dict[str, Any]]:
        """The functions' values, by name."""
        return {str(each.index): each.values for each in self.of_type("google_cloudfunctions2_function")}

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs' values, by name."""
        return {str(each.index): each.values for each in self.of_type("google_cloud_run_v2_job")}

    def environment(self, service: str) -> dict[str, str]:
        """The plain environment variables of a function or a job."""
        if service in self.functions:
            (config,) = self.functions[service]["service_config"]
            return dict(config["environment_variables"])
        return {each["name"]: each["value"] for each in self._container(service)["env"]}

    def secrets(self, service: str) -> dict[str, str]:
        """The secret environment variables of a function or a job, and the secret of each."""
        if service in self.functions:
            (config,) = self.functions[service]["service_config"]
            return {each["key"]: each["secret"] for each in config["secret_environment_variables"] or ()}
        return {}

    def grants(self) -> list[Grant]:
        """Who may do what on what."""
        return sorted(
            Grant(_short_member(each.values["member"]), each.values["role"].removeprefix("roles/"), _on(each))
            for each in self.resources
            if each.type.endswith("_iam_member")
        )

    def _container(self, job: str) -> dict[str, Any]:
        (outer,) = self.jobs[job]["template"]
        (inner,) = outer["template"]
        (container,) = inner["containers"]
        found: dict[str, Any] = container
        return found


def _resources(module: dict[str, Any]) -> Iterator[Resource]:
    for each in module.get("resources", ()):
        if each["mode"] == "managed":
            yield msgspec.convert(each, Resource)
    for child in module.get("child_modules", ()):
        yield from _resources(child)


def _short_member(member: str) -> str:
    """`serviceAccount:turnout-vote@demo-project.iam…` is `vote`; others stay as they are."""
    kind, _, who = member.partition(":")
    if kind != "serviceAccount":
        return member
    account, _, domain = who.partition("@")
    agent = GOOGLES_OWN.get(domain.partition(".")[0])
    return agent or account.removeprefix("turnout-")


def _on(grant: Resource) -> str:
    """What a grant is on: `topic turnout-votes`, or for the project what its condition narrows it to."""
    if grant.type in GRANTED_ON:
        kind, argument = GRANTED_ON[grant.type]
        return f"{kind} {grant.values[argument]}"
    assert grant.type == "google_project_iam_member", f"{grant.type} is not known here"
    conditions = grant.values["condition"]
    return conditions[0]["expression"] if conditions else "project"
