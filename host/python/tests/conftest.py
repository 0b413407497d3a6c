"""What all tests share: a registry of their own with a clock that is set by hand."""

from __future__ import annotations

from typing import Iterator

import pytest

import softfuse
from softfuse import ManualClock, Registry


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(clock: ManualClock) -> Registry:
    return Registry(clock=clock, salt=0)


@pytest.fixture(autouse=True)
def fresh_default_registry() -> Iterator[None]:
    """Names in the default registry don't outlive a test."""
    yield
    for name in list(softfuse.default_registry().all()):
        softfuse.default_registry().remove(name)


def pytest_configure() -> None:
    installed = softfuse.__file__
    assert "site-packages" in installed, f"the installed package is tested, not {installed}"
