"""A large classifier of handwritten digits, and rows that judge and teach a student of it.

    python examples/student/make_model.py FOLDER

writes ``teacher.onnx`` (three products with 512 units: 10 scores, then Softmax) and ``digits.npz``:
``pixels`` float32 [n, 64] and ``labels`` int64 [n] judge, ``train:pixels`` and ``train:labels`` are
60 rows with labels, and ``unlabelled:pixels`` are rows whose labels nobody wrote down.
"""

import argparse
import zipfile
from pathlib import Path

import numpy as np
import onnx
from numpy.lib import format as npy
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

LABELLED = 60


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    pixels, digits = load_digits(return_X_y=True)
    pixels, digits = (pixels / 16).astype(np.float32), digits.astype(np.int64)
    train, test, train_labels, test_labels = train_test_split(
        pixels, digits, test_size=0.4, random_state=0, stratify=digits
    )
    model = MLPClassifier((512, 512), max_iter=200, random_state=0).fit(train, train_labels)
    onnx.save_model(as_onnx(model), folder / "teacher.onnx")
    arrays = {
        "pixels": test,
        "labels": test_labels,
        "train:pixels": train[:LABELLED],
        "train:labels": train_labels[:LABELLED],
        "unlabelled:pixels": train[LABELLED:],
    }
    # Not numpy.savez: it writes the time, and equal rows should have equal digests.
    with zipfile.ZipFile(folder / "digits.npz", "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w") as file:
                npy.write_array(file, array, allow_pickle=False)


def as_onnx(model: MLPClassifier) -> onnx.ModelProto:
    """Its layers with one output, as a network's export has it."""
    weights, nodes, name = [], [], "pixels"
    for number, (matrix, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        for part, value in (("w", matrix), ("b", bias)):
            weights.append(numpy_helper.from_array(value.astype(np.float32), f"{part}{number}"))
        made = f"sum{number}"
        nodes.append(helper.make_node("Gemm", [name, f"w{number}", f"b{number}"], [made], made))
        if number < len(model.coefs_) - 1:
            name = f"unit{number}"
            nodes.append(helper.make_node("Relu", [made], [name], name))
    nodes.append(helper.make_node("Softmax", [made], ["probabilities"], "softmax", axis=-1))
    described = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "digits",
        [described("pixels", TensorProto.FLOAT, ["batch", 64])],
        [described("probabilities", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


if __name__ == "__main__":
    main()
