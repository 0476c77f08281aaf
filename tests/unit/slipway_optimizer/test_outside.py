"""Weights beside the graph: what is too large for one file goes through every rewrite as it is."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer import graph, outside
from slipway_optimizer.arrays import Arrays, save_npz
from slipway_optimizer.failures import Refused
from slipway_optimizer.passes import build_recipe
from slipway_optimizer.passes.normalise import normalise, write_fused
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.session import Model
from tests.support.small_models import tower

WIDTH = 256  # a weight has 256 KiB: too large to be taken in among the small ones


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model of two layers in a folder of its own, all weights in one file beside it."""
    folder = tmp_path / "source"
    folder.mkdir()
    path = folder / "net.onnx"
    model = tower(np.random.default_rng(0), width=WIDTH, layers=2, spiked=None)
    onnx.save_model(
        model, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return path


@pytest.fixture
def rows() -> Arrays:
    return {"x": np.random.default_rng(1).normal(size=(8, WIDTH)).astype(np.float32)}


def outlined(path: Path, *, most: int = 1 << 16) -> onnx.ModelProto:
    """As a model of more than ``most`` bytes is read."""
    model = onnx.load_model(path, load_external_data=False)
    outside.take_in(model, path.parent, size=path.stat().st_size, most=most)
    return model


def written(source: Path, folder: Path) -> Path:
    """The model as the conversion leaves a large one."""
    folder.mkdir()
    target = folder / "converted.onnx"
    outside.write(outlined(source), target, folder=source.parent)
    return target


def test_what_fits_into_one_file_is_taken_in_and_answers_the_same(
    source: Path, rows: Arrays, tmp_path: Path
) -> None:
    model = outlined(source, most=1 << 30)
    assert list(outside.tensors_outside(model)) == []
    one = tmp_path / "one.onnx"
    outside.write(model, one, folder=source.parent)
    assert outside.parts(one) == (one,)
    expected = Model(source, threads=1).run_rows(rows)["y"]
    np.testing.assert_array_equal(Model(one, threads=1).run_rows(rows)["y"], expected)


def test_what_does_not_fit_is_copied_into_one_file_beside_the_graph(
    source: Path, rows: Arrays, tmp_path: Path
) -> None:
    large = written(source, tmp_path / "work")
    data = large.with_name("converted.onnx.data")
    assert outside.parts(large) == (large, data)
    assert outside.size_of(large) == large.stat().st_size + data.stat().st_size
    assert large.stat().st_size < 1024 < data.stat().st_size
    offsets = [e.value for t in outside.tensors_outside(graph.load_outline(large))
               for e in t.external_data if e.key == "offset"]  # fmt: skip
    assert [int(offset) % 4096 for offset in offsets] == [0, 0]
    expected = Model(source, threads=1).run_rows(rows)["y"]
    np.testing.assert_array_equal(Model(large, threads=1).run_rows(rows)["y"], expected)


def test_small_tensors_come_into_the_graph_since_rewrites_read_them(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = tower(np.random.default_rng(0), width=WIDTH, layers=2, spiked="layer1")
    onnx.save_model(model, path, save_as_external_data=True, location="w", size_threshold=0)
    left = {tensor.name for tensor in outside.tensors_outside(outlined(path))}
    assert left == {"w0", "w1"}


def test_a_copy_in_another_folder_outlives_the_first(
    source: Path, rows: Arrays, tmp_path: Path
) -> None:
    large = written(source, tmp_path / "work")
    expected = Model(large, threads=1).run_rows(rows)["y"]
    other = tmp_path / "other" / "fp32.onnx"
    other.parent.mkdir()
    outside.copy(large, other)
    for part in outside.parts(large):
        part.unlink()
    np.testing.assert_array_equal(Model(other, threads=1).run_rows(rows)["y"], expected)


def test_a_large_model_is_normalised_by_its_graph_alone(
    source: Path, rows: Arrays, tmp_path: Path
) -> None:
    large = written(source, tmp_path / "work")
    target = tmp_path / "work" / "fp32.onnx"
    assert normalise(large, target, rows) == (
        "constant folding left out: the model is too large for one file",
    )
    assert write_fused(target, tmp_path / "work" / "fused.onnx", rows) == ((), None)
    assert outside.parts(target)[1:] == outside.parts(large)[1:]
    np.testing.assert_array_equal(
        Model(target, threads=1).run_rows(rows)["y"], Model(source, threads=1).run_rows(rows)["y"]
    )


@pytest.mark.parametrize("mode", [QuantizationMode.DYNAMIC, QuantizationMode.STATIC])
def test_a_large_model_is_quantised_into_one_file_if_it_fits_then(
    source: Path, rows: Arrays, tmp_path: Path, mode: QuantizationMode
) -> None:
    large = written(source, tmp_path / "work")
    normal, target = (tmp_path / "work" / name for name in ("fp32.onnx", "int8.onnx"))
    normalise(large, normal, rows)
    save_npz(tmp_path / "rows.npz", rows)
    recipe = Recipe(name="int8", quantization=mode)
    made = build_recipe.build(recipe, normal, target, build_recipe.Rows(str(tmp_path / "rows.npz")))
    assert {error.name for error in made.tensors} == {"w0", "w1"}
    assert outside.parts(target) == (target,)
    assert outside.size_of(target) < 0.4 * outside.size_of(normal)
    expected = Model(normal, threads=1).run_rows(rows)["y"]
    answered = Model(target, threads=1).run_rows(rows)["y"]
    assert float(np.abs(answered - expected).mean()) < 0.1 * float(np.abs(expected).mean())


@pytest.mark.parametrize("location", ["../net.onnx", "", "absent.bin"])
def test_data_that_is_not_beside_the_graph_is_refused(source: Path, location: str) -> None:
    model = onnx.load_model(source, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    with pytest.raises(Refused, match="which is not beside the model"):
        outside.bytes_outside(model.graph.initializer[0], source.parent)


@pytest.mark.parametrize(("key", "value"), [("length", str(3 << 30)), ("offset", "999999999")])
def test_data_that_ends_too_early_is_refused_before_it_is_read(
    source: Path, key: str, value: str
) -> None:
    model = onnx.load_model(source, load_external_data=False)
    tensor = model.graph.initializer[0]
    tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
    with pytest.raises(Refused, match="external data cannot be read"):
        outside.bytes_outside(tensor, source.parent)
