"""The folder that the steps share, and the records that they leave each other in it.

``build`` and ``validate`` run what users upload; ``publish`` holds credentials and reads what those
left. So nothing is opened through a symbolic link, and records are parsed strictly.
"""

import os
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from slipway.artifacts import layout
from slipway.artifacts.manifest import Hardware
from slipway.errors import Invalid
from slipway.wire import WireModel
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.refine import Screen

_MAX_RECORD_BYTES = 16 << 20


class StableRecord(WireModel):
    """The stable revision's model in ``WorkDir.stable``, as far as it is needed.

    Attributes:
        digest: of the model; ``None``: there is none, or no gate asks for it.
        problem: why it could not be had, for people.
    """

    digest: str | None = None
    problem: str = ""


class FetchRecord(WireModel):
    """What ``fetch`` found.

    Attributes:
        cached: a committed manifest of the same input key lies at ``WorkDir.cached_manifest``.
    """

    input_key: str
    source_digest: str
    source_size: int
    dataset_digest: str | None
    hardware: Hardware
    toolchain: dict[str, str]
    cached: bool
    seconds: float
    stable: StableRecord = StableRecord()


class StoredTensor(WireModel):
    """What a pass did to one weight (``passes.weights.TensorError``)."""

    name: str
    shape: tuple[int, ...]
    sqnr_db: float
    zeros: float
    limit: float
    before: tuple[int, ...]
    after: tuple[int, ...]


class NodeSensitivity(WireModel):
    """SQNR in dB of the judged output when this node alone is quantised."""

    node: str
    sqnr_db: float


class BuiltCandidate(WireModel):
    """One variant: its file, or why there is none.

    Attributes:
        screen: the first look at it, if it came so far.
        failure: reason and sentence, when it was rejected; its file may exist all the same.
    """

    recipe: Recipe
    file: str | None
    digest: str | None = None
    screen: Screen | None = None
    failure: str | None = None
    seconds: float = 0.0
    tensors: tuple[StoredTensor, ...] = ()


class BuildRecord(WireModel):
    """What ``build`` made.

    Attributes:
        classes: for classifiers whose labels are not 0..k-1: label of each index.
        output: the output to judge when the spec names none.
        conversion: figures of the comparison with the source's own predictions.
    """

    classes: tuple[int | str, ...] | None
    output: str | None
    conversion: dict[str, float | int | str]
    notes: tuple[str, ...]
    candidates: tuple[BuiltCandidate, ...]
    exports: tuple[str, ...] = ()  # files in ``WorkDir.exports``
    sensitivity: tuple[NodeSensitivity, ...] = ()
    seconds: float


class ValidateRecord(WireModel):
    """What ``validate`` left in ``WorkDir.artifact``."""

    picked: str | None
    seconds: float


Record = TypeVar("Record", bound=WireModel)


class WorkDir:
    """Paths below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @property
    def source(self) -> Path:
        """The model as it was fetched: a file, or a folder of files."""
        return self.root / "source.model"

    @property
    def loader(self) -> Path:
        """Code of the user's that makes the model."""
        return self.root / "loader.py"

    def student_loader(self, candidate: str) -> Path:
        """Code of the user's that makes this candidate's student."""
        return self.root / "students" / f"{candidate}.py"

    def student_weights(self, candidate: str) -> Path:
        """What that code is given to begin with, as it was fetched."""
        return self.root / "students" / f"{candidate}.weights"

    @property
    def dataset(self) -> Path:
        """The data set as it was fetched."""
        return self.root / "dataset.npz"

    @property
    def stable(self) -> Path:
        """The model of the stable revision; its weights may lie beside it."""
        return self.root / "stable" / layout.MODEL

    @property
    def cached_manifest(self) -> Path:
        """The manifest that a cache hit found."""
        return self.root / "cached-manifest.json"

    @property
    def candidates(self) -> Path:
        """Folder of built variants."""
        return self.root / "candidates"

    @property
    def measured(self) -> Path:
        """Folder of what was measured of the variants."""
        return self.root / "measured"

    @property
    def exports(self) -> Path:
        """Folder of the model's files in other formats."""
        return self.root / "exports"

    @property
    def scratch(self) -> Path:
        """Folder whose content means nothing to a later step."""
        return self.root / "scratch"

    @property
    def artifact(self) -> Path:
        """Folder of what will be published, by plain file name."""
        return self.root / "artifact"

    def write(self, name: str, record: WireModel) -> None:
        """Leave a record; it appears whole or not at all."""
        self.root.mkdir(parents=True, exist_ok=True)
        part = self.root / f"{name}.json.part"
        part.write_bytes(layout.canonical(record.model_dump(mode="json", by_alias=True)))
        part.replace(self.root / f"{name}.json")

    def forget(self, name: str) -> None:
        """Remove a record, so that a step that is run again does not meet its old self."""
        (self.root / f"{name}.json").unlink(missing_ok=True)

    def read(self, name: str, kind: type[Record]) -> Record:
        """Read what an earlier step left.

        Raises:
            Invalid: it is not there or not readable: the step did not run to its end.
        """
        try:
            data = self.open_bytes(self.root / f"{name}.json", limit=_MAX_RECORD_BYTES)
            return kind.model_validate_json(data)
        except (OSError, ValidationError) as error:
            raise Invalid(f"the record of step {name} is missing or unreadable") from error

    def open_bytes(self, path: Path, *, limit: int) -> bytes:
        """The bytes of a file of an earlier step.

        Raises:
            Invalid: it is a link, not a regular file, outside the folder, or larger than ``limit``.
            FileNotFoundError: it does not exist.
        """
        self.require_plain(path)
        if path.stat().st_size > limit:
            raise Invalid(f"file {path.name} of an earlier step is larger than {limit} bytes")
        return path.read_bytes()

    def require_plain(self, path: Path) -> None:
        """Refuse what a step without credentials may have planted.

        Raises:
            Invalid: as ``open_bytes``.
        """
        if os.path.realpath(path) != str(path) or not path.is_relative_to(self.root):
            raise Invalid(f"file {path.name} of an earlier step is a link: refused")
        if path.exists() and (not path.is_file() or path.stat().st_nlink != 1):
            raise Invalid(f"file {path.name} of an earlier step is not a regular file: refused")
