"""Attention becomes one operator, whoever exported it, and answers as before with any mask."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from slipway_optimizer.passes.fuse import fuse
from slipway_optimizer.passes.unused import sort_nodes
from tests.support.small_models import model_of

HEADS, SIZE, PLACES = 2, 4, 6
WIDTH = HEADS * SIZE
BY_HEAD, BY_HEAD_TURNED = [0, 2, 1, 3], [0, 2, 3, 1]
node = helper.make_node
Nodes = list[onnx.NodeProto]


def heads(part: str, *, perm: list[int], shape: str = "split") -> Nodes:
    """What turns x into queries, keys or values of each head."""
    return [
        node("MatMul", ["x", f"{part}.w"], [f"{part}.flat"]),
        node("Reshape", [f"{part}.flat", shape], [f"{part}.split"]),
        node("Transpose", [f"{part}.split"], [f"{part}.heads"], perm=perm),
    ]


def end(share: str = "share") -> Nodes:
    return [
        node("MatMul", [share, "v.heads"], ["mixed"]),
        node("Transpose", ["mixed"], ["back"], perm=BY_HEAD),
        node("Reshape", ["back", "join"], ["y"]),
    ]


def written_like_bert() -> Nodes:
    """Scores are divided; keys are turned in a step of their own."""
    return [
        *heads("q", perm=BY_HEAD),
        *heads("k", perm=BY_HEAD),
        *heads("v", perm=BY_HEAD),
        node("Transpose", ["k.heads"], ["k.turned"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q.heads", "k.turned"], ["raw"]),
        node("Div", ["raw", "root"], ["scores"]),
        node("Add", ["scores", "mask"], ["masked"]),
        node("Softmax", ["masked"], ["share"], axis=-1),
        *end(),
    ]


def written_like_torch(count: str = "heads") -> Nodes:
    """Queries and keys are scaled before; shapes are put together; the mask comes first."""
    return [
        node("Shape", ["x"], ["n"], start=0, end=1),
        node("Shape", ["x"], ["s"], start=1, end=2),
        node("Concat", ["n", "s", count, "size"], ["shape"], axis=0),
        *heads("q", perm=BY_HEAD, shape="shape"),
        *heads("k", perm=BY_HEAD_TURNED, shape="shape"),
        *heads("v", perm=BY_HEAD, shape="shape"),
        node("Mul", ["q.heads", "quarter"], ["q.scaled"]),
        node("Mul", ["k.heads", "root"], ["k.scaled"]),
        node("MatMul", ["q.scaled", "k.scaled"], ["scores"]),
        node("Add", ["mask", "scores"], ["masked"]),
        node("Softmax", ["masked"], ["share"], axis=3),
        *end(),
    ]


def turned_in_three() -> Nodes:
    """What PyTorch's exporter turns keys by: all heads of all rows as one dimension."""
    return [
        node("Shape", ["k.heads"], ["k.shape"]),
        node("Gather", ["k.shape", "turned"], ["k.after"]),
        node("Gather", ["k.shape", "last two"], ["k.sizes"]),
        node("Concat", ["fitting", "k.sizes"], ["k.joined"], axis=0),
        node("Reshape", ["k.heads", "k.joined"], ["k.three"]),
        node("Transpose", ["k.three"], ["k.back"], perm=[0, 2, 1]),
        node("Reshape", ["k.back", "k.after"], ["k.turned"]),
    ]


def guarded(zero: str = "zero") -> Nodes:
    """Shares that are no numbers, of places that see nothing, become zeros."""
    return [
        node("Softmax", ["masked"], ["raw share"], axis=-1),
        node("IsNaN", ["raw share"], ["no number"]),
        node("Where", ["no number", zero, "raw share"], ["share"]),
    ]


def written_by_torch_export(zero: str = "zero") -> Nodes:
    """``scaled_dot_product_attention`` as ``torch.onnx.export(dynamo=True)`` writes it."""
    return [
        *heads("q", perm=BY_HEAD),
        *heads("k", perm=BY_HEAD),
        *heads("v", perm=BY_HEAD),
        *turned_in_three(),
        node("Mul", ["q.heads", "quarter"], ["q.scaled"]),
        node("MatMul", ["q.scaled", "k.turned"], ["scores"]),
        node("Add", ["scores", "mask"], ["masked"]),
        *guarded(zero),
        *end(),
    ]


