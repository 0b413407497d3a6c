"""A circuit's states."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a circuit stands. ``str()`` gives the contract's word, as in ``half-open``."""

    #: Calls flow.
    CLOSED = "closed"
    #: Calls are refused until the open period has passed.
    OPEN = "open"
    #: A few calls at a time are admitted as probes.
    HALF_OPEN = "half_open"
    #: An operator refuses every call until ``reset``.
    FORCED_OPEN = "forced_open"
    #: An operator admits every call; outcomes change totals only.
    DISABLED = "disabled"
    #: Every call is admitted and recorded; what would have tripped is said and never refused.
    METRICS_ONLY = "metrics_only"

    def __str__(self) -> str:
        return self.value.replace("_", "-")

    @classmethod
    def named(cls, word: str) -> State:
        """The state of the contract's word."""
        return cls(word.replace("-", "_"))
