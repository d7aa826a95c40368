"""Whether each function, job and schedule may do what its code does."""

from collections.abc import AsyncIterator
from typing import Any

from cli.doctor.copy import Copy
from cli.doctor.finding import Finding, fault, good
from cli.doctor.google import Google
from turnout.deployment import FUNCTIONS, JOBS

CHECK = "grants"
MEND = "Run `terraform apply`: it grants what is missing."
INVOKER = "roles/run.invoker"
EVERYONE = ("allUsers", "allAuthenticatedUsers")

Policy = dict[str, Any]


async def examine(google: Google, copy: Copy) -> AsyncIterator[Finding]:
    """A finding for each grant that is missing, or one that says all are there."""
    missing = [each async for each in _missing(google, copy)]
    for each in missing:
        yield each
    if not missing:
        yield good(CHECK, "Functions, jobs, schedules and Pub/Sub itself may do what they do.")


async def _missing(google: Google, copy: Copy) -> AsyncIterator[Finding]:
    policies = await _policies(google, copy)
    for service in (*FUNCTIONS, *JOBS):
        for role, _, on in (each.partition(":") for each in service.roles):
            if not grants(policies, copy, f"roles/{role}", on, copy.member(service.name)):
                yield fault(
                    CHECK, f"{copy.named(service.name)} lacks roles/{role} on {_thing(copy, on)}.", MEND
                )
    async for each in _pubsub_itself(google, copy, policies):
        yield each
    async for each in _callers(google, copy):
        yield each


def grants(policies: dict[str, Policy], copy: Copy, role: str, on: str, member: str) -> bool:
    """Whether a member has a role on a thing, or on the whole project."""
    databases = {"firestore": copy.firestore, "datastore": copy.datastore}
    conditions = {""}
    if on in databases:
        # A database has no policy of its own: a condition in the project's names it.
        conditions.add(f'resource.name == "projects/{copy.project}/databases/{databases[on]}"')
    found = [*policies["project"].get("bindings", []), *policies.get(on, {}).get("bindings", [])]
    return any(
        each["role"] == role
        and member in each.get("members", [])
        and each.get("condition", {}).get("expression", "") in conditions
        for each in found
    )


async def _policies(google: Google, copy: Copy) -> dict[str, Policy]:
    project = f"projects/{copy.project}"
    whole = {"options": {"requestedPolicyVersion": 3}}
    return {
        "project": await google.post("cloudresourcemanager", f"v1/{project}:getIamPolicy", whole),
        "topic": await google.get("pubsub", f"v1/{project}/topics/{copy.topic}:getIamPolicy"),
        "subscription": await google.get(
            "pubsub", f"v1/{project}/subscriptions/{copy.subscription}:getIamPolicy"
        ),
        "dead_letter_topic": await google.get(
            "pubsub", f"v1/{project}/topics/{copy.dead_letter_topic}:getIamPolicy"
        ),
        "pepper": await google.get("secretmanager", f"v1/{project}/secrets/{copy.pepper}:getIamPolicy"),
    }


async def _pubsub_itself(google: Google, copy: Copy, policies: dict[str, Policy]) -> AsyncIterator[Finding]:
    """Pub/Sub moves what was delivered too often, if it may."""
    project = await google.get("cloudresourcemanager", f"v1/projects/{copy.project}")
    agent = f"serviceAccount:service-{project['projectNumber']}@gcp-sa-pubsub.iam.gserviceaccount.com"
    for role, on in (
        ("roles/pubsub.publisher", "dead_letter_topic"),
        ("roles/pubsub.subscriber", "subscription"),
    ):
        if not grants(policies, copy, role, on, agent):
            yield fault(
                CHECK,
                f"Pub/Sub's own identity lacks {role} on {_thing(copy, on)}: it cannot dead-letter.",
                MEND,
            )


async def _callers(google: Google, copy: Copy) -> AsyncIterator[Finding]:
    scheduler = copy.member("scheduler")
    for function in FUNCTIONS:
        path = copy.path("services", copy.named(function.name))
        policy = await google.get("run", f"v2/{path}:getIamPolicy")
        callers = _members(policy, INVOKER)
        if function.schedule and scheduler not in callers:
            yield fault(CHECK, f"Cloud Scheduler may not call {copy.named(function.name)}.", MEND)
        if function.access == "public" and not callers.intersection(EVERYONE):
            service = await google.get("run", f"v2/{path}")
            if not service.get("invokerIamDisabled"):
                yield fault(
                    CHECK,
                    f"Not everyone may call {copy.named(function.name)}, which is public.",
                    "Leave `public_members` as it is; where your organisation refuses allUsers, set "
                    "`invoker_check_disabled = true`. Then `terraform apply`.",
                )
    for job in JOBS:
        policy = await google.get("run", f"v2/{copy.path('jobs', copy.named(job.name))}:getIamPolicy")
        if scheduler not in _members(policy, INVOKER):
            yield fault(CHECK, f"Cloud Scheduler may not start {copy.named(job.name)}.", MEND)


def _members(policy: Policy, role: str) -> set[str]:
    return {
        member
        for each in policy.get("bindings", [])
        if each["role"] == role
        for member in each.get("members", [])
    }


def _thing(copy: Copy, on: str) -> str:
    return str(getattr(copy, on))
