"""PyTorch in every format: compared with the module, open for batches, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway_optimizer import graph
from slipway_optimizer.session import Model
from tests.conversions.conftest import Framework

pytestmark = pytest.mark.timeout(300)
IMAGE = [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}]


def answer(folder: Path, rows: int) -> Any:
    image = np.random.default_rng(1).random((rows, 1, 28, 28), np.float32)
    (scores,) = Model(folder / "model.onnx", threads=1).run({"image": image}).values()
    return scores


@pytest.fixture(scope="module")
def expected(torch: Framework, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("reference")
    assert torch.convert("open.pt2", folder).reason is None
    return answer(folder, 5)


@pytest.mark.parametrize(
    ("source", "order"),
    [
        ("open.pt2", {}),
        ("fixed.pt2", {}),
        ("script.pt", {"inputs": IMAGE}),
        ("weights.pt", {"inputs": IMAGE, "loader": "load.py"}),
        ("whole.pt", {"inputs": IMAGE, "loader": "load.py", "allowPickle": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_format_gives_the_same_answers_in_any_batch(
    source: str, order: dict[str, Any], torch: Framework, expected: Any, tmp_path: Path
) -> None:
    if source == "whole.pt":  # its classes are in the loader's module, as a user's are
        order = order | {"loaderFunction": "whole"}
        text = (torch.models / "load.py").read_text()
        (torch.models / "whole.py").write_text(
            text + "\n\ndef whole(path):\n    import sys\n    sys.modules['load'] = sys.modules"
            "[__name__]\n    return torch.load(path, weights_only=False)\n"
        )
        order["loader"] = "whole.py"
    if "loader" in order:
        order = order | {"loader": torch.models / order["loader"]}
    found = torch.convert(source, tmp_path, **order)
    assert (found.reason, found.message) == (None, "")
    assert float(found.figures["max_difference"]) < 1e-5
    np.testing.assert_allclose(answer(tmp_path, 5), expected, atol=1e-5)


def test_a_hugging_face_folder_is_converted_with_its_names(
    torch: Framework, tmp_path: Path
) -> None:
    found = torch.convert("bert", tmp_path)
    assert (found.reason, found.message) == (None, "")
    signature = graph.signature_of(graph.load(tmp_path / "model.onnx"))
    assert {t.name: t.shape for t in (*signature.inputs, *signature.outputs)} == {
        "input_ids": (-1, -1),
        "attention_mask": (-1, -1),
        "token_type_ids": (-1, -1),
        "last_hidden_state": (-1, -1, 16),
        "pooler_output": (-1, 16),
    }


def test_torchscript_that_answers_a_dict_is_converted_with_its_names(
    torch: Framework, expected: Any, tmp_path: Path
) -> None:
    found = torch.convert("named.pt", tmp_path, inputs=IMAGE)
    assert (found.reason, found.message) == (None, "")
    signature = graph.signature_of(graph.load(tmp_path / "model.onnx"))
    assert [(t.name, t.shape) for t in signature.inputs] == [("image", (-1, 1, 28, 28))]
    assert [(t.name, t.shape[0]) for t in signature.outputs] == [("scores", -1), ("shares", -1)]
    image = np.random.default_rng(1).random((5, 1, 28, 28), np.float32)
    scores = Model(tmp_path / "model.onnx", threads=1).run({"image": image})["scores"]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


STREAM = [{"name": "rows", "shape": [-1, 9, 8]}, {"name": "state", "shape": [2, -1, 16]}]


@pytest.mark.parametrize(
    ("source", "order"),
    [
        ("state.pt2", {}),
        ("state.pt", {"inputs": STREAM}),
        ("state.weights.pt", {"inputs": STREAM, "loader": "load.py", "loaderFunction": "state"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_state_whose_batch_is_not_first_is_put_first(
    source: str, order: dict[str, Any], torch: Framework, tmp_path: Path
) -> None:
    if "loader" in order:
        order = order | {"loader": torch.models / order["loader"]}
    found = torch.convert(source, tmp_path, **order)
    assert (found.reason, found.message) == (None, "")
    assert "input 'state' has its batch in dimension 1: moved to 0" in found.notes
    signature = graph.signature_of(graph.load(tmp_path / "model.onnx"))
    shapes = [tensor.shape for tensor in (*signature.inputs, *signature.outputs)]
    assert [shape[0] for shape in shapes] == [-1] * 4
    assert (shapes[1], shapes[3]) == ((-1, 2, 16), (-1, 2, 16))


@pytest.mark.parametrize(
    ("source", "order", "reason", "words"),
    [
        ("script.pt", {}, "InputsUnknown", "its arguments are image"),
        ("weights.pt", {}, "LoaderNeeded", "holds weights and no model"),
        ("weights.safetensors", {}, "LoaderNeeded", "set spec.model.loader"),
        ("whole.pt", {}, "SourceUntrusted", "save it with torch.export.save"),
        ("whole.pt", {"allowPickle": True}, "SourceCorrupt", "classes are not in this image"),
        ("weights.pt", {"loaderFunction": "absent"}, "LoaderFailed", "has no function 'absent'"),
        ("weights.pt", {"loaderFunction": "nothing"}, "LoaderFailed", "returned a int"),
        ("weights.pt", {"loaderFunction": "online"}, "LoaderFailed", "PermissionError"),
    ],
)
def test_a_refusal_names_reason_and_remedy(
    source: str, order: dict[str, Any], reason: str, words: str, torch: Framework, tmp_path: Path
) -> None:
    if "loaderFunction" in order:
        order = order | {"loader": torch.models / "load.py", "inputs": IMAGE}
    found = torch.convert(source, tmp_path, **order)
    assert found.reason == reason
    assert words in found.message
