"""The rows that build and validate work on: the same ones in both, by construction."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slipway.api.quantity import parse_decimal
from slipway.artifacts.manifest import Tensor
from slipway_optimizer import datasets, feeds
from slipway_optimizer.arrays import Array, Arrays, concatenate, rows_of, take
from slipway_optimizer.datasets import Dataset, Expectations, Teaching
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model
from slipway_optimizer.steps.job import Job
from slipway_optimizer.tensors import Signature
from slipway_optimizer.workdir import FetchRecord

_GENERATED_ROWS: Final = 64
_LEAST_ROWS: Final = 8


@dataclass(frozen=True, slots=True)
class Answers:
    """What the conversion knows of the answers.

    Attributes:
        classes: label of each index of the judged output, where it is not 0..k-1.
        output: which output answers, when the spec names none.
    """

    classes: tuple[int | str, ...] | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Both kinds of rows.

    Attributes:
        calibration: rows that never judge; ``None`` without a data set.
        judging: rows that do; generated without a data set.
        lessons: rows that candidates learn from, when any does; they never judge.
    """

    calibration: Dataset | None
    judging: Dataset
    lessons: "Lessons | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Rows that teach, the labelled ones first.

    Attributes:
        labels: of the first rows; ``None`` without any.
    """

    inputs: Arrays
    labels: Array | None


def judged_output(job: Job, signature: Signature, answers: Answers) -> Tensor:
    """The output that is judged.

    Raises:
        Refused: ``OutputNotFound``.
    """
    name = job.request.validation.output or answers.output
    tensor = signature.output(name)
    if tensor is None:
        there = ", ".join(t.name for t in signature.outputs)
        raise Refused(
            "OutputNotFound",
            f"the model has no output '{name}' (spec.validation.output), but {there}",
        )
    return tensor


def load_rows(
    job: Job, found: FetchRecord, model: Model, signature: Signature, *, answers: Answers
) -> Rows:
    """Read and split the data set, or generate feeds that the model accepts.

    Raises:
        Refused: the data set is broken, or no generated feed suits the model.
    """
    validation = job.request.validation
    if validation.dataset is None or found.dataset_digest is None:
        return Rows(None, Dataset(_generated(model, signature), None, {}))
    expectations = Expectations(
        task=validation.task,
        labels=validation.labels,
        output=judged_output(job, signature, answers),
        classes=answers.classes,
        slices=validation.slices,
    )
    dataset = datasets.load(job.work.dataset, signature, expectations)
    dataset = datasets.index_labels(dataset, answers.classes)
    fraction = float(parse_decimal(validation.dataset.calibration_fraction))
    if not job.request.optimization.trains:
        calibrating, judging = datasets.split(dataset.rows, fraction, found.dataset_digest)
        return Rows(dataset.take(calibrating), dataset.take(judging))
    teaching = datasets.load_teaching(job.work.dataset, signature, expectations)
    # Without rows of their own, candidates learn from all that do not judge.
    most = dataset.rows if teaching.labelled is None else datasets.MAX_CALIBRATION_ROWS
    calibrating, judging = datasets.split(dataset.rows, fraction, found.dataset_digest, most=most)
    apart = dataset.take(calibrating)
    return Rows(
        datasets.evenly(apart, datasets.MAX_CALIBRATION_ROWS),
        dataset.take(judging),
        _lessons(apart, teaching, answers),
    )


def _lessons(apart: Dataset, teaching: Teaching, answers: Answers) -> Lessons:
    """The data set's own rows for training, else those that do not judge; then the unlabelled."""
    labelled = apart
    if teaching.labelled is not None:
        labelled = datasets.index_labels(teaching.labelled, answers.classes)
    parts = [labelled.inputs]
    if teaching.unlabelled is not None:
        parts.append(teaching.unlabelled.inputs)
    return Lessons(concatenate(parts), labelled.labels)


def _generated(model: Model, signature: Signature) -> Arrays:
    """Rows that the model accepts and answers with finite numbers."""
    failure: Refused | None = None
    for size in feeds.OPEN_SIZES:
        rows = feeds.generate(signature, rows=_GENERATED_ROWS, open_size=size)
        try:
            answers = model.run_rows(rows)
        except Refused as error:
            if error.reason == "SignatureUnsupported":
                raise  # no other rows would help
            failure = failure or error
            continue
        finite = _finite_rows(answers)
        if len(finite) < _LEAST_ROWS:
            raise Refused(
                "DatasetNeeded",
                f"the model answers {_GENERATED_ROWS - len(finite)} of {_GENERATED_ROWS} generated "
                "rows with NaN or infinity: set validation.dataset",
            )
        return take(rows, finite)
    raise Refused(
        "DatasetNeeded",
        f"the model refuses generated inputs ({failure}): set validation.dataset",
    ) from failure


def _finite_rows(answers: Arrays) -> NDArray[np.int64]:
    finite = np.ones(rows_of(answers), dtype=np.bool_)
    for value in answers.values():
        if value.dtype.kind == "f":
            finite &= np.isfinite(value.reshape(len(value), -1)).all(axis=1)
    return np.flatnonzero(finite)
