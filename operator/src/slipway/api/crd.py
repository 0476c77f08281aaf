"""API models -> the CustomResourceDefinition. Pure.

pydantic's JSON schema holds constructs that a structural schema refuses (``$ref``, ``anyOf`` with
null, ``const``, ``prefixItems``, titles): they are rewritten here, and a keyword that is not known
to be fine is an error, so that a new API field cannot slip into an unusable CRD.
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from slipway import contract
from slipway.api.v1alpha1.base import ApiModel
from slipway.api.v1alpha1.resource import ModelDeployment

_KEPT: Final = frozenset(
    {
        "type", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems",
        "maxItems", "description", "default", "format", "required",
    }
)  # fmt: skip
_COLUMNS: Final = (
    ("Phase", ".status.phase", "string", 0, "Summary of where it stands."),
    ("Ready", '.status.conditions[?(@.type=="Ready")].status', "string", 0, "Stable serves."),
    ("Stable", ".status.stable.revision", "string", 0, "Revision that serves."),
    ("Canary", ".status.canary.revision", "string", 0, "Revision on trial."),
    ("Weight", ".status.rollout.weight.actual", "integer", 0, "Measured percent to the canary."),
    ("Variant", ".status.stable.artifact.variant", "string", 0, "Optimised form that serves."),
    ("Replicas", ".status.stable.readyReplicas", "integer", 0, "Ready pods of stable."),
    ("Age", ".metadata.creationTimestamp", "date", 0, ""),
    ("Format", ".spec.model.modelFormat.name", "string", 1, "Framework of the source."),
    ("Digest", ".status.stable.artifact.digest", "string", 1, "Digest of the served model."),
    ("URL", ".status.url", "string", 1, "Where to send predictions."),
    ("Message", ".status.message", "string", 1, "Why, with numbers."),
)


def crd() -> dict[str, Any]:
    """The CRD as a plain dict, ready for YAML."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{contract.PLURAL}.{contract.GROUP}"},
        "spec": {
            "group": contract.GROUP,
            "names": {
                "kind": contract.KIND,
                "listKind": f"{contract.KIND}List",
                "plural": contract.PLURAL,
                "singular": contract.SINGULAR,
                "shortNames": [contract.SHORT_NAME],
                "categories": [contract.CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    columns = []
    for name, path, kind, priority, text in _COLUMNS:
        column = {"name": name, "jsonPath": path, "type": kind}
        columns.append(
            column
            | ({"priority": priority} if priority else {})
            | ({"description": text} if text else {})
        )
    return {
        "name": contract.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": columns,
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "schema": {"openAPIV3Schema": _root_schema()},
    }


def _root_schema() -> dict[str, Any]:
    schema = structural(ModelDeployment)
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        **schema["properties"],
    }
    properties["status"].pop("default", None)
    limit = contract.MAX_NAME_LENGTH
    return {
        "type": "object",
        "description": schema["description"],
        "required": ["spec"],
        "properties": properties,
        "x-kubernetes-validations": [
            {
                "fieldPath": ".metadata.name",
                "rule": f"self.metadata.name.size() <= {limit}",
                "messageExpression": "'the name has %s characters: at most "
                f"{limit} fit into the names of Services and pods'"
                ".format([self.metadata.name.size()])",
            },
            {
                "fieldPath": ".metadata.name",
                "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "messageExpression": "'the name %s must start with a letter and hold only "
                "a-z, 0-9 and -: it names Services'.format([self.metadata.name])",
            },
        ],
    }


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """A model's structural schema, CEL rules included.

    Raises:
        ValueError: a construct that a CRD cannot hold; a bug in the API models.
    """
    full = model.model_json_schema(by_alias=True, mode="validation")
    source = _Source(full.get("$defs", {}), _classes(model))
    return _object(model, full, source)


@dataclass(frozen=True, slots=True)
class _Source:
    """What pydantic made of all models below the root, once: it is slow.

    Attributes:
        definitions: JSON schemas by name.
        classes: the models among them.
    """

    definitions: dict[str, Any]
    classes: dict[str, type[BaseModel]]


def _object(model: type[BaseModel], full: dict[str, Any], source: _Source) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    if model.__doc__:
        schema["description"] = model.__doc__.split("\n\n")[0].replace("\n", " ").strip()
    properties = {}
    keys = model.list_map_keys if issubclass(model, ApiModel) else {}
    for name, field in model.model_fields.items():
        alias = field.alias or name
        properties[alias] = _convert(full["properties"][alias], source)
        if name in keys:
            properties[alias]["x-kubernetes-list-type"] = "map"
            properties[alias]["x-kubernetes-list-map-keys"] = [keys[name]]
    schema["properties"] = properties
    if full.get("required"):
        schema["required"] = full["required"]
    if issubclass(model, ApiModel) and model.rules:
        schema["x-kubernetes-validations"] = [rule.for_api_server() for rule in model.rules]
    return schema


def _convert(node: dict[str, Any], source: _Source) -> Any:
    if "$ref" in node:
        return _reference(node, source)
    if "anyOf" in node:
        return _optional(node, source)
    if "const" in node:
        node = {k: v for k, v in node.items() if k != "const"} | {"enum": [node["const"]]}
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key == "items":
            result["items"] = _convert(value, source)
        elif key in _KEPT:
            result[key] = value
        elif key != "title" and not (key == "additionalProperties" and isinstance(value, bool)):
            raise ValueError(f"'{key}' has no place in a structural schema: {node}")
    if result.get("default") is None:
        result.pop("default", None)
    if result.get("default") == []:
        result.pop("default")
    return result


def _reference(node: dict[str, Any], source: _Source) -> Any:
    name = node["$ref"].rsplit("/", 1)[1]
    target, definition = source.classes.get(name), source.definitions[name]
    inlined = _object(target, definition, source) if target else _convert(definition, source)
    extra = {
        k: v for k, v in node.items() if k in ("description", "default") and v not in (None, {})
    }
    if isinstance(extra.get("default"), dict):
        extra.pop("default")  # a defaulted object would show up in what users read back
    return {**inlined, **extra}


def _optional(node: dict[str, Any], source: _Source) -> Any:
    choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
    if len(choices) != 1:
        raise ValueError(f"a union has no place in a structural schema: {node}")
    rest = {k: v for k, v in node.items() if k != "anyOf" and v is not None}
    return _convert({**choices[0], **rest}, source)


def _classes(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}

    def visit(annotation: Any) -> None:
        is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        if is_model and annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            for field in annotation.model_fields.values():
                visit(field.annotation)
        for argument in getattr(annotation, "__args__", ()):
            visit(argument)

    for field in model.model_fields.values():
        visit(field.annotation)
    return found
