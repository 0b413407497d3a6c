"""Runs the shared vectors of ``tests/vectors`` through the package's public API.

The format is explained in ``tests/vectors/README.md``. Unknown keys are errors, and so is a vector that expects nothing: a slip of the pen must not
pass as a test.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Optional

import tomli

from softfuse import (
    CallRecord,
    CircuitBreaker,
    CircuitBreakerOpen,
    InvalidScore,
    ManualClock,
    Permit,
    PermitSettled,
    Policy,
    PolicyError,
    Registry,
    Settled,
    StateChange,
)

MS = 1_000_000
LATENCY_MS = 10
NAME = "test"
#: Of another kind: bad policies.
BAD_POLICIES = "policies.toml"
#: What only those see who speak the contract itself. A permit is a value here, as in the Rust host, whose tests run this file against the component.
CONTRACT = "contract.toml"

VECTOR_KEYS = {"name", "holds", "policy", "steps"}
STEP_KEYS = {
    "do", "at_ms", "at_ns", "times", "every_ms", "permit", "permit_bits", "outcome", "latency_ms", "latency_ns", "score",
    "pending", "retry_after_ms", "verdicts", "operator", "reason", "open_for_ms", "away_ms", "clock_ms", "expect", "state",
}  # fmt: skip
SEEN_KEYS = {"admitted", "permit", "state", "retry_after_ns", "trip_count", "reason", "effect", "error", "event"}


@dataclass
class Vector:
    file: str
    name: str
    policy: str
    steps: list[dict[str, Any]]


def folder() -> Path:
    """Where the vectors are: the project's folder is named by the runner, since the tests see the installed package alone."""
    return Path(os.environ["SOFTFUSE_PROJECT"]) / "tests" / "vectors"


def load() -> tuple[list[Vector], list[dict[str, Any]]]:
    """All vectors, and all bad policies."""
    paths = sorted(folder().glob("*.toml"))
    more = os.environ.get("SOFTFUSE_VECTORS", "")
    paths += [Path(path) for path in more.split(os.pathsep) if path]
    assert any(path.name == CONTRACT for path in paths), "contract.toml is gone: is this the folder?"
    vectors, bad = [], []
    names: set[str] = set()
    for path in paths:
        content = tomli.loads(path.read_text(encoding="utf-8"))
        table = "policy" if path.name == BAD_POLICIES else "vector"
        assert set(content) == {table}, f"{path}: {sorted(content)}"
        for vector in content[table]:
            assert vector["name"] not in names, f"two vectors are named `{vector['name']}`"
            names.add(vector["name"])
            if path.name == BAD_POLICIES:
                bad.append(vector)
                continue
            assert set(vector) == VECTOR_KEYS, f"{path.name}: {vector['name']}: {sorted(vector)}"
            for step in vector["steps"]:
                assert set(step) <= STEP_KEYS, f"{path.name}: {vector['name']}: {sorted(set(step) - STEP_KEYS)}"
                assert step.get("times") != 0 and ("expect" not in step or "do" in step), f"{path.name}: {step}"
            checks = any("expect" in step or "state" in step for step in vector["steps"])
            assert checks, f"{path.name}: {vector['name']} expects nothing"
            if path.name != CONTRACT:
                vectors.append(Vector(path.name, vector["name"], vector["policy"], vector["steps"]))
    return vectors, bad


class Scripted:
    """A condition whose verdict the vector says."""

    def __init__(self, script: list[str], place: int) -> None:
        self.script = script
        self.place = place

    def __call__(self, record: CallRecord) -> Optional[str]:
        return self.script[self.place] or None if self.place < len(self.script) else None

    def reset(self) -> None:
        pass