def shaped_as_it_is() -> Nodes:
    """The same, and what was mixed is given the shape that it has."""
    return [
        *written_by_torch_export()[:-2],
        node("Shape", ["mixed"], ["mixed.n"], start=0, end=1),
        node("Shape", ["q.flat"], ["mixed.s"], start=1, end=2),
        node("Concat", ["mixed.n", "fitting", "mixed.s", "size"], ["mixed.shape"], axis=0),
        node("Reshape", ["mixed", "mixed.shape"], ["mixed.same"]),
        node("Transpose", ["mixed.same"], ["back"], perm=BY_HEAD),
        node("Reshape", ["back", "join"], ["y"]),
    ]


def without_mask() -> Nodes:
    return [
        *heads("q", perm=BY_HEAD),
        *heads("k", perm=BY_HEAD_TURNED),
        *heads("v", perm=BY_HEAD),
        node("MatMul", ["q.heads", "k.heads"], ["scores"]),
        node("Softmax", ["scores"], ["share"], axis=-1),
        *end(),
    ]


def model(nodes: Nodes, *, mask: tuple[Any, ...] = ("n", 1, 1, "t")) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weights = {f"{p}.w": random.normal(size=(WIDTH, WIDTH)).astype(np.float32) for p in "qkv"}
    masked = any("mask" in n.input for n in nodes)
    return model_of(
        nodes,
        inputs={"x": (TensorProto.FLOAT, ["n", "s", WIDTH])}
        | ({"mask": (TensorProto.FLOAT, list(mask))} if masked else {}),
        outputs={"y": (TensorProto.FLOAT, ["n", "s", WIDTH])},
        split=np.array([0, 0, HEADS, SIZE]),
        join=np.array([0, 0, WIDTH]),
        heads=np.array([HEADS]),
        fitting=np.array([-1]),
        zero=np.array(0, np.float32),
        half=np.array(0.5, np.float32),
        turned=np.array([0, 1, 3, 2]),
        **{"last two": np.array([2, 3])},
        size=np.array([SIZE]),
        root=np.array(np.sqrt(SIZE), np.float32),
        quarter=np.array(1 / SIZE, np.float32),
        **weights,
    )


def answer(made: onnx.ModelProto, feed: dict[str, NDArray[Any]]) -> NDArray[Any]:
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[Any] = session.run(["y"], feed)[0]
    return result


def operators(graph: onnx.GraphProto) -> Iterator[str]:
    for found in graph.node:
        yield found.op_type
        for attribute in found.attribute:
            if attribute.HasField("g"):
                yield from operators(attribute.g)


def rows(count: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(count, PLACES, WIDTH)).astype(np.float32)


def masks() -> dict[str, NDArray[np.float32]]:
    """Nothing hidden; the ends of rows; all of a row; places that only some places may see."""
    empty = np.zeros((2, 1, 1, PLACES), np.float32)
    ends, all_of_one = empty.copy(), empty.copy()
    ends[0, :, :, 4:] = ends[1, :, :, 2:] = -10_000
    all_of_one[1] = np.finfo(np.float32).min
    later = np.triu(np.full((1, 1, PLACES, PLACES), -np.inf, np.float32), 1)
    return {"empty": empty, "ends": ends, "all of one": all_of_one, "later": later}


