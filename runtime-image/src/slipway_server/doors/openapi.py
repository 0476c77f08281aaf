"""The OpenAPI 3.1 document, made from the table of doors. Pure.

``python -m slipway_server.doors.openapi`` prints it: ``make generate`` keeps it in docs/reference.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version as version_of
from typing import Any, Final

from slipway_server.doors.door import STRING, Door, Form, Schema
from slipway_server.doors.table import DOORS

_JSON: Final = "application/json"
_TAGS: Final = {
    "rest": "Open Inference Protocol v2",
    "v1": "KServe V1 and TensorFlow Serving",
    "torchserve": "TorchServe and MXNet Model Server",
    "mindspore": "MindSpore Serving",
}
_DESCRIPTION: Final = """\
Inference over HTTP. The same models answer over gRPC (Open Inference Protocol v2). Requests and
answers may be compressed with gzip or zstd. There is no management API: what a server serves is
decided when it starts."""


def document(version: str, models: Mapping[str, str] | None = None) -> dict[str, object]:
    """The document of a server.

    Args:
        version: of the server.
        models: version by name, if it is known: then no other is allowed in a path.
    """
    paths: dict[str, dict[str, object]] = {
        "/metrics": {"get": _reading("Prometheus metrics", {"text/plain": STRING}, None)},
    }
    for door in DOORS:
        if door.form is not None:
            paths |= _paths(door, door.form, models)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway inference server",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": text} for text in _TAGS.values()],
        "paths": paths,
    }


def _paths(door: Door, form: Form, models: Mapping[str, str] | None) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for path, view in door.server.items():
        paths[path] = {"get": _reading(view.summary, {_JSON: view.schema}, door)}
    for path, seen in door.model.items():
        paths[path] = {"get": _reading(seen.summary, {_JSON: seen.schema}, door)}
    for path in door.infer:
        paths[path] = {method.decode().lower(): _inference(door, form) for method in door.methods}
    for path, item in paths.items():
        parameters = [_parameter(name, models) for name in ("model", "version") if name in path]
        if any(f"{{{parameter['name']}}}" in path for parameter in parameters):
            item["parameters"] = [
                parameter for parameter in parameters if f"{{{parameter['name']}}}" in path
            ]
    return paths


def _reading(summary: str, content: Mapping[str, Schema], door: Door | None) -> dict[str, object]:
    tags = {} if door is None else {"tags": [_TAGS[door.name]]}
    bodies = {kind: {"schema": schema} for kind, schema in content.items()}
    error = {
        "description": "not now, or not here",
        "content": {_JSON: {"schema": {"type": "object"}}},
    }
    return {
        **tags,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": bodies}, "default": error},
    }


def _inference(door: Door, form: Form) -> dict[str, object]:
    answer = {kind: {"schema": schema} for kind, schema in form.answer.items()}
    return {
        "tags": [_TAGS[door.name]],
        "summary": form.summary,
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in form.request.items()},
        },
        "responses": {
            "200": {"description": "the outputs", "content": answer},
            "default": {
                "description": "what is wrong, in one sentence",
                "content": {_JSON: {"schema": form.error}},
            },
        },
    }


def _parameter(name: str, models: Mapping[str, str] | None) -> dict[str, object]:
    schema: dict[str, object] = {**STRING}
    if models:
        values = models.keys() if name == "model" else models.values()
        schema["enum"] = list(dict.fromkeys(values))
    return {"name": name, "in": "path", "required": True, "schema": schema}


if __name__ == "__main__":
    print(json.dumps(document(version_of("slipway-operator")), indent=1))
