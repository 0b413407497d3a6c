"""Spans of time: users give seconds or ``timedelta``, the contract has nanoseconds."""

from __future__ import annotations

import datetime
import math
from typing import Any, Optional, Union

#: Seconds, or a ``timedelta``.
Span = Union[int, float, datetime.timedelta]

#: The longest that the contract tells apart.
NANOS_MAX = 2**63 - 1


def nanos(span: Any, what: str) -> int:
    """A span as whole nanoseconds, the nearest. ``what`` names it in errors.

    Raises ``TypeError`` for what is no number, and ``ValueError`` for a negative one and NaN.
    """
    if isinstance(span, datetime.timedelta):
        count = (span.days * 86_400 + span.seconds) * 1_000_000_000 + span.microseconds * 1_000
    elif isinstance(span, bool) or not hasattr(span, "__round__"):
        raise TypeError(f"{what} must be a number of seconds or a timedelta, not {type(span).__name__}")
    elif isinstance(span, float) and not math.isfinite(span):
        if not span > 0:
            raise ValueError(f"{what} must be 0 or more, got {span}")
        return NANOS_MAX
    else:
        count = round(span * 1_000_000_000)
    if count < 0:
        raise ValueError(f"{what} must be 0 or more, got {span}")
    return min(count, NANOS_MAX)


def optional_nanos(span: Any, what: str) -> Optional[int]:
    """The same, of a span that need not be there."""
    return None if span is None else nanos(span, what)
