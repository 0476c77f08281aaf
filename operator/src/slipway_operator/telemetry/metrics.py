"""The operator's own metrics: the one owner of prometheus_client here."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class OperatorMetrics:
    """Collectors on a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._reconciles = Counter(
            "slipway_operator_reconcile_total",
            "Reconciles by result: ok (wrote), noop, conflict, gone, invalid, transient, bug.",
            ["result"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "slipway_operator_reconcile_seconds",
            "Wall time of one reconcile.",
            registry=self._registry,
        )
        self._writes = Counter(
            "slipway_operator_api_writes_total",
            "Writes sent to the API server.",
            ["verb", "kind"],
            registry=self._registry,
        )
        self._gauges = {
            name: Gauge(f"slipway_operator_{name}", text, registry=self._registry)
            for name, text in (
                ("leader", "1 while this process holds the lease."),
                ("queue_depth", "Resources waiting, those waiting for a time included."),
                ("queue_oldest_seconds", "How long the oldest due resource has waited."),
                ("watch_silent_seconds", "Silence of the quietest watch."),
                ("resources", "ModelDeployments known."),
                ("loop_lag_seconds", "How late the event loop was at its last beat."),
            )
        }

    def reconciled(self, result: str) -> None:
        """Count one reconcile."""
        self._reconciles.labels(result).inc()

    def took(self, seconds: float) -> None:
        """Observe its wall time."""
        self._seconds.observe(seconds)

    def wrote(self, verb: str, kind: str) -> None:
        """Count one write."""
        self._writes.labels(verb, kind).inc()

    def set(self, name: str, value: float) -> None:
        """Set a gauge."""
        self._gauges[name].set(value)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)
