"""FastAPI and arq: each POST enqueues a job to Redis. `uvicorn benchmarks.rivals.arq_app:app --workers 2`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arq import ArqRedis, create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI, Request
from pydantic import BaseModel


class Ballot(BaseModel):
    """One vote."""

    poll: str
    choice: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connects to Redis for as long as the worker process lives."""
    pool = await create_pool(RedisSettings.from_dsn(os.environ["REDIS_URL"]))
    app.state.queue = pool
    yield
    await pool.aclose()


app = FastAPI(lifespan=lifespan)


@app.post("/vote", status_code=202)
async def vote(ballot: Ballot, request: Request) -> dict[str, bool]:
    """Takes one vote."""
    queue: ArqRedis = request.app.state.queue
    await queue.enqueue_job("count_vote", ballot.poll, ballot.choice)
    return {"enqueued": True}
