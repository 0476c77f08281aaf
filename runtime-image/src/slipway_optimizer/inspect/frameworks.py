"""Other formats, as far as their bytes tell without the framework."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any, Final

from slipway.artifacts.manifest import Tensor
from slipway_optimizer.convert.kinds import Kind, Sniffed, safetensors_header
from slipway_optimizer.inspect.details import Details
from slipway_optimizer.tensors import DYNAMIC

_MAX_TEXT: Final = 64 << 20
# Numbers of torch.export's schema, and safetensors' names.
_TORCH_TYPES: Final = {1: "UINT8", 2: "INT8", 3: "INT16", 4: "INT32", 5: "INT64", 6: "FP16",
                       7: "FP32", 8: "FP64", 12: "BOOL"}  # fmt: skip
_FORWARD: Final = re.compile(r"def forward\(self: [^,)]+,?\s*([^)]*)\)")


def details(found: Sniffed) -> Details:
    """What the file tells.

    Raises:
        ValueError, KeyError, TypeError, IndexError, AttributeError: not as its kind should be.
    """
    reader = _READERS.get(found.kind)
    return reader(found.path) if reader is not None else Details()


def _zip_text(path: Path, ending: str) -> str:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.endswith(ending) and info.file_size <= _MAX_TEXT:
                return archive.read(info).decode(errors="replace")
    raise ValueError(f"no {ending}")


def _pt2(path: Path) -> Details:
    program = json.loads(_zip_text(path, "models/model.json"))
    module = program["graph_module"]
    values = module["graph"]["tensor_values"]

    def tensors(specs: list[dict[str, Any]], kind: str) -> tuple[Tensor, ...]:
        names = (s[kind]["arg"]["as_tensor"]["name"] for s in specs if kind in s)
        return tuple(_pt2_tensor(name, values[name]) for name in names)

    signature = module["signature"]
    inputs = tensors(signature["input_specs"], "user_input")
    operators: dict[str, int] = {}
    for node in module["graph"]["nodes"]:
        name = node["target"].removeprefix("torch.ops.aten.").partition(".")[0]
        operators[name] = operators.get(name, 0) + 1
    fixed = {t.shape[0] for t in inputs if t.shape} - {DYNAMIC}
    sizes = ", ".join(map(str, sorted(fixed)))
    return Details(
        inputs=inputs,
        outputs=tensors(signature["output_specs"], "user_output"),
        operators=dict(sorted(operators.items(), key=lambda item: -item[1])),
        batch=f"fixed at {sizes}: opened by the conversion if answers stay equal"
        if fixed
        else "any",
    )


def _pt2_tensor(name: str, value: dict[str, Any]) -> Tensor:
    shape = tuple(int(size.get("as_int", DYNAMIC)) for size in value["sizes"])
    return Tensor(name=name, datatype=_TORCH_TYPES.get(value["dtype"], "FP32"), shape=shape)


def _torchscript(path: Path) -> Details:
    with zipfile.ZipFile(path) as archive:
        # The module itself lies above the modules that it is made of.
        names = [n for n in archive.namelist() if "/code/" in n and n.endswith(".py")]
        code = sorted(names, key=lambda name: name.count("/"))
        texts = [archive.read(name).decode(errors="replace") for name in code]
    found = [match[1] for text in texts for match in reversed(list(_FORWARD.finditer(text)))]
    arguments = [part.strip() for part in (found[0] if found else "").split(",") if part.strip()]
    shown = ", ".join(argument.partition(":")[0] for argument in arguments)
    return Details(
        facts={"arguments": shown} if shown else {},
        notes=("does not say the shapes of its inputs: set spec.model.inputs, or a data set",),
    )


def _safetensors(path: Path) -> Details:
    header = safetensors_header(path)
    types = sorted({str(entry["dtype"]) for entry in header.values()})
    return Details(facts={"tensors": str(len(header)), "types": ", ".join(types)})


def _hugging_face(path: Path) -> Details:
    config = json.loads((path / "config.json").read_text())
    names = config.get("architectures") or [config.get("model_type", "unknown")]
    notes = []
    if config.get("auto_map"):
        notes.append("comes with code of its own, which is not run: export it to ONNX")
    headers = [safetensors_header(file) for file in sorted(path.glob("*.safetensors"))]
    facts = {"architecture": ", ".join(names), "tensors": str(sum(map(len, headers)))}
    return Details(facts=facts, notes=tuple(notes))


def _keras(path: Path) -> Details:
    text = _zip_text(path, "config.json")
    config = json.loads(text)
    layers = config.get("config", {}).get("layers", [])
    kinds: dict[str, int] = {}
    for layer in layers:
        kinds[layer["class_name"]] = kinds.get(layer["class_name"], 0) + 1
    lambdas = '"class_name": "__lambda__"' in text or "Lambda" in kinds
    notes = ("holds Lambda layers, which run code when it is opened",) if lambdas else ()
    return Details(
        facts={"class": str(config.get("class_name"))},
        inputs=tuple(_keras_input(layer) for layer in layers
                     if layer["class_name"] == "InputLayer"),
        operators=kinds,
        notes=notes,
        runs_code=lambdas,
    )  # fmt: skip


def _keras_input(layer: dict[str, Any]) -> Tensor:
    config = layer["config"]
    shape = tuple(DYNAMIC if size is None else int(size) for size in config["batch_shape"])
    dtype = config.get("dtype", "float32")
    if isinstance(dtype, dict):
        dtype = dtype["config"]["name"]
    names = {"float": "FP", "int": "INT", "uint": "UINT"}
    letters = dtype.rstrip("0123456789")
    return Tensor(
        name=config["name"],
        datatype=names.get(letters, "FP") + dtype[len(letters) :],
        shape=shape,
    )


def _skops(path: Path) -> Details:
    schema = json.loads(_zip_text(path, "schema.json"))
    facts = {"estimator": f"{schema['__module__']}.{schema['__class__']}"}
    if "_skops_version" in schema:
        facts["written by"] = f"skops {schema['_skops_version']}"
    return Details(facts=facts)


def _xgboost(path: Path) -> Details:
    learner = json.loads(path.read_text())["learner"]
    parameters = learner["learner_model_param"]
    booster = learner["gradient_booster"]
    facts = {
        "features": str(parameters["num_feature"]),
        "classes": str(parameters["num_class"]),
        "objective": str(learner["objective"]["name"]),
        "booster": str(booster["name"]),
    }
    if "model" in booster:
        facts["trees"] = str(len(booster["model"].get("trees", ())))
    return _table(facts, int(parameters["num_feature"]))


def _lightgbm(path: Path) -> Details:
    with path.open(errors="replace") as file:
        text = file.read(_MAX_TEXT)
    head = dict(line.partition("=")[::2] for line in text[:100_000].splitlines() if "=" in line)
    features = int(head["max_feature_idx"]) + 1
    facts = {
        "features": str(features),
        "classes": head["num_class"],
        "objective": head.get("objective", "unknown"),
        "trees": str(text.count("\nTree=")),
    }
    return _table(facts, features)


def _table(facts: dict[str, str], features: int) -> Details:
    rows = Tensor(name="X", datatype="FP32", shape=(DYNAMIC, features))
    return Details(facts=facts, inputs=(rows,), batch="any", quantisation="trees are not quantised")


def _saved_model(path: Path) -> Details:
    notes = []
    if not list((path / "variables").glob("variables.index")):
        notes.append("has no variables/: upload the whole folder")
    return Details(notes=tuple(notes))


_READERS: Final = {
    Kind.PT2: _pt2,
    Kind.TORCHSCRIPT: _torchscript,
    Kind.SAFETENSORS: _safetensors,
    Kind.HUGGING_FACE: _hugging_face,
    Kind.KERAS: _keras,
    Kind.SKOPS: _skops,
    Kind.XGBOOST_JSON: _xgboost,
    Kind.LIGHTGBM: _lightgbm,
    Kind.SAVED_MODEL: _saved_model,
}
