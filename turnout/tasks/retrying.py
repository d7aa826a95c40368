"""When a task that failed is run again, and when it is given up."""

from typing import Annotated

import msgspec

from turnout.base.chance import Chance

Seconds = Annotated[float, msgspec.Meta(ge=0, le=30 * 86_400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class TaskRetry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a task is retried.

    A handler that fails and a worker that dies are counted apart: a crash says little of the work, and a handler that
    fails says nothing of the machine.

    The defaults: waits of about 1, 2, 4, … seconds, an hour at most. Fifteen failures span some three hours, which
    rides out a broken release or a provider's outage, while a person learns of it on the same day. Five crashes are more
    than restarts and lost machines explain: the task itself ends its workers.
    """

    #: The wait after the first failure, before jitter; each further one doubles it, up to `max_seconds`.
    first_seconds: Seconds = 1.0
    max_seconds: Seconds = 3_600.0
    #: Failed attempts that end the task.
    failures_max: Count = 15
    #: Crashed attempts that end the task: a worker died or lost its lease.
    crashes_max: Count = 5

    def wait_seconds(self, failures: int, chance: Chance) -> float:
        """How long to wait after the failure of this number, from 1.

        Equal jitter: between half and the whole of the step, so that those who failed together do not come back together.
        """
        # Doubling stops where the step cannot grow any more; the bound keeps the power within a float.
        step = min(self.first_seconds * 2.0 ** min(failures - 1, 64), self.max_seconds)
        return step * (0.5 + chance() / 2)
