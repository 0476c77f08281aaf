"""The input key: everything that shapes the result, and nothing else."""

from typing import Any

import pytest

from slipway.artifacts.manifest import Hardware
from slipway.tasks import OptimizationRequest
from slipway_optimizer.steps.fetch import Digests, key_inputs, key_of, key_parts

MACHINE = Hardware(
    architecture="x86_64", cpu_model="A", cpu_flags=("avx512_vnni", "fma"), threads=1
)
VERSIONS = {"onnxruntime": "1"}


def request(**changes: Any) -> OptimizationRequest:
    whole: dict[str, Any] = {
        "model": {"uri": "s3://b/m.onnx", "modelFormat": "onnx"},
        "optimization": {},
        "validation": {"dataset": {"storageUri": "s3://b/d.npz"}},
        "artifactsUri": "s3://b/a",
    }
    return OptimizationRequest.model_validate(whole | changes)


def key(
    of: OptimizationRequest | None = None,
    digests: Digests = Digests("s", "d"),  # noqa: B008 - frozen
    machine: Hardware = MACHINE,
    versions: dict[str, str] = VERSIONS,
) -> str:
    return key_of(key_inputs(of or request(), digests, machine, versions))


MORE_CALIBRATION = {"storageUri": "s3://b/d.npz", "calibrationFraction": "0.3"}
DATASET = {"storageUri": "s3://elsewhere/d.npz", "storage": {"secretRef": {"name": "other"}}}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(request(validation={"dataset": DATASET}), id="where the data set lies"),
        pytest.param(
            request(model={"uri": "s3://c/n.onnx", "modelFormat": "onnx"}),
            id="where the model lies",
        ),
        pytest.param(request(artifactsUri="s3://c/a"), id="where artifacts go"),
    ],
)
def test_places_are_no_input(other: OptimizationRequest) -> None:
    assert key(other) == key()


def student(uri: str, function: str = "load") -> OptimizationRequest:
    loader = {"storageUri": uri, "weightsUri": f"{uri}.pt", "function": function, "image": uri[5:]}
    candidates = [{"name": "own", "distillation": {"loader": loader}}]
    return request(optimization={"mode": "Explicit", "candidates": candidates})


def test_of_a_student_s_loader_the_function_is_an_input_and_no_place() -> None:
    first = key(student("s3://b/s.py"))
    assert key(student("s3://c/t.py")) == first
    assert key(student("s3://b/s.py", "make")) != first


def test_equal_nodes_share_artifacts() -> None:
    twin = MACHINE.model_copy(update={"cpu_model": "B", "cpu_flags": ("avx512_vnni",)})
    assert key(machine=twin) == key()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"digests": Digests("t", "d")}, id="source"),
        pytest.param({"digests": Digests("s", "e")}, id="data set"),
        pytest.param({"versions": {"onnxruntime": "2"}}, id="toolchain"),
        pytest.param({"machine": MACHINE.model_copy(update={"cpu_flags": ()})}, id="node class"),
        pytest.param({"of": request(threads=2)}, id="threads"),
        pytest.param({"of": request(attempt=1)}, id="a retry that was asked for"),
        pytest.param({"of": request(optimization={"objective": "MinSize"})}, id="objective"),
        pytest.param(
            {"of": request(validation={"dataset": MORE_CALIBRATION})}, id="calibration"
        ),
        pytest.param(
            {"of": request(model={"uri": "s3://b/m.onnx", "modelFormat": "sklearn"})}, id="format"
        ),
        pytest.param({"digests": Digests("s", "d", "l")}, id="loader"),
        pytest.param({"digests": Digests("s", "d", students=("own code c",))}, id="student"),
        pytest.param({"digests": Digests("s", "d", stable="m")}, id="what it is held against"),
        pytest.param(
            {"of": request(model={"uri": "s3://b/m.onnx", "modelFormat": "onnx",
                                  "inputs": [{"name": "x", "shape": [-1, 3]}]})},
            id="inputs",
        ),
    ],
)  # fmt: skip
def test_what_shapes_the_result_is_an_input(other: dict[str, Any]) -> None:
    assert key(**other) != key()


def test_two_jobs_lines_show_which_part_differs() -> None:
    def parts(digest: str, objective: str) -> dict[str, str]:
        of = request(optimization={"objective": objective})
        return key_parts(key_inputs(of, Digests(digest), MACHINE, VERSIONS))

    one, other = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    first = parts(one, "MinSize")
    assert first["source"] == "11111111"
    assert (first["nodeClass"], first["threads"]) == ("x86_64+vnni", "1")
    assert "dataset" not in first
    assert {k for k, v in parts(other, "MinSize").items() if v != first[k]} == {"source"}
    assert {k for k, v in parts(one, "MinCost").items() if v != first[k]} == {"optimization"}
