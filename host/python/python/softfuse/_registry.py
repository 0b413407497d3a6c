"""Registries: breakers by name, with a clock, events and metrics of their own."""

from __future__ import annotations

import functools
import json
import logging
import os
import threading
from typing import Any, Callable, Mapping, Optional, Union

from ._breaker import CircuitBreaker
from ._bridge import LOG, problem
from ._policy import Policy
from ._record import Condition
from ._softfuse import Clock, Core, Family
from ._softfuse import Registry as CoreRegistry
from ._spans import Span, nanos, optional_nanos
from ._states import State
from ._types import SECOND_NS, StateChange

#: What is taken for a policy: one, a file's path, or a condition.
AnyPolicy = Union[Policy, str, "os.PathLike[str]", Condition]


class ManualClock:
    """A clock that is set by hand, for tests and replay. In nanoseconds; ``advance`` takes seconds."""

    def __init__(self, now_ns: int = 0) -> None:
        self._clock = Clock(now_ns)

    @property
    def now_ns(self) -> int:
        """Now."""
        return self._clock.now_ns()

    @now_ns.setter
    def now_ns(self, now_ns: int) -> None:
        self._clock.set_ns(now_ns)

    def advance(self, span: Span) -> None:
        """Moves it on by so many seconds."""
        self._clock.set_ns(self._clock.now_ns() + nanos(span, "span"))


class Health:
    """A registry's health at a moment: healthy while fewer than half of its circuits would refuse a call now."""

    def __init__(self, status_code: int, summary: str, page: str) -> None:
        #: 200 where it is healthy, else 503.
        self.status_code = status_code
        #: As in ``3/4 circuits healthy``.
        self.summary = summary
        self._page = page

    @property
    def is_healthy(self) -> bool:
        """Whether it is."""
        return self.status_code == 200

    def to_json(self) -> str:
        """The page: each circuit's state and failure rate."""
        return self._page

    def to_dict(self) -> dict[str, Any]:
        """The page as data."""
        page: dict[str, Any] = json.loads(self._page)
        return page

    def __repr__(self) -> str:
        return f"Health({self.status_code}, {self.summary!r})"