@dataclass
class Subject:
    """One breaker behind the vectors' actions."""

    registry: Registry
    clock: ManualClock
    policy: Policy
    script: list[str]
    now: int = 0
    permits: dict[str, Any] = field(default_factory=dict)
    events: list[StateChange] = field(default_factory=list)

    @classmethod
    def of(cls, registry: Registry, clock: ManualClock, text: str) -> Subject:
        script: list[str] = []
        clock.now_ns = 0
        registry.remove(NAME)
        named = host_conditions(registry, text)
        conditions = {name: Scripted(script, place) for place, name in enumerate(named)}
        subject = cls(registry, clock, Policy.from_text(text, source_name="test.toml", conditions=conditions), script)
        subject.breaker = registry.breaker(NAME, subject.policy)
        # A breaker takes its seat in the component when it is first asked: at 0, as the others are made.
        subject.breaker.status()
        return subject

    breaker: CircuitBreaker = field(init=False)

    def before(self) -> tuple[Optional[Permit], dict[str, Any]]:
        self.events.clear()
        try:
            permit = self.breaker.before()
        except CircuitBreakerOpen as refused:
            return None, rejection(refused)
        event = self.events[0] if self.events else None
        return permit, seen(admitted=True, permit=permit, event=change(event))

    def settle(self, permit: Any, step: dict[str, Any]) -> dict[str, Any]:
        if isinstance(permit, Settled) or permit is None:
            return seen(error="gone")
        default = 0 if step.get("latency_ns") else LATENCY_MS
        latency_ns = step.get("latency_ms", default) * MS + step.get("latency_ns", 0)
        after = step.get("retry_after_ms")
        self.script[:] = step.get("verdicts", [])
        try:
            settled = permit.record(
                step.get("outcome", "success"),
                latency=Fraction(latency_ns, 10**9),
                score=step.get("score"),
                pending=step.get("pending", False) and "score" not in step,
                retry_after=None if after is None else Fraction(after, 1000),
            )
        except InvalidScore:
            return seen(error="invalid-score")
        for name, held in self.permits.items():
            if held is permit:
                self.permits[name] = settled
        return seen(effect=settled.effect, event=change(settled.change))

    def report(self, permit: Any, score: Optional[float]) -> dict[str, Any]:
        if permit is None:
            return seen(error="gone")
        try:
            if isinstance(permit, Settled):
                effect, event = permit.late.report_missing() if score is None else permit.late.report_quality(score)
                return seen(effect=effect, event=change(event))
            if score is not None:
                assert permit.report_quality(score) == "kept"
            return seen(effect="pending")
        except InvalidScore:
            return seen(error="invalid-score")

    def step(self, step: dict[str, Any]) -> None:
        if "at_ms" in step:
            self.now = step["at_ms"] * MS
        self.now += step.get("at_ns", 0)
        for turn in range(step.get("times", 1)):
            if turn:
                self.now += step.get("every_ms", 0) * MS
            self.clock.now_ns = self.now
            if "do" in step:
                self.act(step["do"], step)
        self.clock.now_ns = self.now
        if "state" in step:
            found = str(self.breaker.status().state)
            assert found == step["state"], f"expected the state {step['state']}, found {found}"

    def act(self, action: str, step: dict[str, Any]) -> None:
        assert "permit_bits" not in step, "a permit out of thin air is the contract's matter"
        if action == "before":
            permit, answer = self.before()
            if permit is not None:
                # One without a name is held too: dropped, it would be settled.
                self.permits[step.get("permit", f"(unnamed {len(self.permits)})")] = permit
        elif action == "call":
            permit, answer = self.before()
            assert permit is not None, f"the call was refused: {answer}"
            answer = self.settle(permit, step)
        elif action == "settle":
            answer = self.settle(self.permits[step["permit"]], step)
            again = self.permits[step["permit"]]
            assert isinstance(again, Settled) or answer["error"], "a settled permit is settled"
        elif action in ("report", "missing"):
            answer = self.report(self.permits[step["permit"]], step["score"] if action == "report" else None)
        elif action == "would-refuse":
            refused = self.breaker.would_refuse()
            assert self.breaker.is_open() == (refused is not None)
            answer = seen(admitted=True) if refused is None else rejection(refused)
        elif action == "reset":
            answer = seen(event=change(self.breaker.reset()))
        elif action == "operator":
            acts = {
                "forced-open": self.breaker.force_open,
                "disabled": self.breaker.disable,
                "metrics-only": self.breaker.metrics_only,
            }
            answer = seen(event=change(acts[step["operator"]]()))
        elif action == "trip":
            open_for = step.get("open_for_ms")
            span = None if open_for is None else Fraction(open_for, 1000)
            answer = seen(event=change(self.breaker.trip(step.get("reason", "why"), open_for=span)))
        elif action == "reincarnate":
            answer = self.reincarnate(step)
        elif action == "status":
            answer = status(self.breaker)
        else:
            raise AssertionError(f"there is no action `{action}`")
        if "expect" in step:
            if "error" in answer:
                answer["late"] = answer["error"] or answer["effect"]
            same_keys(step["expect"], answer)

    def reincarnate(self, step: dict[str, Any]) -> dict[str, Any]:
        saved = self.breaker.snapshot()
        self.permits = {name: None for name in self.permits}
        self.registry.remove(NAME)
        if "clock_ms" in step:
            self.now = step["clock_ms"] * MS
        self.clock.now_ns = self.now
        self.breaker = self.registry.restore(NAME, self.policy, saved, away=Fraction(step.get("away_ms", 0), 1000))
        return seen()


