"""Chance: what is drawn at random, passed in so that a seed can replay it."""

import secrets
from collections.abc import Callable

#: A new id: 32 hex digits, never twice.
NewId = Callable[[], str]
#: A float in [0, 1): jitter.
Chance = Callable[[], float]


def random_id() -> str:
    """128 random bits as 32 hex digits."""
    return secrets.token_hex(16)
