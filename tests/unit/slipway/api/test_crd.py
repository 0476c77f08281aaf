"""The CRD: what an API server accepts, what bounds a resource, what users see."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from slipway.api.crd import crd, structural
from slipway.api.v1alpha1.base import ApiModel

Json = dict[str, Any]

# What apiextensions.k8s.io/v1 lets a structural schema hold, as far as we use it.
ALLOWED = {
    "type", "properties", "items", "required", "enum", "pattern", "minLength", "maxLength",
    "minimum", "maximum", "minItems", "maxItems", "description", "default", "format",
    "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip


def root() -> Json:
    schema: Json = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(node: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every schema below, with its path; metadata is Kubernetes' own."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        if (path, name) != ("", "metadata"):
            yield from nodes(child, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")


def test_it_is_far_from_the_limit_of_what_client_side_apply_can_annotate() -> None:
    assert len(json.dumps(crd())) < 200_000


def test_every_keyword_is_one_of_a_structural_schema() -> None:
    found = {path: set(node) - ALLOWED for path, node in nodes(root())}
    assert {path: odd for path, odd in found.items() if odd} == {}


def test_every_node_has_one_type() -> None:
    kinds = {"object", "array", "string", "integer", "boolean"}
    assert [path for path, node in nodes(root()) if node.get("type") not in kinds] == []


def test_every_object_says_what_it_holds() -> None:
    objects = [(path, node) for path, node in nodes(root()) if node["type"] == "object"]
    assert [path for path, node in objects if not node.get("properties")] == []


def test_every_string_is_bounded() -> None:
    free = {".apiVersion", ".kind"}
    strings = [(path, node) for path, node in nodes(root()) if node["type"] == "string"]
    unbounded = {path for path, node in strings if "enum" not in node and "maxLength" not in node}
    assert unbounded == free


def test_every_list_is_bounded() -> None:
    lists = [(path, node) for path, node in nodes(root()) if node["type"] == "array"]
    assert [path for path, node in lists if "maxItems" not in node] == []


def test_every_number_of_the_spec_is_bounded() -> None:
    numbers = [(p, n) for p, n in nodes(root()["properties"]["spec"]) if n["type"] == "integer"]
    assert [p for p, node in numbers if not {"minimum", "maximum"} <= set(node)] == []


def test_every_field_of_the_spec_is_described() -> None:
    spec = nodes(root()["properties"]["spec"], "spec")
    fields = [(path, node) for path, node in spec if not path.endswith("[]")]
    assert [path for path, node in fields if not node.get("description")] == []


def test_no_reference_leaves_the_namespace() -> None:
    assert [path for path, _ in nodes(root()) if path.endswith("namespace")] == []


def test_list_map_keys_are_required_in_their_items() -> None:
    maps = [node for _, node in nodes(root()) if node.get("x-kubernetes-list-type") == "map"]
    assert len(maps) >= 4
    for node in maps:
        assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"])


def test_defaults_are_scalars_so_that_nobody_reads_back_what_they_did_not_write() -> None:
    found = {path: node["default"] for path, node in nodes(root()) if "default" in node}
    assert all(isinstance(value, str | int | bool) for value in found.values()), found


def test_the_rules_are_these() -> None:
    rules = {
        path: [rule["rule"] for rule in node["x-kubernetes-validations"]]
        for path, node in nodes(root())
        if "x-kubernetes-validations" in node
    }
    within = (
        "!has(self.requests) || !has(self.limits) || !has(self.requests.{0}) || "
        "!has(self.limits.{0}) || "
        "quantity(self.requests.{0}).compareTo(quantity(self.limits.{0})) <= 0"
    )
    resources = [within.format("cpu"), within.format("memory")]
    assert rules == {
        "": [
            "self.metadata.name.size() <= 40",
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        ],
        ".spec": [
            (
                "!has(self.optimization) || !has(self.optimization.exports) || "
                "self.model.modelFormat.name == 'onnx' || self.optimization.exports.all(e, "
                "e == 'PT2' ? self.model.modelFormat.name == 'pytorch' : "
                "self.model.modelFormat.name == 'tensorflow')"
            ),
        ],
        ".spec.model": [
            "!has(self.loader) || self.modelFormat.name in ['pytorch', 'mindspore']",
            (
                "!has(self.allowPickle) || !self.allowPickle || "
                "!(self.modelFormat.name in ['onnx', 'mindspore'])"
            ),
        ],
        ".spec.optimization": [
            "self.mode == 'Explicit' || !has(self.candidates) || self.candidates.size() == 0",
            "self.mode != 'Explicit' || has(self.candidates) && self.candidates.size() > 0",
            "!has(self.exports) || !('MindSpore' in self.exports)",
            (
                "!has(self.exports) || !('PT2' in self.exports && "
                "('TFLite' in self.exports || 'SavedModel' in self.exports))"
            ),
            (
                "!has(self.candidates) || !(self.candidates.exists(c, has(c.executionProvider) && "
                "c.executionProvider == 'OpenVINO') && self.candidates.exists(c, "
                "has(c.executionProvider) && c.executionProvider == 'CUDA'))"
            ),
        ],
        ".spec.optimization.candidates[]": [
            (
                "has(self.distillation) || has(self.pruning) || has(self.quantization) || "
                "has(self.precision) || "
                "has(self.executionProvider) && self.executionProvider != 'CPU'"
            ),
            "!has(self.precision) || !has(self.quantization)",
            (
                "!has(self.training) || has(self.distillation) || has(self.pruning) || "
                "has(self.quantization) && self.quantization.mode == 'Static'"
            ),
        ],
        ".spec.optimization.candidates[].distillation": [
            "!has(self.width) || (double(self.width) > 0.0 && double(self.width) <= 1.0)",
            "!has(self.depth) || (double(self.depth) > 0.0 && double(self.depth) <= 1.0)",
            (
                "!has(self.latencyRatio) || "
                "(double(self.latencyRatio) > 0.0 && double(self.latencyRatio) <= 1.0)"
            ),
            (
                "!has(self.loader) || !has(self.latencyRatio) && "
                "(!has(self.width) || self.width == '0.25') && "
                "(!has(self.depth) || self.depth == '1')"
            ),
            "!has(self.lambdas) || self.lambdas.all(l, double(l) > 0.0)",
        ],
        ".spec.optimization.candidates[].training": [
            (
                "!has(self.learningRate) || (double(self.learningRate) > 0.0 && "
                "double(self.learningRate) <= 1.0)"
            ),
        ],
        ".spec.optimization.candidates[].pruning": [
            (
                "!has(self.importance) || self.importance == 'Magnitude' || "
                "self.method != 'Threshold'"
            ),
            (
                "double(self.value) > 0.0 && (self.method == 'Threshold' || "
                "double(self.value) < 100.0)"
            ),
            (
                "!has(self.maxPerLayer) || (double(self.maxPerLayer) > 0.0 "
                "&& double(self.maxPerLayer) <= 1.0)"
            ),
        ],
        ".spec.optimization.candidates[].quantization": [
            "!has(self.bits) || self.bits in [1, 2, 4, 8]",
            "!has(self.bits) || self.bits == 8 || self.mode == 'WeightOnly'",
        ],
        ".spec.validation": [
            (
                "!has(self.gates) || has(self.dataset) || self.gates.all(g, "
                "!(g.metric in ['accuracy', 'precision', 'recall', 'f1', 'auc', 'top5_accuracy', "
                "'mean_absolute_error', 'root_mean_squared_error', 'r2']))"
            ),
            (
                "!has(self.gates) || has(self.prices) || self.gates.all(g, "
                "g.metric != 'cost_per_1000')"
            ),
        ],
        ".spec.validation.dataset": [
            (
                "!has(self.calibrationFraction) || (double(self.calibrationFraction) > 0.0 "
                "&& double(self.calibrationFraction) < 1.0)"
            )
        ],
        ".spec.validation.gates[]": [
            "!has(self.against) || self.against == 'Source' || has(self.maxDegradation)",
            "has(self.min) || has(self.max) || has(self.maxDegradation)",
            "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
        ],
        ".spec.predictor.resources": resources,
        ".spec.job.resources": resources,
        ".spec.autoscaling": ["self.minReplicas <= self.maxReplicas"],
        ".spec.rollout.canary": [
            "!has(self.steps) || self.steps.size() == 0 || has(self.steps[0].setWeight)",
            (
                "!has(self.steps) || self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight)"
                ".isSorted()"
            ),
        ],
        ".spec.rollout.canary.steps[]": ["has(self.setWeight) != has(self.pause)"],
        ".spec.rollout.canary.analysis.metrics[]": [
            "has(self.min) || has(self.max) || has(self.maxIncreasePercentOverStable)"
        ],
    }


def test_no_message_makes_text_of_a_number_by_string() -> None:
    """The API server takes such a text for one of any length and refuses the whole CRD."""
    texts = [
        rule.get("messageExpression", "")
        for _, node in nodes(root())
        for rule in node.get("x-kubernetes-validations", ())
    ]
    assert not [text for text in texts if "string(" in text]


def test_kubectl_get_shows_these_columns() -> None:
    columns = crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    wide = [column["name"] for column in columns if column.get("priority")]
    assert shown == [
        "Phase", "Ready", "Stable", "Canary", "Weight", "Variant", "Replicas", "Age"
    ]  # fmt: skip
    assert wide == ["Format", "Digest", "URL", "Message"]


def test_every_column_and_scale_path_is_a_field() -> None:
    version = crd()["spec"]["versions"][0]
    scale = version["subresources"]["scale"]
    columns = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    plain = [path for path in columns if "[?" not in path and not path.startswith(".metadata")]
    fields = {path for path, _ in nodes(root())}
    assert set(plain) | set(scale.values()) <= fields


def test_a_construct_that_a_crd_cannot_hold_is_a_bug_that_shows() -> None:
    class Union(ApiModel):
        either: int | str

    with pytest.raises(ValueError, match="a union has no place in a structural schema"):
        structural(Union)


def test_an_unbounded_map_is_a_bug_that_shows() -> None:
    class Map(ApiModel):
        many: dict[str, int]

    with pytest.raises(ValueError, match="'additionalProperties' has no place"):
        structural(Map)


def test_what_forbids_unknown_fields_in_python_is_left_to_pruning() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        inner: "Leaf"

    class Leaf(BaseModel):
        model_config = ConfigDict(extra="forbid")
        size: int

    Strict.model_rebuild()
    leaf = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}
    assert structural(Strict)["properties"] == {"inner": leaf}