def host_conditions(registry: Registry, text: str) -> list[str]:
    """The names of the host's own conditions, in order of appearance."""
    return registry._core.policy("test.toml", text).info()[1]


def seen(**found: Any) -> dict[str, Any]:
    assert set(found) <= SEEN_KEYS
    return {**dict.fromkeys(SEEN_KEYS), **found}


def rejection(refused: Any) -> dict[str, Any]:
    assert isinstance(refused, CircuitBreakerOpen) and refused.component_failure is None
    return seen(
        admitted=False,
        state=str(refused.state),
        retry_after_ns=refused.retry_after_ns,
        trip_count=refused.trip_count,
        reason=refused.reason,
    )


def change(event: Optional[StateChange]) -> Optional[dict[str, Any]]:
    if event is None:
        return None
    causes = event.trip.causes if event.trip else ()
    detail = [event.trip.detail] if event.trip and event.trip.detail is not None else []
    return {
        "at_ns": event.at_ns,
        "old": str(event.old),
        "new": str(event.new),
        "kind": event.kind,
        "trip": event.trip.kind if event.trip else None,
        "paths": [cause.path for cause in causes],
        "values": [cause.value for cause in causes],
        "limits": [cause.limit for cause in causes],
        "texts": detail + [cause.text for cause in causes],
        "generation": event.generation,
        "trip_count": event.trip_count,
        "open_until_ns": event.open_until_ns,
    }


def status(breaker: CircuitBreaker) -> dict[str, Any]:
    found = breaker.status()
    last, failure = found.last_trip, found.last_failure
    return {
        "state": str(found.state),
        "since_ns": found.since_ns,
        "generation": found.generation,
        "would_refuse": found.would_refuse,
        "retry_after_ns": found.retry_after_ns,
        "trip_count": found.trip_count,
        "reopen_count": found.reopen_count,
        "last_trip_at_ns": last.at_ns if last else None,
        "last_trip": last.text if last else None,
        "transitions": [f"{t.old} -> {t.new} at {t.at_ns}: {t.text}" for t in found.transitions],
        **found.totals._asdict(),
        "last_failure_at_ns": failure.at_ns if failure else None,
        "last_failure": failure.kind if failure else None,
        "consecutive_failures": found.consecutive_failures,
        "consecutive_successes": found.consecutive_successes,
        "conditions": [reading._asdict() for reading in found.conditions],
        "live_probes": found.live_probes,
        "passed_probes": found.passed_probes,
        "calls_per_minute": found.calls_per_minute,
    }


def same_keys(expected: dict[str, Any], found: Any) -> None:
    """Whether a table has all that is expected of it; ``false`` stands for what isn't there."""
    assert isinstance(found, dict), f"expected {expected}, found {found}"
    for key, value in expected.items():
        assert key in found, f"there is no key `{key}` to expect; the keys are {sorted(found)}"
        try:
            matches(value, found[key])
        except AssertionError as differs:
            raise AssertionError(f"`{key}`: {differs} (of {found})") from None


def matches(expected: Any, found: Any) -> None:
    if isinstance(expected, dict):
        return same_keys(expected, found)
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for one, other in zip(expected, found):
            matches(one, other)
        return None
    if isinstance(expected, bool):
        same = found is expected or (found is None and not expected)
    else:
        same = not isinstance(found, bool) and type(expected) is type(found) and expected == found
        # A whole number's value may be told as a float.
        same = same or (isinstance(expected, float) and isinstance(found, (int, float)) and expected == found)
    assert same, f"expected {expected!r}, found {found!r}"


__all__ = ["PermitSettled", "PolicyError", "Subject", "Vector", "load"]
