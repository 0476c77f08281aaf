"""``report.json``: everything that was found, for tools and for the table of the command line."""

from slipway.artifacts.manifest import Dataset, Hardware, Source, ValidationReport
from slipway.wire import WireModel


class OptimizationReport(WireModel):
    """The whole story of one optimization.

    Attributes:
        picked: variant that is served; ``None`` after a refusal.
        conversion: figures of the comparison with the source's own predictions.
        notes: what was left out and why.
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
    seconds: dict[str, float]
