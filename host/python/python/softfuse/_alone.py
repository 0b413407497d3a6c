"""A condition that is called by itself, outside of any breaker: for users whose own conditions are made of the built-in ones.

What holds is the component's to say here too. So a condition that is called keeps a breaker of its own, whose policy can
never trip, and reads from its status whether the condition holds.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Optional

from ._record import CallRecord

if TYPE_CHECKING:
    from ._conditions import BuiltinCondition
    from ._softfuse import Core, Registry

#: A lease would only be handed in again, since each record is followed by a status.
_LEASE_AFTER_NEVER = 65_535


class _Never:
    """A condition that never holds, so that what stands beside it in an ``all_of`` can't trip."""

    def __call__(self, record: CallRecord) -> bool:
        return False

    def reset(self) -> None:
        """There is nothing to forget."""


class _Shared:
    """The registry of all conditions that are called by themselves; each breaker leaves it at once, and lives on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registry: Optional[Registry] = None
        self._made = 0

    def breaker(self, condition: BuiltinCondition) -> Core:
        from ._conditions import HostConditions, all_of
        from ._softfuse import Registry

        hosts = HostConditions()
        text = f"trip_on = {all_of(condition, _Never())._toml(hosts)}\n"
        with self._lock:
            if self._registry is None:
                self._registry = Registry({"lease_after": _LEASE_AFTER_NEVER})
            self._made += 1
            name = f"alone-{self._made}"
            registry = self._registry
        core = registry.breaker(name, registry.policy(repr(condition), text), dict(hosts.by_name))
        registry.remove(name)
        return core


_SHARED = _Shared()


class Alone:
    """The breaker of a condition that is called by itself; made with the first record."""

    def __init__(self, condition: BuiltinCondition) -> None:
        self._condition = condition
        self._core: Optional[Core] = None

    def record(self, record: Any) -> bool:
        """Takes a record: whether the condition holds now."""
        if self._core is None:
            self._core = _SHARED.breaker(self._condition)
        kind = "success" if record.error is None else "error"
        latency_ns = max(round(record.latency_ms * 1e6), 0)
        self._core.before(None).record((kind, latency_ns, record.quality, False, None), None)
        return self._core.status(None).conditions[0].holds

    def reset(self) -> None:
        """Forgets all records."""
        self._core = None
