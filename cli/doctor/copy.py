"""Which copy is examined: its names, as `terraform output -raw environment` says them."""

from collections.abc import Mapping
from typing import Self

import msgspec

from cli.faults import NoAnswer

#: Where a name comes from; `terraform output -raw environment` sets them all.
VARIABLES = {
    "project": "GOOGLE_CLOUD_PROJECT",
    "region": "TURNOUT_REGION",
    "prefix": "TURNOUT_PREFIX",
    "topic": "TURNOUT_TOPIC",
    "subscription": "TURNOUT_SUBSCRIPTION",
    "dead_letter_topic": "TURNOUT_DEAD_LETTER_TOPIC",
    "pepper": "TURNOUT_PEPPER_SECRET",
    "firestore": "TURNOUT_FIRESTORE_DATABASE",
    "datastore": "TURNOUT_DATASTORE_DATABASE",
}


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """The names of one deployed copy."""

    project: str
    region: str
    prefix: str
    topic: str
    subscription: str
    dead_letter_topic: str
    pepper: str
    firestore: str
    datastore: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The copy that an environment names; `NoAnswer` says which names are missing."""
        missing = [variable for variable in VARIABLES.values() if not environment.get(variable)]
        if missing:
            raise NoAnswer(
                f"The environment names no deployed copy: {', '.join(missing)} is missing. In its configuration, run "
                'eval "$(terraform output -raw environment)"'
            )
        return cls(**{name: environment[variable] for name, variable in VARIABLES.items()})

    @property
    def databases(self) -> tuple[str, str]:
        """Counters and record."""
        return (self.firestore, self.datastore)

    def named(self, part: str) -> str:
        """What a function, a job or a schedule is called."""
        return f"{self.prefix}-{part}"

    def member(self, part: str) -> str:
        """The identity of a function, of a job, or of the schedules, as policies write it."""
        return f"serviceAccount:{self.named(part)}@{self.project}.iam.gserviceaccount.com"

    def path(self, collection: str, name: str) -> str:
        """Something of the project that is in its region."""
        return f"projects/{self.project}/locations/{self.region}/{collection}/{name}"
