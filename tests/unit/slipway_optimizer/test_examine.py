"""Checks see what they are for."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from slipway_optimizer.examine import (
    Subject,
    by_threads,
    compressed_bytes,
    examine,
    load_test,
    weigh,
)
from slipway_optimizer.session import Model
from slipway_optimizer.stability import failed
from tests.support.small_models import classifier, model_of, rows, save

ROWS = {"x": rows(20)["x"]}
node = helper.make_node


def sequences(*, unstable: bool) -> onnx.ModelProto:
    """Mean over an open length; the unstable one divides by the length less three."""
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "one"], ["length"]),
        node("Cast", ["length"], ["size"], to=TensorProto.FLOAT),
        node("Sub", ["size", "less"], ["by"]),
        node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
        node("Div", ["sum", "by"], ["y"]),
    ]
    return model_of(
        nodes,
        inputs={"x": (TensorProto.FLOAT, ["n", "s"])},
        outputs={"y": (TensorProto.FLOAT, ["n", 1])},
        one=np.array(1),
        axes=np.array([1]),
        less=np.array(3.0 if unstable else 0.0, np.float32),
    )


def subject(
    folder: Path, variant: onnx.ModelProto, baseline: onnx.ModelProto, *, open_axis: bool = False
) -> Subject:
    ours, theirs = save(folder / "v.onnx", variant), save(folder / "b.onnx", baseline)
    name = variant.graph.output[0].name
    return Subject(
        variant=Model(ours, threads=1),
        baseline=Model(theirs, threads=1),
        rows=ROWS,
        output=name,
        batched=True,
        open_axis=open_axis,
    )


def test_a_sound_variant_passes_what_applies(tmp_path: Path) -> None:
    checks = examine(subject(tmp_path, classifier(), classifier()), seconds=0.05)
    assert {c.name: c.passed for c in checks} == {
        "Determinism": True,
        "BatchSize": True,
        "OddLength": None,
        "Perturbation": True,
        "Soak": True,
    }
    assert failed(checks) is None


def test_a_length_that_only_the_variant_cannot_do_is_found(tmp_path: Path) -> None:
    sound, broken = sequences(unstable=False), sequences(unstable=True)
    checks = examine(subject(tmp_path, broken, sound, open_axis=True), seconds=0.05)
    assert failed(checks) == ("OddLengthUnstable", "length 3 is answered with NaN or infinity")
    both = examine(subject(tmp_path, broken, broken, open_axis=True), seconds=0.05)
    assert failed(both) is None


def test_rows_that_influence_each_other_are_found_unless_they_always_did(tmp_path: Path) -> None:
    mixing = classifier(
        node("ReduceMax", ["probabilities"], ["most"], axes=[0], keepdims=1),
        node("Sub", ["probabilities", "most"], ["p"]),
    )
    found = failed(examine(subject(tmp_path, mixing, classifier()), seconds=0.05))
    assert found is not None
    assert found[0] == "BatchSizeUnstable"
    always = examine(subject(tmp_path, mixing, mixing), seconds=0.05)
    assert {c.name: c.passed for c in always}["BatchSize"] is None


def test_a_variant_that_is_random_is_found(tmp_path: Path) -> None:
    noisy = classifier(
        node("RandomUniformLike", ["probabilities"], ["noise"]),
        node("Add", ["probabilities", "noise"], ["p"]),
    )
    found = failed(examine(subject(tmp_path, noisy, classifier()), seconds=0.05))
    assert found is not None
    assert found[0] == "DeterminismUnstable"


def test_load_threads_and_weight_are_measured(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", classifier())
    points = load_test(Model(path, threads=1), ROWS, seconds=0.02)
    assert [(p.in_flight, p.errors) for p in points] == [(n, 0) for n in (1, 2, 4, 8)]
    assert all(p.rows_per_second > 0 for p in points)
    assert list(by_threads(path, ROWS, most=2, seconds=0.02)) == ["1", "2"]
    figures = weigh(path, ROWS)
    assert set(figures) == {"memory_bytes", "load_ms", "gzip_bytes"}
    assert 0 < float(figures["gzip_bytes"]) < path.stat().st_size


def slow_clock() -> Callable[[], float]:
    """Between two looks at it, 6 seconds pass."""
    return itertools.count(0.0, 6.0).__next__


def test_a_model_that_takes_seconds_is_looked_at_shortly(tmp_path: Path) -> None:
    checks = examine(
        subject(tmp_path, classifier(), classifier()), seconds=0.05, clock=slow_clock()
    )
    assert [check.passed for check in checks] == [True, True, None, True, True]
    assert [check.detail for check in checks][:2] == [
        "3 runs of equal inputs, compared to 1e-5",
        "1, 2, 3 rows at once answer alike",
    ]
    model = Model(save(tmp_path / "slow.onnx", classifier()), threads=1)
    assert [point.in_flight for point in load_test(model, ROWS, seconds=0.01)] == [1, 2, 4, 8]
    slow = load_test(model, ROWS, seconds=0.01, clock=slow_clock())
    assert [point.in_flight for point in slow] == [1]


def test_a_load_test_ends_where_more_requests_at_once_would_hold_too_much_memory(
    tmp_path: Path,
) -> None:
    """One run holds 80 MB, and half of what may be held is less."""
    wide = model_of(
        [
            node("MatMul", ["x", "wide"], ["w"]),
            node("Neg", ["w"], ["v"]),
            node("ReduceMean", ["v"], ["p"], axes=[1]),
        ],
        inputs={"x": (TensorProto.FLOAT, ["n", 1])},
        outputs={"p": (TensorProto.FLOAT, ["n", 1])},
        wide=np.ones((1, 10_000_000), np.float32),
    )
    model = Model(save(tmp_path / "m.onnx", wide), threads=1)
    points = load_test(model, {"x": np.ones((1, 1), np.float32)}, seconds=0.01)
    assert [point.in_flight for point in points] == [1]


def test_a_part_of_a_large_file_stands_for_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "large"
    noise = np.random.default_rng(0).integers(0, 256, 8 << 20, dtype=np.uint8)
    noise[::2] = 0
    path.write_bytes(noise.tobytes())
    whole = compressed_bytes(path)
    assert 4 << 20 < whole < 8 << 20
    assert abs(compressed_bytes(path, most=2 << 20) / whole - 1) < 0.05
