"""Who may do what: the whole of it, as a table to read; and that it is enough, and no more than the code asks for."""

import pytest

from tests.infrastructure.deployed import Deployed, Grant
from turnout.deployment import FUNCTIONS, JOBS

COUNTERS = 'resource.name == "projects/demo-project/databases/turnout-counters"'
RECORD = 'resource.name == "projects/demo-project/databases/turnout-record"'

#: Nobody has more than this.
GRANTS = {
    # Takes votes: reads polls, publishes bundles, hashes under the pepper.
    ("vote", "datastore.viewer", COUNTERS),
    ("vote", "pubsub.publisher", "topic turnout-votes"),
    ("vote", "secretmanager.secretAccessor", "secret turnout-pepper"),
    # Shows totals.
    ("results", "datastore.viewer", COUNTERS),
    ("results", "datastore.viewer", RECORD),
    # Creates and changes polls, and certifies them.
    ("polls", "datastore.user", COUNTERS),
    ("polls", "datastore.user", RECORD),
    # Persists totals; certification marks the poll.
    ("persist", "datastore.user", COUNTERS),
    ("persist", "datastore.user", RECORD),
    # Leases, counts, acknowledges; buries what cannot be read.
    ("drain", "pubsub.subscriber", "subscription turnout-votes"),
    ("drain", "pubsub.publisher", "topic turnout-votes-dead"),
    ("drain", "datastore.user", COUNTERS),
    # Proves the books: reads, and nothing else.
    ("audit", "datastore.viewer", COUNTERS),
    ("audit", "datastore.viewer", RECORD),
    # The clock calls what has a schedule.
    ("scheduler", "run.invoker", "function turnout-persist"),
    ("scheduler", "run.invoker", "job turnout-drain"),
    ("scheduler", "run.invoker", "job turnout-audit"),
    # Builds: reads the sources, writes images and log lines.
    ("build", "storage.objectViewer", "bucket demo-project-turnout-source"),
    (
        "build",
        "storage.objectViewer",
        'resource.name.startsWith("projects/_/buckets/gcf-v2-sources-123456789012-europe-west1")',
    ),
    ("build", "artifactregistry.writer", "repository turnout-images"),
    ("build", "logging.logWriter", "project"),
    # Pub/Sub itself, which dead-letters as a last resort.
    ("Pub/Sub", "pubsub.publisher", "topic turnout-votes-dead"),
    ("Pub/Sub", "pubsub.subscriber", "subscription turnout-votes"),
    # Cloud Functions itself, which looks the functions' images up.
    ("Cloud Functions", "artifactregistry.reader", "repository turnout-images"),
    # Everybody votes and looks; polls are for those who are named.
    ("allUsers", "run.invoker", "function turnout-vote"),
    ("allUsers", "run.invoker", "function turnout-results"),
    ("user:ada@example.com", "run.invoker", "function turnout-polls"),
}

#: What the table of services calls things, as they are deployed.
RESOURCES = {
    "topic": "topic turnout-votes",
    "dead_letter_topic": "topic turnout-votes-dead",
    "subscription": "subscription turnout-votes",
    "pepper": "secret turnout-pepper",
    "firestore": COUNTERS,
    "datastore": RECORD,
}


def test_who_may_do_what(deployed: Deployed) -> None:
    assert set(deployed.grants()) == {Grant(*each) for each in GRANTS}


def test_nothing_is_granted_twice(deployed: Deployed) -> None:
    assert len(deployed.grants()) == len(set(deployed.grants()))


@pytest.mark.parametrize("service", [*FUNCTIONS, *JOBS], ids=lambda service: service.name)
def test_a_service_may_do_what_the_table_of_services_says(deployed: Deployed, service: object) -> None:
    assert isinstance(service, (type(FUNCTIONS[0]), type(JOBS[0])))
    granted = {(each.role, each.on) for each in deployed.grants() if each.member == service.name}
    assert granted == {
        (role, RESOURCES[on]) for role, _, on in (each.partition(":") for each in service.roles)
    }


def test_public_functions_are_for_all_and_private_ones_for_their_callers(deployed: Deployed) -> None:
    public = {each.on for each in deployed.grants() if each.member == "allUsers"}
    assert public == {f"function turnout-{each.name}" for each in FUNCTIONS if each.access == "public"}


def test_a_variable_closes_the_public_functions(variations: dict[str, Deployed]) -> None:
    callers = {each.member for each in variations["organisation"].grants() if each.role == "run.invoker"}
    assert callers == {"scheduler"}


def test_every_service_has_an_identity_of_its_own(deployed: Deployed) -> None:
    emails = {
        name: each["service_config"][0]["service_account_email"] for name, each in deployed.functions.items()
    }
    emails |= {
        name: each["template"][0]["template"][0]["service_account"] for name, each in deployed.jobs.items()
    }
    assert emails == {
        each.name: f"turnout-{each.name}@demo-project.iam.gserviceaccount.com" for each in (*FUNCTIONS, *JOBS)
    }
    accounts = {each.values["account_id"] for each in deployed.of_type("google_service_account")}
    assert {email.partition("@")[0] for email in emails.values()} < accounts


def test_no_grant_takes_others_away(deployed: Deployed) -> None:
    """Bindings and policies are authoritative: they would remove what somebody else granted."""
    authoritative = [
        each.address for each in deployed.resources if each.type.endswith(("_iam_binding", "_iam_policy"))
    ]
    assert authoritative == []
