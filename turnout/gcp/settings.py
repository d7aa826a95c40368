"""Where everything lives: the project, its databases, emulators instead of services, and what Cloud Run tells a process."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from turnout.base.environment import SettingsModel


class CloudSettings(SettingsModel):
    """The same for every family. Variables with a standard name keep it."""

    #: The Google Cloud project that everything lives in.
    project: str = Field(alias="GOOGLE_CLOUD_PROJECT", min_length=1)

    #: The Firestore database (native mode) with polls, shards and ledger; the Datastore-mode one with tallies.
    firestore_database: str = "(default)"
    datastore_database: str = "record"

    #: Addresses of emulators, `host:port`; empty in the cloud.
    pubsub_emulator_host: str = Field(default="", alias="PUBSUB_EMULATOR_HOST")
    firestore_emulator_host: str = Field(default="", alias="FIRESTORE_EMULATOR_HOST")
    datastore_emulator_host: str = Field(default="", alias="DATASTORE_EMULATOR_HOST")

    # Cloud Run's own.
    service: str = Field(default="local", alias="K_SERVICE")
    execution: str = Field(default="local", alias="CLOUD_RUN_EXECUTION")
    task_index: Annotated[int, Field(ge=0)] = Field(default=0, alias="CLOUD_RUN_TASK_INDEX")
    task_count: Annotated[int, Field(gt=0)] = Field(default=1, alias="CLOUD_RUN_TASK_COUNT")
    task_attempt: Annotated[int, Field(ge=0)] = Field(default=0, alias="CLOUD_RUN_TASK_ATTEMPT")

    @model_validator(mode="after")
    def _task_is_one_of_its_execution(self) -> Self:
        if self.task_index >= self.task_count:
            raise ValueError("CLOUD_RUN_TASK_INDEX must be below CLOUD_RUN_TASK_COUNT")
        return self
