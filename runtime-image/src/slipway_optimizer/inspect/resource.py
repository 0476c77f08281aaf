"""The resource for a file, and its YAML. Pure."""

import json
import re
from typing import Any, Final

from slipway.contract import API_VERSION, KIND
from slipway_optimizer.convert.kinds import Kind
from slipway_optimizer.inspect.facts import Facts

_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./:-]*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_PLACEHOLDER: Final = "s3://BUCKET"
_INPUTS_UNKNOWN: Final = frozenset({Kind.TORCHSCRIPT, Kind.STATE_DICT, Kind.TORCH_MODULE,
                                    Kind.SAFETENSORS, Kind.MINDSPORE_CHECKPOINT})  # fmt: skip


def resource_for(facts: Facts) -> dict[str, Any]:
    """A ModelDeployment that serves the file; what only the user knows stands in capitals."""
    slash = "/" if facts.path.is_dir() else ""
    model: dict[str, Any] = {
        "modelFormat": {"name": str(facts.format)},
        "storageUri": f"{_PLACEHOLDER}/{facts.path.name}{slash}",
        "storage": {"secretRef": {"name": "SECRET"}},
    }
    if facts.runs_code:
        model["allowPickle"] = True
    if facts.needs_loader:
        model["loader"] = {"storageUri": f"{_PLACEHOLDER}/load.py"}
    if facts.kind in _INPUTS_UNKNOWN:
        model["inputs"] = [{"name": "NAME", "datatype": "FP32", "shape": [-1, 1]}]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": _name(facts.path.name)},
        "spec": {
            "model": model,
            "validation": {
                "dataset": {
                    "storageUri": f"{_PLACEHOLDER}/rows.npz",
                    "storage": {"secretRef": {"name": "SECRET"}},
                }
            },
        },
    }


def _name(file: str) -> str:
    """A name of a Kubernetes object."""
    stem = file.partition(".")[0].lower()
    plain = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")
    return (plain if plain[:1].isalpha() else f"model-{plain}".rstrip("-"))[:40].rstrip("-")


def to_yaml(value: Any, indent: int = 0) -> str:
    """Mappings, lists and scalars as block YAML."""
    pad = "  " * indent
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            lines.append(f"{pad}{_scalar(key)}:{_after(item, indent)}")
        return "\n".join(lines)
    lines = []
    for item in value:
        text = to_yaml(item, indent + 1) if _nested(item) else pad + "  " + _scalar(item)
        lines.append(f"{pad}- {text.lstrip()}")
    return "\n".join(lines)


def _after(item: Any, indent: int) -> str:
    if not _nested(item):
        return f" {_scalar(item)}"
    return "\n" + to_yaml(item, indent + 1)


def _nested(item: Any) -> bool:
    flat = isinstance(item, list) and not any(isinstance(each, dict | list) for each in item)
    return isinstance(item, dict | list) and bool(item) and not flat


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(each) for each in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
