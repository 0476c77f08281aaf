"""OpenVINO below ONNX Runtime: measured as a candidate, and served by the engine."""

import json
from pathlib import Path

import numpy as np
import pytest

from slipway.artifacts.manifest import ArtifactManifest, ExecutionProvider
from slipway_optimizer.arrays import Array, load_npz
from tests.conversions.conftest import Framework, bare
from tests.support.small_models import classifier, rows, save, save_rows

pytestmark = pytest.mark.timeout(300)
_SERVE = """
import json, sys
from pathlib import Path
import numpy as np
from slipway.artifacts.words import ExecutionProvider
from slipway_server.engine import OnnxSession
session = OnnxSession(Path(sys.argv[1]), threads=1, provider=ExecutionProvider.OPENVINO)
(scores,) = session.run({"x": np.load(sys.argv[2])["input:x"]})
print(json.dumps(scores.tolist()))
"""


@pytest.fixture(scope="module")
def openvino(tmp_path_factory: pytest.TempPathFactory) -> Framework:
    return bare("openvino", tmp_path_factory)


def test_openvino_is_measured_beside_the_cpu_and_its_pick_is_served(
    openvino: Framework, tmp_path: Path
) -> None:
    save(tmp_path / "m.onnx", classifier())
    save_rows(tmp_path / "d.npz", rows(300))
    # MinSize takes the smallest that passes, whatever the times are.
    openvino.run(
        "-m", "slipway_optimizer", "optimize", "--model", "m.onnx", "--dataset", "d.npz",
        "--output", "out", "--threads", "1", "--budget-seconds", "60", "--objective", "MinSize",
        "--candidate", "fast:provider=OpenVINO",
        "--candidate", "small:precision=FP16,provider=OpenVINO",
        cwd=tmp_path,
    )  # fmt: skip
    out = tmp_path / "out"
    manifest = ArtifactManifest.model_validate_json((out / "manifest.json").read_bytes())
    found = {c.name: c for c in manifest.validation.candidates}
    assert set(found) == {"fp32", "fast", "small"}
    assert (found["fast"].recipe, found["fast"].sqnr_db is not None) == (
        "fp32, on OpenVINO", True
    )  # fmt: skip
    assert "onnxruntime-openvino" in manifest.toolchain
    golden: dict[str, Array] = load_npz(out / "golden.npz", limit=1 << 20)
    text = openvino.run(
        "-c", _SERVE, str(out / "model.onnx"), str(out / "golden.npz"), cwd=tmp_path
    )
    np.testing.assert_allclose(json.loads(text), golden["output:p"], atol=1e-3)
    assert manifest.execution_provider in tuple(ExecutionProvider)
