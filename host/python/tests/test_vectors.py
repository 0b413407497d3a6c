"""Every shared vector, under leases and without, and every bad policy."""

from __future__ import annotations

from typing import Any

import pytest

from softfuse import ManualClock, Policy, PolicyError, Registry
from vectors import Subject, Vector, load

VECTORS, BAD = load()
REGISTRY = Registry()
#: Never, and from the first call on.
LEASES = {"eager": 65_535, "leased": 0}


@pytest.fixture(scope="module", params=LEASES)
def home(request: pytest.FixtureRequest) -> tuple[Registry, ManualClock, list[Subject]]:
    clock = ManualClock()
    registry = Registry(clock=clock, salt=0, lease_after=LEASES[request.param])
    subjects: list[Subject] = []
    registry.on_event(lambda change: [subject.events.append(change) for subject in subjects])
    return registry, clock, subjects


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector(vector: Vector, home: tuple[Registry, ManualClock, list[Subject]]) -> None:
    registry, clock, subjects = home
    subject = Subject.of(registry, clock, vector.policy)
    subjects[:] = [subject]
    for number, step in enumerate(vector.steps, 1):
        try:
            subject.step(step)
        except Exception as failed:
            raise AssertionError(f"{vector.file}: `{vector.name}`, step {number}: {failed}") from failed


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad["name"])
def test_bad_policy(bad: dict[str, Any]) -> None:
    assert set(bad) == {"name", "text", "problems"}, sorted(bad)
    with pytest.raises(PolicyError) as raised:
        REGISTRY.breaker("bad", Policy.from_text(bad["text"], source_name="bad.toml"))
    found = raised.value.problems
    assert len(found) == len(bad["problems"]), found
    for expected, problem in zip(bad["problems"], found):
        assert set(expected) <= {"line", "column", "key", "message", "nearest"}, sorted(expected)
        assert expected["message"] in problem.message
        same = (expected["line"], expected["column"], expected["key"], expected.get("nearest"))
        assert same == (problem.line, problem.column, problem.key, problem.nearest)
    assert f"bad.toml:{found[0].line}:{found[0].column}: " in str(raised.value)


def test_the_vectors_are_there() -> None:
    assert len(VECTORS) > 40 and len(BAD) > 10
