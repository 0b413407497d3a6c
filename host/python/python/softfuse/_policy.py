"""Policies: from a file, from text, or built from conditions. The component reads them all, with the same messages."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence, Union

from ._conditions import HostConditions, table, toml, value
from ._record import Condition
from ._spans import Span, nanos

#: A span as a policy has it: seconds, a ``timedelta``, or text such as ``"1m30s"``.
PolicySpan = Union[Span, str]


@dataclass(frozen=True)
class Adaptive:
    """A tier of stricter settings under load: it applies while more calls a minute are settled than this."""

    calls_per_minute_above: int
    consecutive_failures: Optional[int] = None
    half_open_after: Optional[PolicySpan] = None


@dataclass(frozen=True)
class Policy:
    """A policy's text, with the conditions of one's own that it names. Registries compile it."""

    text: str
    #: What stands in messages for where it comes from.
    source_name: str
    #: Conditions by the names that the text has for them (``host_condition = "name"``).
    conditions: Mapping[str, Condition]

    @classmethod
    def from_text(
        cls, text: str, *, source_name: str = "policy", conditions: Optional[Mapping[str, Condition]] = None
    ) -> Policy:
        """A policy in TOML."""
        return cls(text, source_name, dict(conditions or {}))

    @classmethod
    def from_file(
        cls, path: Union[str, os.PathLike[str]], *, conditions: Optional[Mapping[str, Condition]] = None
    ) -> Policy:
        """A policy in a file. Raises ``OSError`` where it can't be read, and ``ValueError`` where it isn't UTF-8."""
        with open(path, encoding="utf-8", newline="") as file:
            # One byte more than there may be, so that the component says what is too long.
            return cls(file.read(_BYTES_MAX + 1), os.fspath(path), dict(conditions or {}))

    @classmethod
    def of(cls, trip_on: Condition, *, source_name: str = "policy", **settings: Any) -> Policy:
        """A policy of conditions; the settings are those of ``policy_text``."""
        hosts = HostConditions()
        return cls(_text(trip_on, hosts, settings), source_name, hosts.by_name)


#: The longest text that the component takes.
_BYTES_MAX = 256 * 1024

#: Settings that are spans.
_SPANS = ("half_open_after", "probe_timeout", "retry_after_max")
#: Settings that are other plain values.
_PLAIN = ("half_open_max_calls", "recovery_threshold", "require_quality_signal", "missing_score", "seed")
#: What ``circuit_breaker`` and ``Policy.of`` take, besides ``trip_on``.
SETTINGS = (*_SPANS, *_PLAIN, "backoff", "adaptive")


def _span(given: PolicySpan, what: str) -> str:
    return value(given) if isinstance(given, str) else f'"{nanos(given, what)}ns"'


def _text(trip_on: Condition, hosts: HostConditions, settings: Mapping[str, Any]) -> str:
    lines = []
    for name, given in settings.items():
        if given is None:
            continue
        if name in _SPANS:
            lines.append(f"{name} = {_span(given, name)}")
        elif name in _PLAIN:
            lines.append(f"{name} = {value(given)}")
        elif name == "backoff":
            keys = {key: _keep(key, item) for key, item in dict(given).items()}
            lines.append(f"backoff = {table(keys)}")
        elif name == "adaptive":
            lines.append(f"adaptive = [{', '.join(_tier(tier) for tier in given)}]")
        else:
            raise TypeError(f"there is no setting {name!r} of a policy; there are {', '.join(SETTINGS)}")
    lines.append(f"trip_on = {toml(trip_on, hosts)}")
    return "\n".join(lines) + "\n"


def _keep(key: str, item: Any) -> Any:
    return f"{nanos(item, key)}ns" if key == "max" and not isinstance(item, str) else item


def _tier(tier: Adaptive) -> str:
    after = tier.half_open_after
    keys = {
        "calls_per_minute_above": tier.calls_per_minute_above,
        "consecutive_failures": tier.consecutive_failures,
        "half_open_after": after if after is None or isinstance(after, str) else f"{nanos(after, 'half_open_after')}ns",
    }
    return table(keys)


def policy_text(trip_on: Condition, **settings: Any) -> str:
    """The text of a policy that is built from conditions: to be looked at, or kept in a file.

    The settings, each with the component's default where it isn't given: ``half_open_after``, ``half_open_max_calls``,
    ``recovery_threshold``, ``probe_timeout``, ``retry_after_max``, ``require_quality_signal``, ``missing_score``, ``seed``, ``backoff``
    (a dictionary of ``multiplier``, ``max`` and ``jitter``) and ``adaptive`` (a sequence of ``Adaptive``).
    """
    return _text(trip_on, HostConditions(), settings)


__all__: Sequence[str] = ["Adaptive", "Policy", "PolicySpan", "policy_text"]
