"""What a user's YAML becomes in local mode. Pure."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway import contract
from slipway.api.v1alpha1.resource import parse_spec
from slipway.errors import Invalid
from slipway_operator.plan.objects import Object

_RELATIVE = "file://."


def prepare(documents: list[Any], *, folder: Path, where: str) -> list[Object]:
    """Objects ready to be applied: namespaced, checked, with absolute ``file://`` addresses.

    Args:
        documents: parsed YAML.
        folder: what ``file://./...`` is relative to: where the file lies.
        where: the file's name, for messages.

    Raises:
        Invalid: a document that local mode has no use for, or a wrong ModelDeployment.
    """
    return [_prepare(document, folder, where) for document in _flatten(documents)]


def _flatten(documents: list[Any]) -> Iterator[Any]:
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "List":
            yield from document.get("items") or []
        else:
            yield document


def _prepare(document: Any, folder: Path, where: str) -> Object:
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise Invalid(f"{where}: this is no Kubernetes object: {str(document)[:80]}")
    kind, version = document.get("kind"), document.get("apiVersion")
    meta = {"namespace": "default", **document["metadata"]}
    found: Object = {**document, "metadata": meta}
    if kind == contract.KIND and version == contract.API_VERSION:
        found["spec"] = _absolute(found.get("spec") or {}, folder)
        try:
            parse_spec(found, strict=True)
        except Invalid as error:
            raise Invalid(f"{where}: ModelDeployment '{meta.get('name')}': {error}") from error
        return found
    if kind == "Secret" and version == "v1":
        texts = found.pop("stringData", None) or {}
        encoded = {k: base64.b64encode(str(v).encode()).decode() for k, v in texts.items()}
        found["data"] = {**(found.get("data") or {}), **encoded}
        return found
    raise Invalid(
        f"{where}: {version} {kind} means nothing in local mode; use {contract.API_VERSION} "
        f"{contract.KIND} and v1 Secret"
    )


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _absolute(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    if isinstance(value, str) and value.startswith(_RELATIVE):
        return f"file://{(folder / value.removeprefix('file://')).resolve()}"
    return value
