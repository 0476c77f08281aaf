"""``report.json``: everything that was found, for tools and for the table of the command line."""

from pydantic import Field

from slipway.artifacts.manifest import Dataset, Hardware, Source, ValidationReport
from slipway.wire import WireModel
from slipway_optimizer.knee import Capacity, LoadPoint
from slipway_optimizer.stability import Check
from slipway_optimizer.workdir import NodeSensitivity, StoredTensor


class GroupFigures(WireModel):
    """Rows of one class or slice, with the mean score of fp32 and of the variant."""

    name: str
    rows: int
    baseline: float
    candidate: float


class VariantFigures(WireModel):
    """What was measured of one variant beyond the candidates' table; ``None`` is *not measured*.

    Attributes:
        scores: label metric -> value.
        agreement: share of answers equal to fp32's; ``cosine`` is the mean of rows with fp32's.
        throughput: rows a second with as many rows at once as it takes, up to 8.
        memory_bytes: resident, of the loaded model. ``load_ms``: from file to session.
        samples_ms: single runs, in order.
        classes, slices: the largest losses first.
        tensors: what its recipe did to the weights.
    """

    name: str
    scores: dict[str, float] = Field(default_factory=dict)
    agreement: float | None = None
    cosine: float | None = None
    p99_ms: float | None = None
    throughput: float | None = None
    cost_per_1000: float | None = None
    memory_bytes: int | None = None
    load_ms: float | None = None
    gzip_bytes: int | None = None
    samples_ms: tuple[float, ...] = ()
    classes: tuple[GroupFigures, ...] = ()
    slices: tuple[GroupFigures, ...] = ()
    tensors: tuple[StoredTensor, ...] = ()


class OptimizationReport(WireModel):
    """The whole story of one optimization.

    Attributes:
        picked: variant that is served; ``None`` after a refusal.
        conversion: figures of the comparison with the source's own predictions.
        notes: what was left out and why.
        figures: of every variant, fp32 first.
        sensitivity: what each node alone costs when it is quantised, the worst first.
        checks, load, capacity, by_threads: of the pick: its stability, a load test with its knee,
            and rows a second by number of threads.
        seconds: by step, as far as they had run.
    """

    input_key: str
    picked: str | None
    source: Source
    dataset: Dataset | None
    hardware: Hardware
    toolchain: dict[str, str]
    options: dict[str, object]
    conversion: dict[str, float | int | str]
    notes: tuple[str, ...]
    validation: ValidationReport
    figures: tuple[VariantFigures, ...] = ()
    sensitivity: tuple[NodeSensitivity, ...] = ()
    checks: tuple[Check, ...] = ()
    load: tuple[LoadPoint, ...] = ()
    capacity: Capacity | None = None
    by_threads: dict[str, float] = Field(default_factory=dict)
    seconds: dict[str, float]
