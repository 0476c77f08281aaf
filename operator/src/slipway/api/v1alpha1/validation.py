"""``spec.validation``: the data and the gates that judge a model before any traffic."""

from enum import StrEnum

from pydantic import Field

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.base import (
    ApiModel,
    Decimal,
    FileUri,
    Name,
    Rule,
    RuledModel,
    Text,
)
from slipway.api.v1alpha1.model import Storage


class Task(StrEnum):
    """What the labels mean."""

    CLASSIFICATION = "Classification"
    REGRESSION = "Regression"
    NONE = "None"


class GateMetric(StrEnum):
    """What a gate can bound."""

    ACCURACY = "accuracy"
    PRECISION = "precision"
    RECALL = "recall"
    F1 = "f1"
    AUC = "auc"
    TOP5_ACCURACY = "top5_accuracy"
    MEAN_ABSOLUTE_ERROR = "mean_absolute_error"
    ROOT_MEAN_SQUARED_ERROR = "root_mean_squared_error"
    R2 = "r2"
    SQNR_DB = "sqnr_db"
    COSINE = "cosine"
    AGREEMENT = "agreement"
    LATENCY_P95_MS = "latency_p95_ms"
    LATENCY_RATIO = "latency_ratio"
    THROUGHPUT = "throughput"
    COST_PER_1000 = "cost_per_1000"
    MEMORY_BYTES = "memory_bytes"
    LOAD_MS = "load_ms"
    SIZE_BYTES = "size_bytes"


CLASSIFICATION_METRICS = (
    GateMetric.ACCURACY,
    GateMetric.PRECISION,
    GateMetric.RECALL,
    GateMetric.F1,
    GateMetric.AUC,
    GateMetric.TOP5_ACCURACY,
)
REGRESSION_METRICS = (
    GateMetric.MEAN_ABSOLUTE_ERROR,
    GateMetric.ROOT_MEAN_SQUARED_ERROR,
    GateMetric.R2,
)
LABEL_METRICS = CLASSIFICATION_METRICS + REGRESSION_METRICS


class ValidationDataset(RuledModel):
    """An ``.npz``: one array per model input under the input's name, and the labels."""

    storage_uri: FileUri = Field(
        description="The .npz file: s3://bucket/key, or file:///path in local mode."
    )
    storage: Storage | None = Field(default=None, description="How to read storageUri.")
    calibration_fraction: Decimal = Field(
        default="0.2",
        description="Share of rows that calibrate static quantisation; they never judge.",
    )
    rules = (
        Rule(
            cel="!has(self.calibrationFraction) || (double(self.calibrationFraction) > 0.0 "
            "&& double(self.calibrationFraction) < 1.0)",
            message="calibrationFraction is {calibrationFraction}: use more than 0 and less than 1",
            check=lambda d: 0 < parse_decimal(d.calibration_fraction) < 1,
        ),
    )


class Reference(StrEnum):
    """What ``maxDegradation`` compares with."""

    SOURCE = "Source"
    STABLE = "Stable"


class Gate(RuledModel):
    """A bound that the model must keep, or it never gets a pod."""

    name: Name = Field(description="Shown where the gate is reported.")
    metric: GateMetric = Field(description="What it bounds.")
    min: Decimal | None = Field(default=None, description="Least acceptable value.")
    max: Decimal | None = Field(default=None, description="Greatest acceptable value.")
    max_degradation: Decimal | None = Field(
        default=None,
        description="How much worse than the converted source it may be, in the metric's unit "
        "(0.005 of accuracy = half a percentage point).",
    )
    against: Reference = Field(
        default=Reference.SOURCE,
        description="What maxDegradation compares with: the converted Source, or what the Stable "
        "revision serves, on the same rows. While there is no stable revision: Source.",
    )
    rules = (
        Rule(
            cel="!has(self.against) || self.against == 'Source' || has(self.maxDegradation)",
            message="gate {name} is against {against}, which is what maxDegradation compares with: "
            "set maxDegradation",
            check=lambda g: g.against is Reference.SOURCE or g.max_degradation is not None,
        ),
        Rule(
            cel="has(self.min) || has(self.max) || has(self.maxDegradation)",
            message="gate {name} bounds nothing: set min, max or maxDegradation",
            check=lambda g: any(b is not None for b in (g.min, g.max, g.max_degradation)),
        ),
        Rule(
            cel="!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
            message="gate {name} can never pass: min {min} is above max {max}",
            check=lambda g: (
                g.min is None or g.max is None or parse_decimal(g.min) <= parse_decimal(g.max)
            ),
        ),
    )


class Prices(ApiModel):
    """What serving costs an hour, in any one currency."""

    cpu_hour: Decimal = Field(description="Of one CPU.")
    memory_gib_hour: Decimal = Field(default="0", description="Of one GiB of memory.")


def _labels_are_there(validation: "Validation") -> bool:
    needs = any(gate.metric in LABEL_METRICS for gate in validation.gates)
    return not needs or validation.dataset is not None


def _no_gate(validation: "Validation", metric: GateMetric) -> bool:
    return all(gate.metric is not metric for gate in validation.gates)


class Validation(RuledModel):
    """Judged on every revision, the first included. Without a data set: closeness to the source."""

    dataset: ValidationDataset | None = Field(
        default=None,
        description="Without it, outputs are compared with the source's on generated "
        "feeds and the verdict says NumericOnly.",
    )
    task: Task = Field(default=Task.CLASSIFICATION, description="What the labels mean.")
    output: Text | None = Field(
        default=None,
        description="Output that is judged; absent means the first floating-point one.",
    )
    labels: Text = Field(default="labels", description="Array of the data set with the labels.")
    slices: Text | None = Field(
        default=None,
        description="Array of the data set with the name of each row's slice; absent: no slices.",
    )
    prices: Prices | None = Field(
        default=None, description="For cost_per_1000 and objective MinCost."
    )
    gates: tuple[Gate, ...] = Field(
        default=(), max_length=16, description="All must pass. Absent: accuracy may fall by 0.01."
    )
    list_map_keys = {"gates": "name"}  # noqa: RUF012 - a ClassVar of the base
    rules = (
        Rule(
            cel="!has(self.gates) || has(self.dataset) || self.gates.all(g, "
            f"!(g.metric in {[str(m) for m in LABEL_METRICS]}))",
            message="gates on what labels tell (accuracy, f1, mean_absolute_error and the like) "
            "need validation.dataset with labels",
            check=_labels_are_there,
        ),
        Rule(
            cel="!has(self.gates) || has(self.prices) || self.gates.all(g, "
            "g.metric != 'cost_per_1000')",
            message="a gate on cost_per_1000 needs validation.prices",
            check=lambda v: v.prices is not None or _no_gate(v, GateMetric.COST_PER_1000),
        ),
    )
