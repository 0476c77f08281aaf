"""A candidate on OpenVINO, measured and served in the images that have it.

``python -m tests.e2e --frameworks openvino`` builds them.
"""

import json

import pytest

from tests.e2e.figures import tell
from tests.e2e.settings import Images
from tests.e2e.space import Space
from tests.support import models
from tests.support.kubectl import Json, eventually
from tests.support.load import Load, Mix

# The smallest that passes wins, whatever this machine's times are: FP16 halves the file.
WISHED: Json = {
    "mode": "Explicit",
    "objective": "MinSize",
    "candidates": [
        {"name": "small", "precision": "FP16", "executionProvider": "OpenVINO"},
    ],
}


def test_a_pick_on_openvino_is_measured_and_served_by_its_images(
    space: Space, images: Images
) -> None:
    if not images.server_openvino:
        pytest.skip("python -m tests.e2e --frameworks openvino runs this")
    space.apply(space.magika("fast", optimization=WISHED))

    stable = space.healthy("fast", seconds=300)["status"]["stable"]

    assert stable["artifact"]["variant"] == "small"
    manifest = json.loads(space.store.read(stable["artifact"]["uri"]))
    assert manifest["executionProvider"] == "OpenVINO"
    labels = "slipway.dev/model-deployment=fast,app.kubernetes.io/component="
    found = {
        component: {
            each["image"]
            for pod in space.kubectl.list("pods", labels=labels + component)
            for each in pod["spec"]["containers"]
        }
        for component in ("optimizer", "predictor")
    }
    assert found == {
        "optimizer": {images.optimizer_openvino},
        "predictor": {images.server_openvino},
    }
    row = models.magika_row(space.files.folder)
    rest, rpc = models.rest("fast", "bytes", row), models.grpc("fast", "bytes", row)
    target = space.reachable("fast")
    with Load(target, http=rest, grpc_request=rpc, mix=Mix.half_kept(20)) as load:
        eventually("answers", lambda: load.result.requests >= 60, seconds=60)
    assert load.result.failures == []
    tell(f"OpenVINO: {stable['validation']['message']}; {load.result.summary()}")
