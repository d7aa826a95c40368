"""Flask and Celery: each POST enqueues a task to Redis. `gunicorn --worker-class gthread benchmarks.rivals.celery_app:app`."""

import os

from celery import Celery
from flask import Flask, request

#: As many as the threads of a gunicorn worker, so that no thread waits for a connection.
REDIS_CONNECTIONS = 16

queue = Celery("votes", broker=os.environ["REDIS_URL"])
queue.conf.update(task_ignore_result=True, broker_pool_limit=REDIS_CONNECTIONS)
app = Flask(__name__)


@queue.task  # type: ignore[untyped-decorator]
def count_vote(poll: str, choice: str) -> None:
    """What a worker would do; none runs here, for the bench measures enqueuing alone."""


@app.post("/vote")
def vote() -> tuple[dict[str, bool] | str, int]:
    """Takes one vote."""
    ballot = request.get_json()
    if not (isinstance(ballot, dict) and {"poll", "choice"} <= ballot.keys()):
        return "poll and choice are needed", 400
    count_vote.delay(ballot["poll"], ballot["choice"])
    return {"enqueued": True}, 202
