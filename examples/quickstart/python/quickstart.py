"""The quickstart: a pretend model whose answers turn bad, and a circuit that opens on them and closes again.

    pip install softfuse
    python quickstart.py

It prints what ``examples/quickstart/expected.txt`` holds, as the quickstart of every other language does.
"""

import time
from pathlib import Path

from softfuse import BreakerName, CircuitBreaker, CircuitBreakerOpen, State, circuit_breaker, report_quality

POLICY = Path(__file__).resolve().parents[2] / "policies" / "quickstart.toml"
GOOD, POOR = ("Paris is the capital of France.", 0.9), ("Paris Paris Paris Paris", 0.2)


def told(breaker: BreakerName, old: State, new: State) -> None:
    print(f"{old} -> {new}: {breaker.change.reason}")


@circuit_breaker(policy=POLICY, name="chat", on_state_change=told)
def ask(model: tuple[str, float]) -> str:
    text, score = model  # Ask the model here.
    report_quality(score)
    return text


breaker = CircuitBreaker.get("chat")
answers = 0


def show(text: str) -> None:
    global answers
    answers += 1
    print(f"answer {answers}: {text}")


for _ in range(8):
    show(ask(GOOD))

# The model turns bad. Its answers still come, without an error.
while True:
    try:
        show(ask(POOR))
    except CircuitBreakerOpen as refused:
        print(f"refused: {refused.state}, trip {refused.trip_count}")
        show("(cached answer)")
        break

# It is well again. The first answers after the wait are probes.
time.sleep(breaker.status().retry_after or 0)
while breaker.state is not State.CLOSED:
    show(ask(GOOD))
