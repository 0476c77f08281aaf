"""Models of frameworks, each converted by a Job in its framework's own image, and served; exports.

Needs images of gigabytes: ``python -m tests.e2e --frameworks tensorflow mindspore torch`` builds
them.
"""

import base64
import hashlib
import json
import math
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.e2e.figures import tell
from tests.e2e.settings import SECRET, Images
from tests.e2e.space import Space, condition
from tests.support.kubectl import Json, eventually

MAKERS = Path(__file__).parents[1] / "conversions"
STUDENT = Path(__file__).parents[2] / "examples" / "student"
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
        loader: the Python file that the maker wrote beside it, for weights alone.
        model: more fields of ``spec.model``.
    """

    framework: str
    file: str
    format: str
    shape: tuple[int, ...]
    loader: str = ""
    model: Json = field(default_factory=dict)


INPUTS = {"inputs": [{"name": "rows", "shape": [-1, 4]}]}
CASES = (
    Case("tensorflow", "net.keras", "tensorflow", (1, 8, 8, 1)),
    Case("tensorflow", "net.tflite", "tensorflow", (1, 8, 8, 1)),
    Case("mindspore", "net.ckpt", "mindspore", (1, 4), "load.py", INPUTS),
    Case("torch", "open.pt2", "pytorch", (1, 1, 28, 28)),
)


# What a written file begins with, and where.
EXPORTS = {
    "tensorflow": {"model.tflite": (4, b"TFL3"), "saved_model.zip": (0, b"PK")},
    "torch": {"model.pt2": (0, b"PK")},
}
ASKED = {"tensorflow": ["TFLite", "SavedModel"], "torch": ["PT2"]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_a_job_converts_it_in_its_frameworks_image(
    space: Space, images: Images, case: Case
) -> None:
    image = _image(images, case.framework)
    files = _made(space, image, case.framework)
    space.apply(_resource(space, files, case))

    status = space.healthy("net", seconds=300)["status"]

    assert _job_images(space) == {image}
    tell(f"{case.file}: {status['stable']['validation']['message']}")
    (output,) = _answer(space, case)["outputs"]
    assert output["shape"][0] == 1
    assert all(isinstance(value, float) for value in output["data"])


def test_a_mindir_is_refused_with_the_remedy(space: Space, images: Images) -> None:
    files = _made(space, _image(images, "mindspore"), "mindspore")
    space.apply(_resource(space, files, Case("mindspore", "net.mindir", "mindspore", (1, 4))))

    told = space.watch.wait("net", lambda found: bool(condition(found, "Stalled")), seconds=180)

    message = condition(told, "Stalled")["message"]
    assert "MindIR, which MindSpore cannot export to ONNX: upload the checkpoint" in message
    tell(f"net.mindir: {message}")


@pytest.mark.parametrize("framework", EXPORTS)
def test_a_job_writes_exports_beside_the_model(
    space: Space, images: Images, framework: str
) -> None:
    image = _image(images, framework)
    wished = {"mode": "ConvertOnly", "exports": ASKED[framework]}
    space.apply(space.plain("net", optimization=wished))

    artifact = space.healthy("net", seconds=300)["status"]["stable"]["artifact"]

    assert _job_images(space) == {image}
    manifest = json.loads(space.store.read(artifact["uri"]))
    listed = {file["name"]: file for file in manifest["files"]}
    root = artifact["uri"].split("/manifests/")[0]
    for name, (offset, mark) in EXPORTS[framework].items():
        digest = listed[name]["digest"].removeprefix("sha256:")
        blob = space.store.read(f"{root}/blobs/sha256/{digest}")
        assert hashlib.sha256(blob).hexdigest() == digest
        assert blob[offset : offset + len(mark)] == mark
        tell(f"{name}: {len(blob):,} bytes")


def test_students_are_taught_in_pytorchs_image_as_the_example_says(
    space: Space, images: Images, tmp_path: Path
) -> None:
    image = _image(images, "torch")
    made = [sys.executable, str(STUDENT / "make_model.py"), str(tmp_path)]
    subprocess.run(made, check=True, timeout=120)
    space.apply(_student_resource(space, tmp_path))

    status = space.healthy("digits-student", seconds=900)["status"]

    assert _job_images(space, "digits-student") == {image}
    validation = status["stable"]["validation"]
    candidates = {each["name"]: each for each in validation["candidates"]}
    assert candidates.keys() == {"fp32", "own", "cut", "thin"}
    for name in ("own", "cut"):
        assert candidates[name]["verdict"] == "Passed"  # it keeps 0.03 of the teacher's accuracy
        assert candidates[name]["sizeBytes"] < candidates["fp32"]["sizeBytes"] / 5
    assert candidates["thin"]["sizeBytes"] < candidates["fp32"]["sizeBytes"]
    scores = ", ".join(f"{name} {each['score']}" for name, each in candidates.items())
    tell(f"students: {validation['message']}; {scores}")


def _student_resource(space: Space, folder: Path) -> Json:
    """The example with the addresses that its comments tell to put in."""
    resource: Json = yaml.safe_load((STUDENT / "digits.yaml").read_text())
    spec = resource["spec"]
    candidates = spec["optimization"]["candidates"]
    (own,) = (each for each in candidates if each["name"] == "own")
    for holder, path in (
        (spec["model"], folder / "teacher.onnx"),
        (spec["validation"]["dataset"], folder / "digits.npz"),
        (own["distillation"]["loader"], STUDENT / "student.py"),
    ):
        assert holder["storageUri"].endswith(f"/{path.name}")
        holder["storageUri"] = space.store.put(f"{space.name}/{path.name}", path)
        if holder is not own["distillation"]["loader"]:  # which is read with the model's Secret
            holder["storage"] = {"secretRef": {"name": SECRET}}
    return resource


def _image(images: Images, framework: str) -> str:
    """Its optimizer's image; without it the test is skipped."""
    image = images.frameworks.get(f"optimizer{framework.title()}")
    if image is None:
        pytest.skip(f"python -m tests.e2e --frameworks {framework} runs this")
    return image


def _resource(space: Space, files: dict[str, bytes], case: Case) -> Json:
    def put(name: str) -> str:
        return space.store.put(f"{space.name}/{name}", files[name])

    resource = space.plain("net", validation={})
    model = {"storageUri": put(case.file), "modelFormat": {"name": case.format}, **case.model}
    if case.loader:
        model["loader"] = {"storageUri": put(case.loader)}
    resource["spec"]["model"] |= model
    return resource


def _job_images(space: Space, name: str = "net") -> set[str]:
    labels = f"slipway.dev/model-deployment={name},app.kubernetes.io/component=optimizer"
    (pod,) = space.kubectl.list("pods", labels=labels)
    return {each["image"] for each in pod["spec"]["containers"]}


def _made(space: Space, image: str, framework: str) -> dict[str, bytes]:
    """The files that the framework's maker writes, in a pod of the framework's image."""
    script = (MAKERS / f"make_{framework}.py").read_text() + SHOW
    space.kubectl.apply(_maker(image, script))

    def phase() -> str:
        found: str = space.kubectl.get("pod", "maker")["status"].get("phase", "")
        return found

    eventually("a model made", lambda: phase() in ("Succeeded", "Failed"), seconds=180, period=1)
    said = space.kubectl("logs", "maker")
    assert phase() == "Succeeded", said[-2000:]
    lines = [line.split() for line in said.splitlines() if line.startswith("FILE ")]
    return {name: base64.b64decode(text) for _, name, text in lines}


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
