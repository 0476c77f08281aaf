"""What a file is, as plain facts. Reads bytes only: no framework, no unpickling, no inference."""

from dataclasses import dataclass
from pathlib import Path

from slipway.api.v1alpha1.model import ModelFormatName
from slipway_optimizer.convert.kinds import FORMAT_OF, NEEDS_LOADER, RUNS_CODE, Kind, sniff
from slipway_optimizer.failures import Refused
from slipway_optimizer.inspect import frameworks, onnx_facts
from slipway_optimizer.inspect.details import Details


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is told of a file.

    Attributes:
        format: ``spec.model.modelFormat.name``; ``None`` for what is no known model.
        calls: what a pickle in it names and may call.
    """

    path: Path
    kind: Kind
    format: ModelFormatName | None
    size_bytes: int
    details: Details
    calls: tuple[str, ...] = ()

    @property
    def runs_code(self) -> bool:
        """Whether opening it runs code of its own."""
        return self.kind in RUNS_CODE or self.details.runs_code

    @property
    def needs_loader(self) -> bool:
        """Whether it holds weights without a model."""
        return self.kind in NEEDS_LOADER


def inspect(path: Path) -> Facts:
    """Look at a file or folder.

    Raises:
        OSError: it cannot be read.
    """
    found = sniff(path)
    size = (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if path.is_dir()
        else path.stat().st_size
    )
    try:
        if found.kind is Kind.ONNX:
            details = onnx_facts.details(found.path)
        else:
            details = frameworks.details(found)
    except Refused as error:
        details = Details(refusal=str(error))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        details = Details(notes=(f"its inside is not readable ({type(error).__name__})",))
    return Facts(path, found.kind, FORMAT_OF.get(found.kind), size, details, found.globals)
