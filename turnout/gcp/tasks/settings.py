"""The settings of a process that adds, wakes or runs tasks on Google Cloud."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from turnout.gcp.settings import CloudSettings
from turnout.tasks.settings import TaskSettings


class Settings(CloudSettings, TaskSettings):
    """Where everything lives, and what the verbs of tasks are told."""

    #: The queue of Cloud Tasks for alarms, by its full name, and the address of the function `due`, which they call.
    alarms_queue: str = ""
    due_url: str = ""
    #: The service account whose identity token alarms carry; empty: they carry none.
    alarms_account: str = ""

    #: The address of Cloud Tasks' stand-in, `host:port`; Google's client knows no variable for it.
    cloud_tasks_emulator_host: str = Field(default="", alias="CLOUD_TASKS_EMULATOR_HOST")

    #: Packages and modules with handlers, between commas.
    handlers: str = ""

    #: Hosts that callbacks may reach wherever they are, `host` or `host:port`, between commas.
    callback_hosts: str = ""
    #: What callbacks are signed with: `whsec_…`, two at once while they change, between spaces.
    callback_secrets: SecretStr = SecretStr("")

    # The wire format of the delay-queue service.
    #: The addresses of services that contents name by `sn`: a JSON object of names and `https://host`.
    delay_services: str = ""
    #: The Pub/Sub topic that tasks without a callback are published to when they come due; empty: they are pulled.
    delay_topic: str = ""

    @model_validator(mode="after")
    def _alarms_are_whole(self) -> Self:
        parts = self.alarms_queue.split("/")
        if self.alarms_queue and (len(parts) != 6 or parts[::2] != ["projects", "locations", "queues"]):  # noqa: PLR2004
            raise ValueError("TURNOUT_ALARMS_QUEUE is projects/…/locations/…/queues/…")
        if bool(self.alarms_queue) != bool(self.due_url):
            raise ValueError("TURNOUT_ALARMS_QUEUE and TURNOUT_DUE_URL belong together: set both")
        return self
