"""Objects as a user or a program would write them, with everything but the point left out."""

from typing import Any

from slipway.artifacts.manifest import Verdict
from slipway.tasks import ArtifactReference, CandidateSummary, JobReport, ReplayReport
from slipway_operator.plan.config import Config, DefaultArtifacts, Images

SERVER_IMAGE = "registry.example/slipway-server:1"
OPTIMIZER_IMAGE = "registry.example/slipway-optimizer:1"
CLASSIC_IMAGE = "registry.example/slipway-optimizer-classic:1"

Json = dict[str, Any]


def digest(letter: str) -> str:
    """A digest that is easy to see."""
    return "sha256:" + letter * 64


def config(**changes: Any) -> Config:
    """The operator's configuration."""
    return Config(
        **{
            "images": Images(SERVER_IMAGE, OPTIMIZER_IMAGE, CLASSIC_IMAGE),
            "default_artifacts": DefaultArtifacts("s3://artifacts/team", "store"),
            **changes,
        }
    )


def model_deployment(name: str = "fraud", *, model: str = "v1", **spec: Any) -> Json:
    """A ModelDeployment; ``model`` is the version in the source's address."""
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "model": {
                "modelFormat": {"name": "onnx"},
                "storageUri": f"s3://models/{name}/{model}/model.onnx",
                "storage": {"secretRef": {"name": "store"}},
            },
            "replicas": 4,
            **spec,
        },
    }


def job_report(letter: str = "a", **changes: Any) -> JobReport:
    """What the optimization Job reports when all went well."""
    return JobReport(
        **{
            "artifact": ArtifactReference(
                manifest_uri=f"s3://artifacts/team/uid/manifests/{letter * 64}/manifest.json",
                manifest_digest=digest(letter),
                variant="int8-static",
                model_digest=digest(letter),
                source_digest=digest(letter),
                size_bytes=840_000,
            ),
            "cache_hit": False,
            "verdict": Verdict.PASSED,
            "reason": "GatesPassed",
            "message": "int8-static: accuracy 0.942, 0.45x latency, 0.27x size",
            "report_uri": "s3://artifacts/team/uid/report.json",
            "node_class": "x86_64+vnni",
            "candidates": (
                CandidateSummary(name="fp32", verdict=Verdict.PASSED, reason="Baseline"),
                CandidateSummary(name="int8-static", verdict=Verdict.PASSED, reason="Picked"),
            ),
            "seconds": {"fetch": 1.0, "build": 2.0, "validate": 3.0, "publish": 0.5},
            **changes,
        }
    )


def replay_report(**changes: Any) -> ReplayReport:
    """What the replay Job reports when both revisions answer alike."""
    return ReplayReport(
        **{
            "samples": 256,
            "agreeing": 256,
            "stable_errors": 0,
            "canary_errors": 0,
            "stable_p95_ms": 10.0,
            "canary_p95_ms": 9.0,
            **changes,
        }
    )
