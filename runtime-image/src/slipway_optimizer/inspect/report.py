"""Facts as text for people, or as an object for programs."""

import argparse
import json
import sys
from typing import Any, Final

from slipway.artifacts.manifest import Tensor
from slipway.contract import ExitCode
from slipway_optimizer.inspect.facts import Facts, inspect
from slipway_optimizer.inspect.resource import resource_for, to_yaml

_MANY: Final = 12


def run(options: argparse.Namespace) -> int:
    """Look, and print; 65 for what is no model that can be served."""
    try:
        facts = inspect(options.model)
    except OSError as error:
        print(f"{options.model} cannot be read: {error.strerror}", file=sys.stderr)
        return ExitCode.INVALID
    if options.output is not None:
        value = as_object(facts)
        print(json.dumps(value, indent=2) if options.output == "json" else to_yaml(value))
    else:
        print("\n".join(lines(facts)))
    return ExitCode.INVALID if facts.format is None or facts.details.refusal else ExitCode.OK


def as_object(facts: Facts) -> dict[str, Any]:
    """For programs; absent facts are left out."""
    details = facts.details
    value: dict[str, Any] = {
        "path": str(facts.path),
        "kind": str(facts.kind),
        "modelFormat": None if facts.format is None else str(facts.format),
        "sizeBytes": facts.size_bytes,
        "runsCode": facts.runs_code,
        "needsLoader": facts.needs_loader,
        "facts": details.facts,
        "inputs": [_tensor_object(tensor) for tensor in details.inputs],
        "outputs": [_tensor_object(tensor) for tensor in details.outputs],
        "operators": details.operators,
        "batch": details.batch,
        "quantisation": details.quantisation,
        "calls": list(facts.calls),
        "notes": list(details.notes),
        "refusal": details.refusal,
        "resource": None if facts.format is None else resource_for(facts),
    }
    return {name: each for name, each in value.items() if each not in ("", None, {}, [])}


def _tensor_object(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def lines(facts: Facts) -> list[str]:
    """For people: the facts, then the resource."""
    details = facts.details
    shown = [("file", str(facts.path)), ("kind", str(facts.kind))]
    shown += [("size", f"{facts.size_bytes:,} bytes"), *details.facts.items()]
    shown += [("input", _tensor(tensor)) for tensor in details.inputs]
    shown += [("output", _tensor(tensor)) for tensor in details.outputs]
    shown += [("batch", details.batch), ("quantisation", details.quantisation)]
    shown += [("operators", _several([f"{c} {n}" for n, c in details.operators.items()]))]
    shown += [("names", _several(list(facts.calls)))]
    if facts.runs_code:
        shown.append(("danger", "it runs code when it is opened: only with allowPickle"))
    if facts.needs_loader:
        shown.append(("needs", "a loader: it holds weights, and no model"))
    shown += [("note", note) for note in details.notes]
    if facts.format is None:
        shown.append(("refused", "it is no model of a known format"))
    if details.refusal:
        shown.append(("refused", details.refusal))
    width = max(len(name) for name, value in shown if value)
    text = [f"{name:<{width}}  {value}" for name, value in shown if value]
    if facts.format is not None:
        text += ["", to_yaml(resource_for(facts))]
    return text


def _tensor(tensor: Tensor) -> str:
    return f"{tensor.name} {tensor.datatype} {list(tensor.shape)}"


def _several(words: list[str]) -> str:
    more = f", and {len(words) - _MANY} more" if len(words) > _MANY else ""
    return ", ".join(words[:_MANY]) + more