@pytest.mark.parametrize("hidden", masks())
@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param(written_like_bert(), id="bert"),
        pytest.param(written_like_torch(), id="torch"),
        pytest.param(written_like_torch("fitting"), id="as many heads as fit"),
        pytest.param(written_by_torch_export(), id="torch.export"),
        pytest.param(shaped_as_it_is(), id="shaped as it is"),
    ],
)
def test_attention_answers_as_before_with_any_mask(nodes: Nodes, hidden: str) -> None:
    source = model(nodes, mask=("n", "h", "q", "t"))
    fused, found = fuse(source)
    assert found["attention"] == 1
    onnx.checker.check_model(fused)
    kinds = Counter(operators(fused.graph))
    assert kinds["If"] == 1
    assert kinds["MultiHeadAttention"] == 2
    assert not {"Softmax", "IsNaN"} & kinds.keys()
    feed = {"x": rows(), "mask": masks()[hidden]}
    np.testing.assert_allclose(answer(fused, feed), answer(source, feed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nodes", [written_by_torch_export(), shaped_as_it_is()])
def test_places_that_see_nothing_answer_zeros_where_they_did(nodes: Nodes) -> None:
    mask = np.zeros((2, 1, PLACES, PLACES), np.float32)
    mask[0, :, 1], mask[1] = -np.inf, -np.inf
    feed = {"x": rows(), "mask": mask}
    source = model(nodes, mask=("n", "h", "q", "t"))
    answered = answer(fuse(source)[0], feed)
    assert not answered[0, 1].any()
    assert not answered[1].any()
    np.testing.assert_allclose(answered, answer(source, feed), rtol=1e-4, atol=1e-5)


def test_places_that_see_nothing_are_not_asked_for_where_a_mask_is_finite() -> None:
    hides = node("Where", ["seen", "zero", "lowest"], ["mask"])
    source = model([hides, *written_by_torch_export()])
    source.graph.input[1].name = "seen"
    source.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    lowest = np.array(np.finfo(np.float32).min)
    source.graph.initializer.append(onnx.numpy_helper.from_array(lowest, "lowest"))
    fused, found = fuse(source)
    assert found["attention"] == 1
    assert Counter(operators(fused.graph))["Where"] == 1
    seen = np.ones((2, 1, 1, PLACES), bool)
    seen[0, :, :, 3:], seen[1] = False, False
    feed = {"x": rows(), "seen": seen}
    np.testing.assert_allclose(answer(fused, feed), answer(source, feed), rtol=1e-4, atol=1e-5)


def test_what_the_mask_hides_changes_the_answer() -> None:
    fused, _ = fuse(model(written_like_bert()))
    one, other = (answer(fused, {"x": rows(), "mask": masks()[m]}) for m in ("empty", "ends"))
    assert np.abs(one - other).max() > 0.1


def test_attention_without_a_mask_is_one_operator() -> None:
    source = model(without_mask())
    fused, _ = fuse(source)
    assert Counter(operators(fused.graph)) == {"MatMul": 3, "MultiHeadAttention": 1}
    feed = {"x": rows()}
    np.testing.assert_allclose(answer(fused, feed), answer(source, feed), rtol=1e-4, atol=1e-5)


def test_layers_share_one_look_at_their_mask() -> None:
    second = written_like_bert()
    for made in second:
        for names in (made.input, made.output):
            for place, name in enumerate(names):
                kept = {"x": "y", "mask": "mask", "root": "root", "split": "split", "join": "join"}
                names[place] = kept.get(name, name if name.endswith(".w") else f"2/{name}")
    source = model([*written_like_bert(), *second])
    source.graph.output[0].name = "2/y"
    fused, found = fuse(source)
    assert found["attention"] == 2
    assert {n: c for n, c in Counter(operators(fused.graph)).items() if n != "MatMul"} == {
        "ReduceL1": 1, "Equal": 1, "Shape": 2, "Concat": 1, "Expand": 1, "If": 2,
        "MultiHeadAttention": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "changed"),
    [
        pytest.param("Softmax", node("Softmax", ["masked"], ["share"], axis=2), id="other axis"),
        pytest.param("Add", node("Mul", ["scores", "mask"], ["masked"]), id="mask that multiplies"),
        pytest.param("Div", node("Div", ["raw", "mask"], ["scores"]), id="scale that varies"),
    ],
)
def test_another_formula_is_left_alone(place: str, changed: onnx.NodeProto) -> None:
    nodes = [changed if n.op_type == place else n for n in written_like_bert()]
    source = model(nodes)
    assert fuse(source)[1]["attention"] == 0


@pytest.mark.parametrize(
    ("nodes", "read"),
    [
        pytest.param(written_like_bert(), "share", id="shares"),
        pytest.param(written_by_torch_export(), "raw share", id="shares before they are guarded"),
        pytest.param(written_by_torch_export(), "no number", id="which are no numbers"),
        pytest.param(shaped_as_it_is(), "mixed", id="what was mixed"),
        pytest.param(shaped_as_it_is(), "mixed.shape", id="its shape"),
    ],
)
def test_what_something_else_reads_is_left_alone(nodes: Nodes, read: str) -> None:
    assert fuse(model(nodes))[1]["attention"] == 1
    assert fuse(model([*nodes, node("Identity", [read], ["seen"])]))[1]["attention"] == 0


def test_shares_that_become_another_number_than_zero_are_left_alone() -> None:
    assert fuse(model(written_by_torch_export("half")))[1]["attention"] == 0


def test_a_reshape_that_changes_what_was_mixed_is_left_alone() -> None:
    nodes = shaped_as_it_is()
    (shape,) = (n for n in nodes if n.output[0] == "mixed.shape")
    shape.input[:] = ["mixed.n", "mixed.s", "fitting", "size"]
    assert fuse(model(nodes))[1]["attention"] == 0


def test_nodes_stand_behind_what_graphs_inside_them_read() -> None:
    fused, _ = fuse(model(written_like_bert()))
    right = [n.name for n in fused.graph.node]
    (branch,) = (n for n in list(fused.graph.node) if n.op_type == "If")
    nodes = [branch, *(n for n in fused.graph.node if n.op_type != "If")]
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del fused.graph.node[:]
    fused.graph.node.extend(nodes)
    sort_nodes(fused.graph)
    onnx.checker.check_model(fused)
    assert sorted(n.name for n in fused.graph.node) == sorted(right)
