"""The settings of a process that serves votes on Google Cloud."""

from turnout.gcp.settings import CloudSettings
from turnout.votes.settings import VoteSettings


class Settings(CloudSettings, VoteSettings):
    """Where everything lives, and what the votes' verbs are told: one reading of the environment, with all its faults."""
