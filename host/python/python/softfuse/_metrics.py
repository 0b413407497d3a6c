"""ml-breaker's other path to ``PrometheusMetrics``."""

from .metrics import PrometheusMetrics

__all__ = ["PrometheusMetrics"]
