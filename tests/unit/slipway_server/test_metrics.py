from prometheus_client.parser import text_string_to_metric_families

from slipway.contract import LATENCY_BUCKETS_SECONDS, Outcome, ServerMetric
from slipway_server.metrics import ModelMetrics, render
from slipway_server.usage import Usage

NOTHING = Usage(cpu_seconds=0.0)


def samples(
    *metrics: ModelMetrics, usage: Usage = NOTHING
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(render(metrics, usage).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"model": "iris", **values}.items()))


def test_what_was_counted_is_rendered_under_the_contract_names() -> None:
    metrics = ModelMetrics("iris", queued=lambda: 3)
    metrics.in_flight, metrics.nonfinite = 2, 1
    metrics.startup["load"] = 0.25
    metrics.describe(revision="r1", variant="fp32", digest="sha256:0")
    metrics.observe("rest", 200, outcome=Outcome.SUCCESS, seconds=0.0015)
    metrics.observe("rest", 200, outcome=Outcome.SUCCESS, seconds=99.0)
    metrics.observe("grpc", "NOT_FOUND", outcome=Outcome.CLIENT_ERROR, seconds=0.001)
    found = samples(metrics)
    ok = {"door": "rest", "code": "200"}
    assert found[ServerMetric.REQUESTS, labels(**ok, outcome="success")] == 2
    missing = {"door": "grpc", "code": "NOT_FOUND", "outcome": "client_error"}
    assert found[ServerMetric.REQUESTS, labels(**missing)] == 1
    assert found[f"{ServerMetric.LATENCY}_count", labels(**ok)] == 2
    assert found[f"{ServerMetric.LATENCY}_sum", labels(**ok)] == 99.0015
    assert found[ServerMetric.NONFINITE, labels()] == 1
    assert found[ServerMetric.INFLIGHT, labels()] == 2
    assert found[ServerMetric.QUEUED, labels()] == 3
    info = labels(revision="r1", variant="fp32", digest="sha256:0")
    assert found[ServerMetric.INFO, info] == 1
    assert found[ServerMetric.STARTUP, labels(phase="load")] == 0.25


def test_buckets_are_cumulative_and_a_bound_belongs_to_its_bucket() -> None:
    metrics = ModelMetrics("iris", queued=lambda: 0)
    for seconds in (0.0005, 0.001, 0.0011, 11.0):
        metrics.observe("v1", 200, outcome=Outcome.SUCCESS, seconds=seconds)
    found = samples(metrics)

    def bucket(bound: str) -> float:
        return found[f"{ServerMetric.LATENCY}_bucket", labels(door="v1", code="200", le=bound)]

    assert [bucket(bound) for bound in ("0.0005", "0.001", "0.002")] == [1, 2, 3]
    assert [bucket(bound) for bound in ("10", "+Inf")] == [3, 4]
    bounds = [name for name, _ in found if name == f"{ServerMetric.LATENCY}_bucket"]
    assert len(bounds) == len(LATENCY_BUCKETS_SECONDS) + 1


def test_label_values_are_escaped() -> None:
    metrics = ModelMetrics('a"b\\c\nd', queued=lambda: 0)
    (sample,) = [key for key in samples(metrics) if key[0] == ServerMetric.QUEUED]
    assert dict(sample[1])["model"] == 'a"b\\c\nd'


def test_models_share_a_family_and_keep_their_own_numbers() -> None:
    first, second = ModelMetrics("a", queued=lambda: 1), ModelMetrics("b", queued=lambda: 2)
    first.observe("rest", 200, outcome=Outcome.SUCCESS, seconds=0.1)
    assert (
        render((first, second), NOTHING).decode().count(f"# TYPE {ServerMetric.QUEUED} gauge") == 1
    )
    found = samples(first, second)
    assert found[ServerMetric.QUEUED, (("model", "a"),)] == 1
    assert found[ServerMetric.QUEUED, (("model", "b"),)] == 2
    assert {dict(key[1])["model"] for key in found if key[0] == ServerMetric.REQUESTS} == {"a"}


def test_queue_runs_and_rows_are_histograms_of_the_model() -> None:
    metrics = ModelMetrics("iris", queued=lambda: 0)
    metrics.runs.queue.add(0.0)
    metrics.runs.seconds.add(0.00005)
    for rows in (1, 8, 300):
        metrics.runs.rows.add(rows)
    found = samples(metrics)
    assert found[f"{ServerMetric.QUEUE}_bucket", labels(le="5e-05")] == 1
    assert found[f"{ServerMetric.RUN}_bucket", labels(le="5e-05")] == 1
    assert found[f"{ServerMetric.RUN}_sum", labels()] == 0.00005
    rows_by = [found[f"{ServerMetric.ROWS}_bucket", labels(le=le)] for le in ("1", "4", "8", "256")]
    assert rows_by == [1, 1, 2, 2]
    assert found[f"{ServerMetric.ROWS}_count", labels()] == 3


def test_what_the_machine_does_not_say_is_left_out() -> None:
    usage = Usage(cpu_seconds=2.5, resident=1 << 30, throttled_seconds=0.25)
    found = {name: value for (name, _), value in samples(usage=usage).items()}
    assert found == {
        ServerMetric.CPU: 2.5,
        ServerMetric.RESIDENT: 1 << 30,
        ServerMetric.THROTTLED: 0.25,
    }


def test_every_metric_of_the_contract_is_rendered() -> None:
    metrics = ModelMetrics("iris", queued=lambda: 0)
    usage = Usage(1.0, 2, 3, 4, 5.0, 6, 7, 8.0)
    text = render((metrics,), usage).decode()
    assert [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")] == [
        str(metric) for metric in ServerMetric
    ]
