"""A circuit breaker for ML and LLM services that trips on bad *answers*, not only on errors and latency.

    from softfuse import circuit_breaker, quality_below, report_quality

    @circuit_breaker(trip_on=quality_below(0.7, window=20), fallback="(cached answer)")
    def ask(prompt):
        answer = model(prompt)
        report_quality(answer.confidence)
        return answer.text

The logic is one WebAssembly component, the same for every host in every language.
"""

from __future__ import annotations

import atexit as _atexit

from ._breaker import BreakerName, CircuitBreaker, Permit
from ._bulkhead import Bulkhead, BulkheadCounts
from ._conditions import (
    all_of,
    any_of,
    consecutive_failures,
    error_rate_above,
    latency_above,
    quality_below,
    slow_call_rate_above,
)
from ._decorator import circuit_breaker
from ._errors import (
    BulkheadError,
    BulkheadFull,
    BulkheadTimeout,
    CallFailed,
    CircuitBreakerOpen,
    ComponentFailed,
    InvalidScore,
    LoadError,
    NoProvider,
    PermitSettled,
    PolicyDiffers,
    PolicyError,
    PolicyProblem,
    RegistryError,
    ScorerError,
    SoftfuseError,
    StreamError,
)
from ._policy import Adaptive, Policy, policy_text
from ._providers import Providers
from ._record import CallRecord, Condition
from ._registry import METRICS_CONTENT_TYPE, Health, Keyed, ManualClock, Registry, default_registry
from ._scorer import Exchange, Score, Scorer
from ._softfuse import LateScores, Reporter, __version__, call_reporter, leave_interpreter, report_quality
from ._states import State
from ._types import (
    Cause,
    CircuitStatus,
    Failure,
    Outcome,
    Reading,
    Settled,
    StateChange,
    Totals,
    Transition,
    Trip,
    TripReport,
)

# Daemon threads may be in the extension when the interpreter ends.
_atexit.register(leave_interpreter)

__all__ = [
    "METRICS_CONTENT_TYPE",
    "Adaptive",
    "BreakerName",
    "Bulkhead",
    "BulkheadCounts",
    "BulkheadError",
    "BulkheadFull",
    "BulkheadTimeout",
    "CallFailed",
    "CallRecord",
    "Cause",
    "CircuitBreaker",
    "CircuitBreakerOpen",
    "CircuitStatus",
    "ComponentFailed",
    "Condition",
    "Exchange",
    "Failure",
    "Health",
    "InvalidScore",
    "Keyed",
    "LateScores",
    "LoadError",
    "ManualClock",
    "NoProvider",
    "Outcome",
    "Permit",
    "PermitSettled",
    "Policy",
    "PolicyDiffers",
    "PolicyError",
    "PolicyProblem",
    "Providers",
    "Reading",
    "Registry",
    "RegistryError",
    "Reporter",
    "Score",
    "Scorer",
    "ScorerError",
    "Settled",
    "SoftfuseError",
    "State",
    "StateChange",
    "StreamError",
    "Totals",
    "Transition",
    "Trip",
    "TripReport",
    "__version__",
    "all_of",
    "any_of",
    "call_reporter",
    "circuit_breaker",
    "consecutive_failures",
    "default_registry",
    "error_rate_above",
    "latency_above",
    "policy_text",
    "quality_below",
    "report_quality",
    "slow_call_rate_above",
]
