"""Models of frameworks, each converted by a Job in its framework's own image, and served.

Needs images of gigabytes: ``python -m tests.e2e --frameworks tensorflow mindspore`` builds them.
"""

import base64
import json
import math
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.figures import tell
from tests.e2e.settings import Images
from tests.e2e.space import Space
from tests.support.kubectl import Json, eventually

MAKERS = Path(__file__).parents[1] / "conversions"
SHOW = """
import base64, pathlib
for path in sorted(pathlib.Path("/tmp").iterdir()):
    if path.is_file():
        print("FILE", path.name, base64.b64encode(path.read_bytes()).decode())
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One file of a framework.

    Attributes:
        framework: whose image.
        file: as the framework's maker names it.
        format: of the model, as the resource names it.
        shape: of its one input, for one row.
    """

    framework: str
    file: str
    format: str
    shape: tuple[int, ...]


CASES = (
    Case("tensorflow", "net.keras", "tensorflow", (1, 8, 8, 1)),
    Case("tensorflow", "net.tflite", "tensorflow", (1, 8, 8, 1)),
    Case("mindspore", "net.mindir", "mindspore", (1, 4)),
    Case("torch", "net.pt2", "pytorch", (1, 1, 28, 28)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_a_job_converts_it_in_its_frameworks_image(
    space: Space, images: Images, case: Case
) -> None:
    image = images.frameworks.get(f"optimizer{case.framework.title()}")
    if image is None:
        pytest.skip(f"python -m tests.e2e --frameworks {case.framework} runs this")
    uri = space.store.put(f"{space.name}/{case.file}", _made(space, image, case))
    resource = space.plain("net", validation={})
    resource["spec"]["model"] |= {"storageUri": uri, "modelFormat": {"name": case.format}}
    space.apply(resource)

    status = space.healthy("net", seconds=300)["status"]

    labels = "slipway.dev/model-deployment=net,app.kubernetes.io/component=optimizer"
    (pod,) = space.kubectl.list("pods", labels=labels)
    assert {each["image"] for each in pod["spec"]["containers"]} == {image}
    tell(f"{case.file}: {status['stable']['validation']['message']}")
    (output,) = _answer(space, case)["outputs"]
    assert output["shape"][0] == 1
    assert all(isinstance(value, float) for value in output["data"])


def _made(space: Space, image: str, case: Case) -> bytes:
    """The file, made in a pod of the framework's image."""
    script = (MAKERS / f"make_{case.framework}.py").read_text() + SHOW
    space.kubectl.apply(_maker(image, script))

    def phase() -> str:
        found: str = space.kubectl.get("pod", "maker")["status"].get("phase", "")
        return found

    eventually("a model made", lambda: phase() in ("Succeeded", "Failed"), seconds=180, period=1)
    said = space.kubectl("logs", "maker")
    lines = [line.split() for line in said.splitlines() if line.startswith("FILE ")]
    files = {name: base64.b64decode(text) for _, name, text in lines}
    assert case.file in files, said[-2000:]
    return files[case.file]


def _maker(image: str, script: str) -> Json:
    container = {
        "name": "maker",
        "image": image,
        "command": ["python", "-c", script, "/tmp"],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "maker"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [container],
        },
    }


def _answer(space: Space, case: Case) -> Json:
    target = space.reachable("net")
    base = f"http://{target.host}:{target.http_port}/v2/models/net"
    with urllib.request.urlopen(base, timeout=10) as response:
        (declared,) = json.load(response)["inputs"]
    tensor = {
        "name": declared["name"],
        "datatype": "FP32",
        "shape": case.shape,
        "data": [0.5] * math.prod(case.shape),
    }
    body = json.dumps({"inputs": [tensor]}).encode()
    request = urllib.request.Request(f"{base}/infer", data=body)
    with urllib.request.urlopen(request, timeout=10) as response:
        found: Json = json.load(response)
    return found
