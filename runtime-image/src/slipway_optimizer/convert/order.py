"""What a converter is asked for, and what it found out."""

from dataclasses import dataclass
from pathlib import Path

from slipway.api.v1alpha1.model import ModelFormatName, ModelInput
from slipway.wire import WireModel
from slipway_optimizer.convert.loader import Code


class ConvertOrder(WireModel):
    """One conversion; crosses to the child process.

    Attributes:
        source: a file or a folder, under a name that means nothing.
        dataset: ``.npz`` with rows to compare on, if there is one.
        loader: a Python file whose ``loader_function`` makes the model.
        keep_half: whether FP16 stays, since processors that compute it will serve.
    """

    model_format: ModelFormatName
    source: Path
    target: Path
    dataset: Path | None = None
    inputs: tuple[ModelInput, ...] = ()
    loader: Path | None = None
    loader_function: str = "load"
    allow_pickle: bool = False
    keep_half: bool = False

    @property
    def code(self) -> Code | None:
        """The loader, if there is one."""
        return None if self.loader is None else Code(self.loader, self.loader_function)


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion learnt.

    Attributes:
        figures: of the comparison with the source.
        classes: label of each index of the scores, where it is not 0..k-1.
        output: the output that answers as the source does, if that is known.
        notes: what was changed, for people.
    """

    figures: dict[str, float | int | str]
    classes: tuple[int | str, ...] | None = None
    output: str | None = None
    notes: tuple[str, ...] = ()
