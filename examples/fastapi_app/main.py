"""A FastAPI application that dispatches jobs and shows how they stand. Its worker lives in the same process.

python examples/fastapi_app/main.py

curl -X POST localhost:8000/texts -H 'content-type: application/json' -d '{"text": "a rose is a rose"}'
curl localhost:8000/texts/THE-ID
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI, HTTPException

from heracles import Queue, Worker
from jobs import count_words


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    worker = Worker(id=f"web-{os.getpid()}")
    await worker.create_queue(name="texts", concurrency=4)
    async with worker:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/texts", status_code=202)
async def submit(text: Annotated[str, Body(embed=True)]) -> dict[str, str]:
    """Dispatch a job and answer at once."""
    handle = await count_words.dispatch(text)
    return {"id": handle.dispatch_id}


@app.get("/texts/{dispatch_id}")
async def show(dispatch_id: str) -> dict[str, Any]:
    """How the job stands, and its result once it has one."""
    info = await Queue.get("texts").get_job(dispatch_id)
    if info is None:
        raise HTTPException(404)
    return {"status": info.status, "result": info.result, "error": info.error}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
