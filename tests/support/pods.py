"""A server as a pod: a request to serve an artifact of a folder store, and the pod's folder."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slipway.api.v1alpha1.predictor import Warmup
from slipway.artifacts.folder import FolderStore
from slipway.tasks import ServingRequest, StepFailure, parse_report
from tests.support import onnx_models
from tests.support.artifacts import Artifact
from tests.support.server import Server, pod_env

ROWS = np.array([[0.5, -1.25], [3.0, 4.0]], np.float32)
GOOD = Artifact(model=onnx_models.double(), golden={"input:x": ROWS, "output:y": ROWS * 2})
SLOW = Artifact(model=onnx_models.slow())


@dataclass(slots=True)
class Pod:
    """A request to serve an artifact from a folder store, and the folder of its pod."""

    folder: Path
    request: ServingRequest
    storage: Path | None = None

    @classmethod
    def of(cls, artifact: Artifact, folder: Path, **options: Any) -> "Pod":
        """Publish the artifact and ask for it."""
        root = f"file://{folder}/store"
        key, digest = artifact.publish(FolderStore(folder / "store"), folder)
        request = ServingRequest(
            namespace="team",
            name="m",
            revision="m-00001",
            artifacts_uri=root,
            manifest_uri=f"{root}/{key}",
            manifest_digest=digest,
            warmup=Warmup(iterations=1),
            **options,
        )
        return cls(folder, request)

    @property
    def env(self) -> dict[str, str]:
        """Of the process."""
        return pod_env(self.request, self.folder, storage=self.storage)

    def blobs(self) -> list[Path]:
        """The blobs in the store."""
        return list((self.folder / "store" / "blobs" / "sha256").iterdir())

    def failure(self) -> StepFailure:
        """What the pod left as termination message."""
        report = parse_report((self.folder / "termination-log").read_text())
        assert isinstance(report, StepFailure)
        return report


def turns_of(server: Server, seconds: float) -> float:
    """How many turns of the slow model's loop take about so long on this machine.

    The runs that tell it are long enough, and so many in a row, that the model leaves the loop.
    """
    turns, took = 1_000.0, 0.0
    while took < 0.05:
        turns *= 2
        took = min(_seconds_of(server, turns) for _ in range(3))  # the others were disturbed
    return min(turns * seconds / took, 2**30)


def _seconds_of(server: Server, turns: float) -> float:
    start = time.perf_counter()
    assert server.infer([turns, 0.0])[0] == 200
    return time.perf_counter() - start
