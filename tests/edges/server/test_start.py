"""From a folder store to ready, and every way not to start."""

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slipway.api.v1alpha1.predictor import Session
from slipway.artifacts.layout import digest_of
from slipway.contract import ServerMetric
from tests.support import compiled, onnx_models
from tests.support.artifacts import Artifact
from tests.support.pods import GOOD, ROWS, Pod
from tests.support.server import serving


def test_the_program_is_the_one_of_the_images_where_it_could_be_compiled(tmp_path: Path) -> None:
    if not compiled.environment():
        pytest.skip("the server is not compiled here: python -m tests.support.compiled")
    with serving(env=Pod.of(GOOD, tmp_path).env) as server:
        assert "program=compiled" in server.log()


def test_a_pod_serves_the_artifact_that_it_was_asked_for(tmp_path: Path) -> None:
    pod = Pod.of(GOOD, tmp_path, session=Session(intra_op_num_threads=1))
    with serving(env=pod.env) as server:
        status, body, headers = server.infer([1.0, 2.0])
        assert (status, body["outputs"][0]["data"]) == (200, [2, 4])
        assert headers["slipway-revision"] == "m-00001"
        assert headers["slipway-artifact"] == pod.request.manifest_digest
        phases = {
            phase: server.metric(ServerMetric.STARTUP, phase=phase)
            for phase in ("download", "load", "warmup", "golden", "batching", "total")
        }
        assert phases["total"] > phases["load"] > 0
        digest = pod.request.manifest_digest
        assert server.metric(ServerMetric.INFO, revision="m-00001", variant="fp32", digest=digest)
        for word in ("model=m", "revision=m-00001", digest, "threads=1", "golden=2", "load_ms="):
            assert word in server.log()
        assert server.terminate() == 0
    assert not (tmp_path / "termination-log").exists()


@pytest.mark.parametrize(
    ("harm", "reason", "text"),
    [
        (lambda pod: pod.blobs()[0].write_bytes(b"x"), "ArtifactInvalid", "but the manifest says"),
        (lambda pod: pod.blobs()[0].unlink(), "ArtifactNotFound", "does not exist"),
        (
            lambda pod: (pod.folder / "store/manifests" / ("1" * 64) / "manifest.json").unlink(),
            "ArtifactNotFound",
            "does not exist",
        ),
        (
            lambda pod: (pod.folder / "store/manifests" / ("1" * 64) / "manifest.json").write_text(
                "{}"
            ),
            "ArtifactInvalid",
            "somebody changed it in the store",
        ),
    ],
    ids=["changed blob", "missing blob", "missing manifest", "changed manifest"],
)
def test_a_broken_artifact_is_never_served(
    tmp_path: Path, harm: Callable[[Pod], object], reason: str, text: str
) -> None:
    pod = Pod.of(Artifact(model=onnx_models.double()), tmp_path)
    harm(pod)
    with serving(env=pod.env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
    failure = pod.failure()
    assert (failure.reason, failure.transient) == (reason, False)
    assert text in failure.message


@pytest.mark.parametrize(
    ("artifact", "reason", "text"),
    [
        (Artifact(model=b"no model"), "ModelNotLoadable", "cannot load it"),
        (
            Artifact(
                model=onnx_models.double(),
                golden={"input:x": ROWS, "output:y": np.array([[1.0, -2.5], [6, 9]], "f4")},
            ),
            "GoldenMismatch",
            "golden sample 1: output 'y' is not what was recorded: 8 instead of 9",
        ),
        (
            Artifact(model=onnx_models.double(), golden={"input:x": ROWS[:, :1]}),
            "ModelFailed",
            "the model refuses this input",
        ),
        (
            Artifact(model=onnx_models.double(), golden={"input:z": ROWS}),
            "ModelNotLoadable",
            "the samples lack the array 'input:x'",
        ),
    ],
    ids=["not a model", "another answer", "samples of another shape", "samples of another input"],
)
def test_a_model_that_does_not_prove_itself_is_never_ready(
    tmp_path: Path, artifact: Artifact, reason: str, text: str
) -> None:
    pod = Pod.of(artifact, tmp_path)
    with serving(env=pod.env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert "Traceback" not in server.log()
    assert (pod.failure().reason, text in pod.failure().message) == (reason, True), pod.failure()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for variable, text in (("HTTP", "HTTP port"), ("GRPC", "gRPC port")):
            pod = Pod.of(GOOD, tmp_path)
            env = pod.env | {f"SLIPWAY_{variable}_PORT": port}
            with serving(env=env, wait=False) as server:
                assert server.process.wait(timeout=60) == 65
            assert pod.failure().reason == "AddressInUse"
            assert f"{text} {port} cannot be opened" in pod.failure().message


def test_a_pod_without_a_request_says_so(tmp_path: Path) -> None:
    env = {"SLIPWAY_REQUEST_FILE": str(tmp_path / "absent"), "SLIPWAY_LOG_FORMAT": "json"}
    with serving(env=env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert '"message": "SettingsInvalid: there is no request file' in server.log()


def test_digests_of_the_log_and_the_manifest_agree(tmp_path: Path) -> None:
    with serving(GOOD.write(tmp_path)) as server:
        assert f"artifact={digest_of(GOOD.manifest_bytes())}" in server.log()


def test_a_server_maps_no_library_that_it_could_do_without(tmp_path: Path) -> None:
    """Half of an idle server's memory and most of its start are libraries."""
    with serving(env=Pod.of(GOOD, tmp_path).env) as server:
        assert server.infer([1.0, 2.0])[0] == 200
        mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "onnxruntime" in mapped
    for library in ("pydantic", "/grpc/", "google", "boto", "zstd", "obstore"):
        assert library not in mapped, library
