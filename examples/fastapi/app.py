"""A FastAPI service in front of a model: a breaker per tenant, a bulkhead, a fallback, and the pages that a load balancer and Prometheus ask for.

    pip install softfuse fastapi uvicorn
    uvicorn app:app

``POST /chat`` with ``{"tenant": "acme", "prompt": "..."}``; ``GET /health`` answers 200 or 503; ``GET /metrics``.
"""

import asyncio
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import softfuse
from softfuse import METRICS_CONTENT_TYPE, Bulkhead, BulkheadError, Scorer, circuit_breaker, quality_below

app = FastAPI()
chat_bulkhead = Bulkhead.preset("chat")
#: Looks for empty, cut, repetitive and refusing answers; beside the call, so nobody waits for it.
text_scorer = Scorer.builtin("text")


class Question(BaseModel):
    tenant: str
    prompt: str


async def model(prompt: str) -> str:
    """Stands for a client of a real provider."""
    await asyncio.sleep(0.01)
    if prompt == "down":
        raise ConnectionError("the provider is down")
    return "" if prompt == "nonsense" else f"You said: {prompt}, and that is a fine thing to say."


@circuit_breaker(
    trip_on=softfuse.any_of(quality_below(0.5, window=5), softfuse.consecutive_failures(3)),
    half_open_after=30,
    name="provider",
    scorer=text_scorer,
)
async def ask(prompt: str) -> str:
    return await model(prompt)


@circuit_breaker(
    trip_on=softfuse.error_rate_above(0.5, window=20),
    name="tenants",
    key=lambda question: question.tenant,
)
async def answer(question: Question) -> str:
    # The bulkhead stands outside the provider's breaker: waiting for a place is no latency of the provider's.
    async with chat_bulkhead:
        return await ask(question.prompt)


@app.post("/chat")
async def chat(question: Question) -> Any:
    try:
        return {"answer": await answer(question)}
    except softfuse.CircuitBreakerOpen as refused:
        seconds = 1 if refused.retry_after is None else max(1, round(refused.retry_after))
        return JSONResponse({"error": str(refused)}, 503, {"Retry-After": str(seconds)})
    except BulkheadError as full:
        return JSONResponse({"error": str(full)}, 429)
    except ConnectionError as failed:
        return JSONResponse({"error": str(failed)}, 502)


@app.get("/health")
async def health() -> Response:
    now = softfuse.default_registry().health()
    return Response(now.to_json(), now.status_code, media_type="application/json")


@app.get("/metrics")
async def metrics() -> Response:
    return Response(softfuse.default_registry().metrics_text(), media_type=METRICS_CONTENT_TYPE)
