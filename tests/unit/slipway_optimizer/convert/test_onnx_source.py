"""ONNX files of every outline become files whose rows come first, with equal answers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway_optimizer import graph
from slipway_optimizer.arrays import save_npz
from slipway_optimizer.convert.onnx_source import convert
from slipway_optimizer.convert.order import Conversion
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model
from tests.support.small_models import classifier, enlarging, model_of, save

FLOAT = TensorProto.FLOAT


def taken(folder: Path, model: onnx.ModelProto, dataset: Path | None = None) -> Conversion:
    return convert(save(folder / "in.onnx", model), folder / "out.onnx", dataset)


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    signature = graph.signature_of(graph.load(path))
    return {tensor.name: tensor.shape for tensor in (*signature.inputs, *signature.outputs)}


def answers(path: Path, **feed: Any) -> dict[str, Any]:
    return Model(path, threads=1).run(feed)


def fixed(size: int, *nodes: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    model = model_of(
        [*nodes] or [helper.make_node("Relu", ["x"], ["y"])],
        inputs={"x": (FLOAT, [size, 4])},
        outputs={"y": (FLOAT, [size, 4])},
        **constants,
    )
    return onnx.shape_inference.infer_shapes(model)


def test_an_open_batch_is_left_as_it_is(tmp_path: Path) -> None:
    assert taken(tmp_path, classifier()) == Conversion({})
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "in.onnx").read_bytes()


@pytest.mark.parametrize("size", [1, 4])
def test_a_fixed_batch_is_opened(size: int, tmp_path: Path) -> None:
    flat = helper.make_node("Reshape", ["x", "shape"], ["flat"])
    back = helper.make_node("Reshape", ["flat", "rows"], ["back"])
    model = fixed(
        size,
        flat,
        back,
        helper.make_node("Relu", ["back"], ["y"]),
        shape=np.array([size, 2, 2], np.int64),
        rows=np.array([size, -1], np.int64),
    )
    found = taken(tmp_path, model)
    assert found.notes == (f"batch size {size} opened: equal answers for batches of 1 and more",)
    assert (found.figures["opened_batch"], found.figures["max_difference"]) == (size, 0.0)
    assert shapes(tmp_path / "out.onnx") == {"x": (-1, 4), "y": (-1, 4)}
    rows = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    assert answers(tmp_path / "out.onnx", x=rows)["y"].tolist() == np.maximum(rows, 0).tolist()


@pytest.mark.parametrize("side", [16, 11, 4], ids=["twice", "odd", "half"])
@pytest.mark.parametrize("size", [1, 4])
def test_an_enlargement_that_names_the_batch_is_opened(
    side: int, size: int, tmp_path: Path
) -> None:
    resize = helper.make_node("Resize", ["c", "", "", "to"], ["r"], mode="linear")
    model = enlarging(resize, opset=17, batch=size, to=np.array([size, 16, side, side]))
    before = save(tmp_path / "before.onnx", model)

    found = taken(tmp_path, model)

    assert found.figures["opened_batch"] == size
    rows = np.random.default_rng(0).normal(size=(size * 3, 3, 8, 8)).astype(np.float32)
    apart = [answers(before, x=rows[n : n + size])["y"] for n in range(0, len(rows), size)]
    together = answers(tmp_path / "out.onnx", x=rows)["y"]
    np.testing.assert_allclose(together, np.concatenate(apart), rtol=1e-4, atol=1e-5)


def mixing(size: int) -> onnx.ModelProto:
    return fixed(
        size,
        helper.make_node("ReduceSum", ["x", "rows"], ["sum"], keepdims=1),
        helper.make_node("Div", ["x", "sum"], ["y"]),
        rows=np.array([0], np.int64),
    )


def test_a_batch_whose_rows_change_each_other_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"exactly 4 rows at a time, .* dynamic first dimension"):
        taken(tmp_path, mixing(4))


def test_a_picture_without_a_batch_is_told_from_a_batch(tmp_path: Path) -> None:
    picture = model_of(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0, 2], keepdims=0)],
        inputs={"x": (FLOAT, [3, 8, 5])},
        outputs={"y": (FLOAT, [8])},
    )
    with pytest.raises(Refused, match=r"begin with a dimension of 3 .* export the model with one"):
        taken(tmp_path, picture)


def test_a_batch_of_one_stays_where_opening_changes_answers(tmp_path: Path) -> None:
    assert taken(tmp_path, mixing(1)) == Conversion({})
    assert shapes(tmp_path / "out.onnx") == {"x": (1, 4), "y": (1, 4)}


def test_rows_of_the_data_set_decide_whether_a_batch_may_be_opened(tmp_path: Path) -> None:
    """Generated feeds are out of the table's range: only the user's rows can be compared."""
    lookup = model_of(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        inputs={"x": (TensorProto.INT64, [1, 1])},
        outputs={"y": (FLOAT, [1, 1])},
        table=np.array([5.0], np.float32),
    )
    assert taken(tmp_path, lookup).figures == {}
    save_npz(tmp_path / "d.npz", {"x": np.zeros((6, 1), np.int64)})
    assert taken(tmp_path, lookup, tmp_path / "d.npz").figures["rows"] == 6


def test_a_single_value_and_a_state_get_their_rows_first(tmp_path: Path) -> None:
    """As of voice detectors: audio [n, 4], state [2, n, 3], a sampling rate."""
    model = model_of(
        [
            helper.make_node("Cast", ["rate"], ["float_rate"], to=FLOAT),
            helper.make_node("Mul", ["audio", "float_rate"], ["louder"]),
            helper.make_node("Add", ["state", "one"], ["next"]),
        ],
        inputs={
            "audio": (FLOAT, ["n", 4]),
            "state": (FLOAT, [2, "n", 3]),
            "rate": (TensorProto.INT64, []),
        },
        outputs={"louder": (FLOAT, ["n", 4]), "next": (FLOAT, [2, "n", 3])},
        one=np.array(1, np.float32),
    )
    found = taken(tmp_path, model)
    assert len(found.notes) == 3
    assert shapes(tmp_path / "out.onnx") == {
        "audio": (-1, 4),
        "state": (-1, 2, 3),
        "rate": (1,),
        "louder": (-1, 4),
        "next": (-1, 2, 3),
    }
    state = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    audio = np.ones((1, 4), np.float32)
    given = answers(tmp_path / "out.onnx", audio=audio, state=state, rate=np.array([3]))
    assert given["louder"].tolist() == [[3.0] * 4]
    assert given["next"].tolist() == (state + 1).tolist()


@pytest.mark.parametrize("rows", [1, None], ids=["one row", "an open dimension without a name"])
def test_a_state_without_names_gets_its_rows_first(rows: int | None, tmp_path: Path) -> None:
    model = model_of(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["state"], ["next"])],
        inputs={"x": (FLOAT, [rows, 4]), "state": (FLOAT, [2, rows, 3])},
        outputs={"y": (FLOAT, [rows, 4]), "next": (FLOAT, [2, rows, 3])},
    )
    taken(tmp_path, model)
    found = shapes(tmp_path / "out.onnx")
    assert (found["state"], found["next"]) == ((-1, 2, 3), (-1, 2, 3))


def test_a_state_that_goes_out_without_a_shape_goes_as_it_came_in(tmp_path: Path) -> None:
    model = model_of(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["state"], ["next"])],
        inputs={"x": (FLOAT, ["n", 4]), "state": (FLOAT, [2, "n", 3])},
        outputs={"y": (FLOAT, ["n", 4]), "next": (FLOAT, [None, None, None])},
    )
    taken(tmp_path, model)
    state = np.ones((5, 2, 3), np.float32)
    given = answers(tmp_path / "out.onnx", x=np.ones((5, 4), np.float32), state=state)
    assert given["next"].shape == (5, 2, 3)


def test_one_channel_is_no_batch(tmp_path: Path) -> None:
    model = model_of(
        [helper.make_node("Relu", ["x"], ["y"])],
        inputs={"x": (FLOAT, [4, 1, 2])},
        outputs={"y": (FLOAT, [4, 1, 2])},
    )
    assert taken(tmp_path, model).figures["opened_batch"] == 4
    assert shapes(tmp_path / "out.onnx") == {"x": (-1, 1, 2), "y": (-1, 1, 2)}


def test_a_value_that_a_branch_reads_is_renamed_there_too(tmp_path: Path) -> None:
    def branch(value: float) -> onnx.GraphProto:
        half = numpy_helper.from_array(np.array(value, np.float32), "factor")
        nodes = [
            helper.make_node("Cast", ["rate"], ["r"], to=FLOAT),
            helper.make_node("Mul", ["r", "factor"], ["out"]),
        ]
        out = helper.make_tensor_value_info("out", FLOAT, [])
        return helper.make_graph(nodes, "b", [], [out], [half])

    model = model_of(
        [
            helper.make_node("Greater", ["rate", "limit"], ["high"]),
            helper.make_node(
                "If", ["high"], ["scale"], then_branch=branch(0.5), else_branch=branch(2)
            ),
            helper.make_node("Mul", ["x", "scale"], ["y"]),
        ],
        inputs={"x": (FLOAT, ["n", 2]), "rate": (TensorProto.INT64, [])},
        outputs={"y": (FLOAT, ["n", 2])},
        limit=np.array(10, np.int64),
    )  # fmt: skip
    taken(tmp_path, model)
    x = np.ones((1, 2), np.float32)
    assert answers(tmp_path / "out.onnx", x=x, rate=np.array([20]))["y"].tolist() == [[10.0, 10.0]]
    assert answers(tmp_path / "out.onnx", x=x, rate=np.array([4]))["y"].tolist() == [[8.0, 8.0]]


def with_external_data(folder: Path, **options: Any) -> Path:
    path = folder / "model.onnx"
    onnx.save_model(
        classifier(), path, save_as_external_data=True, size_threshold=0, location="m.data",
        **options,
    )  # fmt: skip
    return path


def test_external_data_is_taken_into_the_file(tmp_path: Path) -> None:
    found = convert(with_external_data(tmp_path), tmp_path / "out.onnx", None)
    assert found.notes == ("108 bytes of external data taken into the file",)
    whole = save(tmp_path / "whole.onnx", classifier())
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    assert answers(tmp_path / "out.onnx", x=x)["p"].tolist() == answers(whole, x=x)["p"].tolist()


def test_external_data_that_was_not_uploaded_is_named(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    (tmp_path / "m.data").unlink()
    with pytest.raises(Refused, match=r"'m\.data', which is not beside the model: .* a / at its"):
        convert(path, tmp_path / "out.onnx", None)


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "sub/x", ""])
def test_external_data_stays_beside_the_model(location: str, tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    (tmp_path.parent / "secret").write_bytes(bytes(200))
    model = onnx.load_model(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    with pytest.raises(Refused, match="not beside the model") as caught:
        convert(save(path, model), tmp_path / "out.onnx", None)
    assert caught.value.reason == "ExternalDataMissing"


def test_a_link_beside_the_model_is_not_followed(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    (tmp_path / "m.data").rename(tmp_path / "real")
    (tmp_path / "m.data").symlink_to(tmp_path / "real")
    with pytest.raises(Refused, match="not beside the model"):
        convert(path, tmp_path / "out.onnx", None)


def test_data_that_is_shorter_than_the_graph_says_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    path = with_external_data(tmp_path)
    model = onnx.load_model(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "length":
            entry.value = str(3 << 30)
    with pytest.raises(Refused, match="external data cannot be read"):
        convert(save(path, model), tmp_path / "out.onnx", None)


def test_an_old_file_is_read(tmp_path: Path) -> None:
    model = fixed(1)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 9))
    model.ir_version = 4
    assert taken(tmp_path, model).figures["opened_batch"] == 1


def test_one_row_for_any_batch_is_a_slip_of_a_converter(tmp_path: Path) -> None:
    model = model_of(
        [helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0)],
        inputs={"x": (FLOAT, ["n", 4])},
        outputs={"label": (TensorProto.INT64, [1])},
    )
    assert taken(tmp_path, model).notes == ("output 'label' declared 1 row for any batch: opened",)
    assert shapes(tmp_path / "out.onnx")["label"] == (-1,)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [([0, 1, 2], None), ([3, 5, 7], (3, 5, 7)), (["a", "b", "c"], ("a", "b", "c"))],
)
def test_a_map_a_row_becomes_a_tensor(
    labels: list[Any], classes: tuple[Any, ...] | None, tmp_path: Path
) -> None:
    """scikit-learn's converters answer a map a row unless they are told otherwise."""
    texts = isinstance(labels[0], str)
    held: dict[str, Any] = {"classlabels_strings" if texts else "classlabels_int64s": labels}
    model = classifier()
    model.graph.node.append(
        helper.make_node("ZipMap", ["p"], ["scores"], domain="ai.onnx.ml", **held)
    )
    key = TensorProto.STRING if texts else TensorProto.INT64
    row = helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, []))
    maps = helper.make_value_info("scores", helper.make_sequence_type_proto(row))
    model.graph.output[0].CopyFrom(maps)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    found = taken(tmp_path, model)
    note = "output 'scores' was a map a row (ZipMap): a tensor [rows, 3] now"
    assert found == Conversion({}, classes, "scores", (note,))
    assert shapes(tmp_path / "out.onnx")["scores"] == (-1, 3)
    rows = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    save(tmp_path / "plain.onnx", classifier())
    expected = answers(tmp_path / "plain.onnx", x=rows)["p"]
    assert answers(tmp_path / "out.onnx", x=rows)["scores"].tolist() == expected.tolist()