class Registry:
    """Makes breakers and keeps them by name.

    ``clock``: a ``ManualClock``; default: the system's monotonic clock. ``lease_after``: after how many calls a breaker is
    busy enough for a buffer (default 16; 65,535: never). ``fail_closed``: refuse calls where the breaker component fails,
    instead of letting them pass unguarded. ``salt`` seeds the jitter, so that replicas differ. ``component_file``: another
    breaker component than the one in this package; ``component_deadline``: how long it may take for one call (2 s, from 10 ms
    to 5 s); ``component_memory_bytes_max``: what one instance of it may have (256 MiB). ``cache_dir``: where compiled code is kept, ``None`` for nowhere.
    """

    def __init__(
        self,
        *,
        clock: Optional[ManualClock] = None,
        salt: Optional[int] = None,
        fail_closed: bool = False,
        snapshot_every: Optional[int] = None,
        snapshot_interval: Optional[Span] = None,
        lease_after: Optional[int] = None,
        event_capacity: Optional[int] = None,
        component_instances: Optional[int] = None,
        component_file: Optional[Union[str, os.PathLike[str]]] = None,
        component_deadline: Optional[Span] = None,
        component_memory_bytes_max: Optional[int] = None,
        cache_dir: Union[str, os.PathLike[str], None] = "",
    ) -> None:
        settings: dict[str, Any] = {
            "clock": None if clock is None else clock._clock,
            "salt": salt,
            "snapshot_every": snapshot_every,
            "snapshot_interval_ns": None if snapshot_interval is None else nanos(snapshot_interval, "snapshot_interval"),
            "lease_after": lease_after,
            "event_capacity": event_capacity,
            "component_instances": component_instances,
            "component_file": component_file,
            "component_deadline_ns": optional_nanos(component_deadline, "component_deadline"),
            "component_memory_bytes_max": component_memory_bytes_max,
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        settings["fail_closed"] = fail_closed
        if cache_dir != "":
            settings["cache_dir"] = cache_dir
        self._core = CoreRegistry(settings)
        self._breakers: dict[str, CircuitBreaker] = {}
        self._families: dict[str, Keyed] = {}
        self._callbacks: list[Callable[[StateChange], Any]] = []
        self._core.on_event(self._state_changed, self._other_event)

    @property
    def now_ns(self) -> int:
        """Its clock, now."""
        return self._core.now_ns()

    def breaker(self, name: str, policy: AnyPolicy, **settings: Any) -> CircuitBreaker:
        """The breaker of this name: the one that exists, or a new one.

        ``policy`` is a ``Policy``, a file's path, or a condition, with the settings of ``policy_text`` then. Raises
        ``PolicyError`` for a bad policy, and ``PolicyDiffers`` where the breaker exists with a policy of another meaning.
        """
        made = policy_of(policy, f"breaker '{name}'", settings)
        core = self._core.breaker(name, self._compiled(made), dict(made.conditions))
        return self._keep(name, core)

    def restore(
        self,
        name: str,
        policy: AnyPolicy,
        snapshot: bytes,
        *,
        away: Span = 0,
        now_ns: Optional[int] = None,
        **settings: Any,
    ) -> CircuitBreaker:
        """Makes a breaker from the snapshot of one, of another process perhaps. ``away`` is the time since it was taken, by the
        wall clock, in seconds."""
        made = policy_of(policy, f"breaker '{name}'", settings)
        away_ns = nanos(away, "away")
        conditions = dict(made.conditions)
        core = self._core.restore(name, self._compiled(made), conditions, bytes(snapshot), away_ns, now_ns)
        return self._keep(name, core)

    def _keep(self, name: str, core: Core) -> CircuitBreaker:
        # One statement, so that threads that ask for one name get one breaker.
        return self._breakers.setdefault(name, CircuitBreaker(core, self))

    def _compiled(self, policy: Policy) -> Any:
        return self._core.policy(policy.source_name, policy.text)

    def keyed(
        self,
        name: str,
        policy: AnyPolicy,
        *,
        live_max: Optional[int] = None,
        lent_max: Optional[int] = None,
        retired_max: Optional[int] = None,
        retired_bytes_max: Optional[int] = None,
        conditions: Optional[Callable[[str], Mapping[str, Condition]]] = None,
        **settings: Any,
    ) -> Keyed:
        """A family: one breaker per key, a tenant perhaps, all with one policy. It is bounded: of ``live_max`` (10,000) at work
        one that wasn't called for long retires to a snapshot, ``retired_max`` (100,000) of which are remembered.

        ``conditions`` makes a key's own conditions, where the policy names some.
        """
        made = policy_of(policy, f"family '{name}'", settings)
        if made.conditions and conditions is None:
            raise ValueError(
                f"family '{name}': the policy has conditions of its own, which keep records, so each key needs its own: hand in conditions=, which makes them"
            )
        make = None if conditions is None else functools.partial(_made, conditions)
        family = self._core.keyed(name, self._compiled(made), make, live_max, lent_max, retired_max, retired_bytes_max)
        return self._families.setdefault(name, Keyed(family, name, self))

    def get(self, name: str) -> CircuitBreaker:
        """The breaker of this name. Raises ``KeyError`` where there is none."""
        try:
            return self._breakers[name]
        except KeyError:
            raise KeyError(f"no circuit breaker named '{name}'; there are {sorted(self._breakers)}") from None

    def all(self) -> dict[str, CircuitBreaker]:
        """Every named breaker, by name."""
        return dict(self._breakers)

    def remove(self, name: str) -> bool:
        """Forgets a breaker or a family; the name is free. Whether there was one. Who holds it goes on using it."""
        self._breakers.pop(name, None)
        self._families.pop(name, None)
        return self._core.remove(name)

    def reset_all(self) -> None:
        """Resets every named breaker."""
        for breaker in self.all().values():
            breaker.reset()

    def health(self) -> Health:
        """How many circuits would admit a call now, for a load balancer."""
        return Health(*self._core.health())

    def metrics_text(self) -> str:
        """All metrics in the OpenMetrics text format (``METRICS_CONTENT_TYPE``)."""
        return self._core.metrics_text()

    def on_event(self, callback: Callable[[StateChange], Any]) -> Callable[[StateChange], Any]:
        """Calls ``callback`` with every change of state of every breaker, keyed ones too, one at a time and with no lock held.
        What it raises is logged."""
        self._callbacks.append(callback)
        return callback

    def _state_changed(self, change: StateChange) -> None:
        level = logging.WARNING if change.new is State.OPEN or change.kind == "would-have-tripped" else logging.INFO
        LOG.log(level, "circuit '%s': %s -> %s: %s", change.breaker, change.old, change.new, change.reason)
        breaker = self._breakers.get(change.breaker)
        if breaker is not None:
            breaker._changed(change)
        else:
            for name, family in tuple(self._families.items()):
                if change.breaker == name or change.breaker.startswith(f"{name}/"):
                    family._changed(change)
        for callback in tuple(self._callbacks):
            try:
                callback(change)
            except Exception as raised:
                problem("an event callback", raised)

    def _other_event(self, name: str, kind: str, text: str) -> None:
        LOG.warning("circuit '%s': %s: %s", name, kind, text)

    def __repr__(self) -> str:
        return f"Registry({len(self._breakers)} breakers)"


class Keyed:
    """A family of breakers: one policy, a breaker per key."""

    def __init__(self, family: Family, name: str, registry: Registry) -> None:
        self._family = family
        self._registry = registry
        self._callbacks: list[Callable[..., Any]] = []
        #: Its name, which its breakers share in metrics.
        self.name = name

    def get(self, key: str) -> CircuitBreaker:
        """The breaker of this key. Whoever holds it keeps it from retiring, so ask anew for each call."""
        return CircuitBreaker(self._family.get(key), self._registry)

    @property
    def overflow(self) -> CircuitBreaker:
        """The breaker that serves every key for which there is no room."""
        return CircuitBreaker(self._family.overflow(), self._registry)

    @property
    def live(self) -> int:
        """Breakers at work."""
        return self._family.live()

    @property
    def retired(self) -> int:
        """Breakers that retired and are remembered."""
        return self._family.retired()

    def on_state_change(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Calls ``callback(name, old, new)`` with every change of state of a key's breaker, named ``family/key``."""
        if callback not in self._callbacks:
            self._callbacks.append(callback)
        return callback

    def _changed(self, change: StateChange) -> None:
        from ._breaker import BreakerName

        for callback in tuple(self._callbacks):
            try:
                callback(BreakerName.of(change), change.old, change.new)
            except Exception as raised:
                problem("on_state_change", raised)

    def __repr__(self) -> str:
        return f"Keyed({self.name!r}, live={self.live}, retired={self.retired})"


def _made(conditions: Callable[[str], Mapping[str, Condition]], key: str) -> dict[str, Condition]:
    return dict(conditions(key))


def policy_of(policy: AnyPolicy, source_name: str, settings: Mapping[str, Any]) -> Policy:
    """What was handed in as a policy."""
    if isinstance(policy, (str, os.PathLike)):
        policy = Policy.from_file(policy)
    if not isinstance(policy, Policy):
        return Policy.of(policy, source_name=source_name, **settings)
    given = sorted(name for name, value in settings.items() if value is not None)
    if given:
        raise TypeError(f"{', '.join(given)}: a policy that is given whole says that itself")
    return policy


_LOCK = threading.Lock()
_default: Optional[Registry] = None


def default_registry() -> Registry:
    """The registry that ``circuit_breaker`` uses where none is named; made when it is first wanted."""
    global _default
    if _default is None:
        with _LOCK:
            if _default is None:
                _default = Registry()
    return _default


#: The content type of ``Registry.metrics_text``.
METRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
__all__ = ["Health", "Keyed", "METRICS_CONTENT_TYPE", "ManualClock", "Registry", "default_registry", "SECOND_NS"]
