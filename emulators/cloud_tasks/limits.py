"""The service's limits, each with its unit, and those of the stand-in itself."""

SECOND_US = 1_000_000

#: https://cloud.google.com/tasks/docs/quotas, and the reference of RateLimits.
DISPATCHES_PER_SECOND_MAX = 500.0
CONCURRENT_DISPATCHES_MAX = 5000
#: What a queue has when nothing is asked for, as `gcloud tasks queues describe` shows it.
DISPATCHES_PER_SECOND_DEFAULT = 500.0
CONCURRENT_DISPATCHES_DEFAULT = 1000
ATTEMPTS_DEFAULT = 100
DOUBLINGS_DEFAULT = 16
BACKOFF_MIN_US_DEFAULT = 100_000
BACKOFF_MAX_US_DEFAULT = 3600 * SECOND_US

DEADLINE_SECONDS_DEFAULT = 600
DEADLINE_SECONDS_MIN = 15
DEADLINE_SECONDS_MAX = 30 * 60
APP_ENGINE_DEADLINE_SECONDS_MAX = 24 * 3600 + 15

SCHEDULE_AHEAD_US_MAX = 720 * 3600 * SECOND_US
TASK_LIFE_US = 31 * 24 * 3600 * SECOND_US
#: "up to 24 hours" and "up to 3 days": the longest that the reference names.
TASK_NAME_HELD_US = 24 * 3600 * SECOND_US
QUEUE_NAME_HELD_US = 3 * 24 * 3600 * SECOND_US

#: The stored form's largest size, recorded [G]; the documentation says 100 KB.
STORED_TASK_BYTES_MAX = 1_048_569
URL_CHARACTERS_MAX = 2083
HEADERS_BYTES_MAX = 80 * 1024

TASKS_PER_PAGE_MAX = 1000
QUEUES_PER_PAGE_MAX = 9800
PAGE_TOKEN_US_MAX = 2 * 3600 * SECOND_US
BATCH_CREATE_MAX = 100
BATCH_DELETE_MAX = 1000
RUNS_PER_MINUTE_MAX = 60

#: Ours: how many ended tasks' names are remembered; beyond, the oldest are free again early.
TOMBSTONES_MAX = 250_000
#: Ours: operations and attempts that can be asked for later.
OPERATIONS_KEPT = 1000
ATTEMPTS_KEPT = 200
