"""Flask and Dramatiq: each POST enqueues a message to Redis. `gunicorn --worker-class gthread benchmarks.rivals.dramatiq_app:app`."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from flask import Flask, request

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))  # type: ignore[no-untyped-call]
app = Flask(__name__)


@dramatiq.actor
def count_vote(poll: str, choice: str) -> None:
    """What a worker would do; none runs here, for the bench measures enqueuing alone."""


@app.post("/vote")
def vote() -> tuple[dict[str, bool] | str, int]:
    """Takes one vote."""
    ballot = request.get_json()
    if not (isinstance(ballot, dict) and {"poll", "choice"} <= ballot.keys()):
        return "poll and choice are needed", 400
    count_vote.send(ballot["poll"], ballot["choice"])
    return {"enqueued": True}, 202
