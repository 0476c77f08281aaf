"""Manifests that must be refused, each with a part of every refusal that a user may read.

The API server (schema and CEL) and local mode (pydantic) refuse the same ones. Where they word it
differently (a schema error is Kubernetes' own sentence), the part names the field.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]


def valid_manifest() -> Object:
    """A manifest with every part of the spec, which both accept."""
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "fraud", "namespace": "default"},
        "spec": {
            "model": {
                "modelFormat": {"name": "onnx"},
                "storageUri": "s3://models/fraud/1/model.onnx",
                "digest": "sha256:" + "a" * 64,
                "storage": {"secretRef": {"name": "store"}},
            },
            "optimization": {
                "mode": "Explicit",
                "objective": "MinLatencyP95",
                "candidates": [
                    {"name": "int8", "quantization": {"mode": "Static", "perChannel": True}},
                    {
                        "name": "half",
                        "precision": "FP16",
                        "pruning": {"method": "Percentile", "value": "30", "maxPerLayer": "0.5"},
                    },
                ],
                "onFailure": "UseBaseline",
            },
            "validation": {
                "dataset": {
                    "storageUri": "s3://models/fraud/1/labelled.npz",
                    "storage": {"secretRef": {"name": "store"}},
                    "calibrationFraction": "0.3",
                },
                "task": "Classification",
                "labels": "labels",
                "gates": [{"name": "accuracy", "metric": "accuracy", "maxDegradation": "0.01"}],
            },
            "artifacts": {
                "storageUri": "s3://artifacts/models",
                "storage": {"secretRef": {"name": "store"}},
            },
            "predictor": {
                "resources": {
                    "requests": {"cpu": "500m", "memory": "256Mi"},
                    "limits": {"cpu": "2", "memory": "1Gi"},
                },
                "session": {"intraOpNumThreads": 2},
                "concurrency": {"maxQueued": 64, "timeoutSeconds": 5},
                "warmup": {"iterations": 5, "goldenSamples": 4},
            },
            "job": {"backoffLimit": 1, "activeDeadlineSeconds": 1200},
            "replicas": 2,
            "autoscaling": {
                "minReplicas": 1,
                "maxReplicas": 3,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 70},
                        },
                    }
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
            },
            "rollout": {
                "canary": {
                    "steps": [
                        {"setWeight": 20},
                        {"pause": {"duration": "1m30s"}},
                        {"setWeight": 50},
                        {"pause": {}},
                    ],
                    "analysis": {
                        "interval": "10s",
                        "failureLimit": 1,
                        "minRequests": 100,
                        "noDataPolicy": "Replay",
                        "metrics": [
                            {"name": "request-success-rate", "min": "99.5"},
                            {"name": "latency-p95", "maxIncreasePercentOverStable": 20},
                        ],
                    },
                }
            },
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 300,
        },
    }


@dataclass(frozen=True, slots=True)
class Refused:
    """A manifest, and what a refusal of it must say."""

    manifest: Object
    says: str


def _set(path: str, value: object) -> Callable[[Object], None]:
    def change(manifest: Object) -> None:
        node: Any = manifest
        *parents, last = path.split(".")
        for step in parents:
            node = node[int(step)] if isinstance(node, list) else node[step]
        if isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value

    return change


def _drop(path: str) -> Callable[[Object], None]:
    def change(manifest: Object) -> None:
        node: Any = manifest
        *parents, last = path.split(".")
        for step in parents:
            node = node[step]
        del node[last]

    return change


def _refused(change: Callable[[Object], None], says: str) -> Refused:
    manifest = copy.deepcopy(valid_manifest())
    change(manifest)
    return Refused(manifest, says)


_STEPS: Final = "spec.rollout.canary.steps"
_ANALYSIS: Final = "spec.rollout.canary.analysis"

INVALID: Final[dict[str, Refused]] = {
    # The name.
    "a name too long for Services": _refused(_set("metadata.name", "a" * 41), "metadata.name"),
    "a name that starts with a digit": _refused(_set("metadata.name", "2fraud"), "metadata.name"),
    "a name with a dot": _refused(_set("metadata.name", "fraud.v2"), "metadata.name"),
    # What is missing or unknown.
    "no spec": _refused(_drop("spec"), "spec"),
    "no model": _refused(_drop("spec.model"), "spec.model"),
    "no format": _refused(_drop("spec.model.modelFormat"), "spec.model.modelFormat"),
    "a misspelt field": _refused(_set("spec.replica", 3), "replica"),
    "a misspelt field deep inside": _refused(
        _set("spec.predictor.resources.limits.cpus", "2"), "cpus"
    ),
    # The model.
    "an unknown format": _refused(
        _set("spec.model.modelFormat.name", "pickle"), "spec.model.modelFormat.name"
    ),
    "an address without a scheme": _refused(
        _set("spec.model.storageUri", "models/fraud.onnx"), "spec.model.storageUri"
    ),
    "an address of a web server": _refused(
        _set("spec.model.storageUri", "http://169.254.169.254/latest"), "spec.model.storageUri"
    ),
    "a digest of another kind": _refused(_set("spec.model.digest", "md5:1234"), "digest"),
    "a Secret of another namespace": _refused(
        _set("spec.model.storage.secretRef.name", "other/store"), "secretRef.name"
    ),
    "a loader for a format that says all": _refused(
        _set("spec.model.loader", {"storageUri": "s3://m/load.py"}), "leave it out"
    ),
    "pickles for ONNX": _refused(_set("spec.model.allowPickle", True), "means nothing"),
    "an input without a shape": _refused(
        _set("spec.model.inputs", [{"name": "x", "shape": []}]), "shape"
    ),
    "an input's datatype of another framework": _refused(
        _set("spec.model.inputs", [{"name": "x", "shape": [-1, 3], "datatype": "float32"}]),
        "datatype",
    ),
    "a loader's function with arguments": _refused(
        _set(
            "spec.model",
            {
                "modelFormat": {"name": "pytorch"},
                "storageUri": "s3://m/w.pt",
                "loader": {"storageUri": "s3://m/load.py", "function": "load('x')"},
            },
        ),
        "function",
    ),
    # Optimisation.
    "candidates in mode Auto": _refused(
        _set("spec.optimization.mode", "Auto"), "candidates need mode Explicit, but mode is Auto"
    ),
    "mode Explicit without candidates": _refused(
        _set("spec.optimization.candidates", []), "needs at least one entry in candidates"
    ),
    "two candidates of one name": _refused(
        _set(
            "spec.optimization.candidates",
            [
                {"name": "int8", "quantization": {"mode": "Static"}},
                {"name": "int8", "quantization": {"mode": "Dynamic"}},
            ],
        ),
        "int8",
    ),
    "a candidate that changes nothing": _refused(
        _set("spec.optimization.candidates.0", {"name": "same"}),
        "candidate same changes nothing: set distillation, pruning, quantization, precision or "
        "executionProvider",
    ),
    "two execution providers beside the CPU": _refused(
        _set(
            "spec.optimization.candidates",
            [
                {"name": "a", "executionProvider": "OpenVINO"},
                {"name": "b", "executionProvider": "CUDA"},
            ],
        ),
        "candidates name OpenVINO and CUDA, and no image holds both",
    ),
    "a candidate with nothing to train": _refused(
        _set(
            "spec.optimization.candidates.0",
            {"name": "same", "precision": "FP16", "training": {"epochs": 3}},
        ),
        "candidate same has nothing that training could train",
    ),
    "a student without channels": _refused(
        _set("spec.optimization.candidates.0.distillation", {"width": "0"}),
        "width is 0: use more than 0 and at most 1",
    ),
    "a student that is cut and made by a loader": _refused(
        _set(
            "spec.optimization.candidates.0.distillation",
            {"depth": "0.5", "loader": {"storageUri": "s3://models/student.py"}},
        ),
        "width, depth and latencyRatio cut a student from the model, but a loader makes this one",
    ),
    "a student's loader that is no address": _refused(
        _set("spec.optimization.candidates.0.distillation", {"loader": {"storageUri": "s.py"}}),
        "storageUri",
    ),
    "a candidate in two formats": _refused(
        _set("spec.optimization.candidates.0.precision", "FP16"),
        "candidate int8 has both precision and quantization",
    ),
    "three bits": _refused(
        _set("spec.optimization.candidates.0.quantization.bits", 3), "bits is 3: use 8, 4, 2 or 1"
    ),
    "four bits that are multiplied": _refused(
        _set("spec.optimization.candidates.0.quantization.bits", 4),
        "bits 4 needs mode WeightOnly, but mode is Static",
    ),
    "pruning all": _refused(
        _set("spec.optimization.candidates.0.pruning", {"method": "Percentile", "value": "100"}),
        "value is 100: use more than 0",
    ),
    "pruning more than a layer": _refused(
        _set(
            "spec.optimization.candidates.0.pruning",
            {"method": "Percentile", "value": "50", "maxPerLayer": "1.5"},
        ),
        "maxPerLayer is 1.5: use more than 0 and at most 1",
    ),
    "an export that no tool can write": _refused(
        _set("spec.optimization.exports", ["MindSpore"]), "exports has MindSpore, and no tool"
    ),
    "exports of two frameworks": _refused(
        _set("spec.optimization.exports", ["PT2", "TFLite"]), "no image holds both frameworks"
    ),
    # Validation.
    "a gate against the stable revision that compares nothing": _refused(
        _set(
            "spec.validation.gates.0",
            {"name": "a", "metric": "accuracy", "min": "0.9", "against": "Stable"},
        ),
        "gate a is against Stable, which is what maxDegradation compares with",
    ),
    "a label gate without labels": _refused(
        _drop("spec.validation.dataset"),
        "need validation.dataset with labels",
    ),
    "a gate that bounds nothing": _refused(
        _set("spec.validation.gates.0", {"name": "empty", "metric": "accuracy"}),
        "gate empty bounds nothing: set min, max or maxDegradation",
    ),
    "a gate that can never pass": _refused(
        _set(
            "spec.validation.gates.0",
            {"name": "size", "metric": "size_bytes", "min": "10", "max": "9.5"},
        ),
        "gate size can never pass: min 10 is above max 9.5",
    ),
    "a gate on an unknown metric": _refused(
        _set("spec.validation.gates.0.metric", "bleu"), "metric"
    ),
    "a gate on cost without prices": _refused(
        _set("spec.validation.gates.0", {"name": "cost", "metric": "cost_per_1000", "max": "1"}),
        "a gate on cost_per_1000 needs validation.prices",
    ),
    "a bound that is no number": _refused(
        _set("spec.validation.gates.0.maxDegradation", "one percent"), "maxDegradation"
    ),
    "all rows for calibration": _refused(
        _set("spec.validation.dataset.calibrationFraction", "1"),
        "calibrationFraction is 1: use more than 0 and less than 1",
    ),
    # Pods.
    "a CPU request above the limit": _refused(
        _set("spec.predictor.resources.requests.cpu", "2500m"),
        "requests.cpu 2500m is above limits.cpu 2",
    ),
    "a memory request above the limit": _refused(
        _set("spec.predictor.resources.requests.memory", "1025Mi"),
        "requests.memory 1025Mi is above limits.memory 1Gi",
    ),
    "memory that is no quantity": _refused(
        _set("spec.predictor.resources.limits.memory", "1 GB"), "memory"
    ),
    "no thread": _refused(_set("spec.predictor.session.intraOpNumThreads", 0), "intraOpNumThreads"),
    "replicas as text": _refused(_set("spec.replicas", "three"), "spec.replicas"),
    # Scaling.
    "a minimum above the maximum": _refused(
        _set("spec.autoscaling.minReplicas", 5), "minReplicas 5 is above maxReplicas 3"
    ),
    "scaling to zero": _refused(
        _set("spec.autoscaling.minReplicas", 0), "spec.autoscaling.minReplicas"
    ),
    "autoscaling without a maximum": _refused(
        _drop("spec.autoscaling.maxReplicas"), "spec.autoscaling.maxReplicas"
    ),
    # The rollout.
    "steps that begin with a pause": _refused(
        _set(_STEPS, [{"pause": {}}, {"setWeight": 50}]), "the first step must be a setWeight"
    ),
    "weights that fall": _refused(
        _set(_STEPS, [{"setWeight": 50}, {"setWeight": 20}]), "weights of steps must not fall"
    ),
    "a step of two actions": _refused(
        _set(_STEPS, [{"setWeight": 20, "pause": {}}]), "exactly one of setWeight and pause"
    ),
    "a step of no action": _refused(_set(f"{_STEPS}.1", {}), "exactly one of setWeight and pause"),
    "a weight above 100": _refused(_set(f"{_STEPS}.2.setWeight", 120), "setWeight"),
    "a pause of no duration": _refused(
        _set(f"{_STEPS}.1.pause.duration", "soon"), "pause.duration"
    ),
    "a metric that bounds nothing": _refused(
        _set(f"{_ANALYSIS}.metrics.1", {"name": "latency-p95"}),
        "metric latency-p95 bounds nothing",
    ),
    "two bounds of one metric": _refused(
        _set(f"{_ANALYSIS}.metrics.1.name", "request-success-rate"), "request-success-rate"
    ),
    "an unknown analysis metric": _refused(
        _set(f"{_ANALYSIS}.metrics.0.name", "happiness"), "name"
    ),
}
