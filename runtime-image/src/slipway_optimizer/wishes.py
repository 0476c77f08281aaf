"""Candidates, gates and inputs as words of a command line. Pure."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from pydantic import ValidationError

from slipway.api.v1alpha1.model import InputDatatype, ModelInput
from slipway.api.v1alpha1.optimization import Candidate, ExportFormat
from slipway.api.v1alpha1.validation import Gate
from slipway.errors import Invalid

_INPUT: Final = re.compile(r"([^:\[\]]+)(?::([A-Z0-9]+))?\[(-?\d+(?:,-?\d+)*)\]")
_PARTS: Final = ("method", "value", "scope", "maxPerLayer")
_FLAGS: Final = {"true": True, "false": False}
_LISTS: Final = ("opTypes", "excludeNodes")
_DISTILLATION: Final = {
    "student": "width", "depth": "depth", "latency": "latencyRatio", "target": "targetScore"
}  # fmt: skip
_SOME: Final = ("student", "")  # one of whatever width is fast enough
_LOADER: Final = {"loader": "storageUri", "function": "function", "weights": "weightsUri"}
_PLACES: Final = ("loader", "weights")
_TRAINING: Final = {"epochs": "epochs", "rate": "learningRate"}
_OPTIONS: Final = {  # field of the resource -> option of the command
    "model.allowPickle": "--allow-pickle",
    "model.inputs": "--input",
    "model.loader": "--loader",
    "model.loader.storageUri": "--loader",
    "model.storageUri": "--model",
    "optimization.budget": "--budget-seconds",
    "optimization.exports": "--export",
    "validation.dataset": "--dataset",
    "validation.dataset.storageUri": "--dataset",
    "validation.gates": "--gate",
    "validation.labels": "--labels",
    "validation.output": "--judge",
    "validation.slices": "--slices",
    "validation.task": "--task",
}
_NAMES: Final = "|".join(map(re.escape, sorted(_OPTIONS, key=len, reverse=True)))
_FIELD: Final = re.compile(rf"\b(?:spec\.)?({_NAMES})(?![\w.]\w)(: (?=[A-Z]))?")
_QUANTIZATION: Final = ("mode", "bits", "calibration", "perChannel", "embeddings", *_LISTS)


def as_options(text: str) -> str:
    """What a resource's user is told, for one of the command line: ``set --dataset``."""
    return _FIELD.sub(lambda found: _OPTIONS[found[1]] + (" " if found[2] else ""), text)


def parse_input(text: str) -> ModelInput:
    """``image:FP32[-1,3,224,224]`` -> an input; without a type it is FP32.

    Raises:
        Invalid: not of that form.
    """
    found = _INPUT.fullmatch(text)
    try:
        if found is not None:
            sizes = tuple(int(size) for size in found[3].split(","))
            datatype = InputDatatype(found[2] or "FP32")
            return ModelInput(name=found[1], datatype=datatype, shape=sizes)
    except (ValueError, ValidationError):
        pass  # said below, as for any other form
    raise Invalid(
        f"--input '{text[:80]}' is not NAME:TYPE[SIZES], the batch first: for instance "
        "image:FP32[-1,3,224,224]"
    )


def parse_gate(text: str) -> Gate:
    """``accuracy:min=0.9,maxDegradation=0.005`` -> a gate named ``accuracy``.

    Raises:
        Invalid: not of that form.
    """
    metric, _, bounds = text.partition(":")
    values = _pairs(bounds)
    _only(values, ("min", "max", "maxDegradation", "against"), f"--gate '{text[:80]}'")
    try:
        return Gate.model_validate({"name": metric.replace("_", "-"), "metric": metric, **values})
    except ValidationError as error:
        raise Invalid(f"--gate '{text[:80]}': {_first(error)}") from error


def parse_candidate(text: str, uri_of: Callable[[str], str] = str) -> Candidate:
    """``int4:mode=WeightOnly,bits=4`` or ``slim:prune=Percentile/50/Global,precision=FP16``.

    ``fast:student``, ``small:student=0.25,lambda=0.1+0.3``,
    ``own:loader=student.py,function=make,weights=w.pt``, ``thin:prune=Structured/50,epochs=8``,
    ``learnt:mode=Static,epochs=4``, ``vino:provider=OpenVINO``. Lists are joined by ``+``:
    ``opTypes=Conv+MatMul``.

    Args:
        text: as above.
        uri_of: makes a path an address.

    Raises:
        Invalid: not of that form.
    """
    where = f"--candidate '{text[:80]}'"
    name, _, rest = text.partition(":")
    values = _pairs(rest)
    known = (*_QUANTIZATION, "precision", "prune", "importance", "lambda", "provider")
    _only(values, (*known, *_DISTILLATION, *_LOADER, *_TRAINING), where)
    body: dict[str, Any] = {"name": name}
    if "precision" in values:
        body["precision"] = values["precision"]
    if "provider" in values:
        body["executionProvider"] = values["provider"]
    if "prune" in values:
        body["pruning"] = dict(zip(_PARTS, values["prune"].split("/"), strict=False))
        if "importance" in values:
            body["pruning"]["importance"] = values["importance"]
    elif "importance" in values:
        raise Invalid(f"{where}: importance ranks what is pruned: add prune=Percentile/50")
    student: dict[str, Any] = {
        _DISTILLATION[k]: v for k, v in values.items() if k in _DISTILLATION and (k, v) != _SOME
    }
    loader = {_LOADER[k]: uri_of(v) if k in _PLACES else v for k, v in values.items()
              if k in _LOADER}  # fmt: skip
    if loader and "loader" not in values:
        raise Invalid(f"{where}: {min(set(values) & set(_LOADER))} is of a loader: add loader=FILE")
    if loader:
        student["loader"] = loader
    if "lambda" in values:
        student["lambdas"] = values["lambda"].split("+")
    training = {_TRAINING[k]: v for k, v in values.items() if k in _TRAINING}
    body |= {name: part for name, part in (("distillation", student), ("training", training))
             if part}  # fmt: skip
    if _SOME in values.items():
        body.setdefault("distillation", {})
    quantization = {k: _value(k, v) for k, v in values.items() if k in _QUANTIZATION}
    if quantization:
        body["quantization"] = quantization
    try:
        return Candidate.model_validate(body)
    except ValidationError as error:
        raise Invalid(f"{where}: {_first(error)}") from error


def parse_exports(texts: Sequence[str]) -> tuple[ExportFormat, ...]:
    """``tflite,savedmodel`` -> formats, each once.

    Raises:
        Invalid: a format that is not known.
    """
    known = {wanted.lower(): wanted for wanted in ExportFormat}
    found: dict[ExportFormat, None] = {}
    for word in (word.strip() for text in texts for word in text.split(",")):
        if word.lower() not in known:
            raise Invalid(f"--export '{word[:40]}' is none of {', '.join(known)}")
        found[known[word.lower()]] = None
    return tuple(found)


def _pairs(text: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in text.split(",") if part)


def _value(key: str, text: str) -> object:
    if key in _LISTS:
        return [word for word in text.split("+") if word]
    if key == "bits":
        return int(text) if text.isdecimal() else text
    return _FLAGS.get(text.lower(), text)


def _only(values: dict[str, str], known: tuple[str, ...], where: str) -> None:
    unknown = set(values) - set(known)
    if unknown:
        raise Invalid(f"{where}: '{min(unknown)}' is none of {', '.join(known)}")


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    place = ".".join(str(part) for part in found["loc"])
    message = found["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
