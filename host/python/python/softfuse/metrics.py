"""Prometheus metrics through ``prometheus_client``, under the names and labels that ml-breaker's users have in their dashboards.

Without that package, ``Registry.metrics_text`` gives all metrics, under this product's own names, as a page to be served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, Optional

from ._registry import METRICS_CONTENT_TYPE, Registry, default_registry

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

#: Ours, and theirs with what it says.
_NAMES = {
    "softfuse_state": ("ml_breaker_state", "Current state per breaker (0=CLOSED, 1=OPEN, 2=HALF_OPEN, 3 to 5: an operator's)"),
    "softfuse_trip": ("ml_breaker_trip", "Total number of trips per breaker"),
    "softfuse_call": ("ml_breaker_call", "Total calls, labeled by outcome (success/failure/neutral/rejected)"),
    "softfuse_quality_score": ("ml_breaker_quality_score", "Quality scores emitted via report_quality or score_fn"),
    "softfuse_latency_seconds": ("ml_breaker_latency_ms", "Call latency in milliseconds per breaker"),
}


class PrometheusMetrics:
    """Makes ``prometheus_client`` show a registry's breakers, those that are made later too."""

    _registered: list[tuple[int, Registry]] = []

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @classmethod
    def register(
        cls, registry: Optional[Registry] = None, prometheus: Optional[CollectorRegistry] = None
    ) -> None:
        """Registers the metrics of a registry (the default one) with ``prometheus_client``'s (its default one). Call it once at startup;
        a second time nothing happens. Raises ``ImportError`` where ``prometheus_client`` isn't installed."""
        try:
            from prometheus_client import REGISTRY
        except ImportError:
            raise ImportError(
                "prometheus_client is required for metrics; install it with: pip install softfuse[metrics]"
            ) from None
        home = default_registry() if registry is None else registry
        target = REGISTRY if prometheus is None else prometheus
        if any(known == id(target) and held is home for known, held in cls._registered):
            return
        # The hint is prometheus_client's own protocol: anything with `collect`.
        target.register(cls(home))
        cls._registered.append((id(target), home))

    def describe(self) -> list[Any]:
        """Nothing: so that registering asks no breaker."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics as of now."""
        from prometheus_client.core import Metric
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
        from prometheus_client.samples import Sample

        families = text_string_to_metric_families(self._registry.metrics_text())  # type: ignore[no-untyped-call]
        for family in families:
            if family.name not in _NAMES:
                continue
            name, help_text = _NAMES[family.name]
            scale = 1000.0 if name == "ml_breaker_latency_ms" else 1.0
            renamed = Metric(name, help_text, family.type)
            for sample in family.samples:
                labels = {"name" if key == "breaker" else key: value for key, value in sample.labels.items()}
                if scale != 1.0 and labels.get("le") not in (None, "+Inf"):
                    labels["le"] = repr(float(labels["le"]) * scale)
                value = sample.value * scale if sample.name.endswith("_sum") else sample.value
                renamed.samples.append(Sample(sample.name.replace(family.name, name, 1), labels, value))
            yield renamed


__all__ = ["METRICS_CONTENT_TYPE", "PrometheusMetrics"]
