"""What a model takes: from the spec, else from the data set, else a refusal with the remedy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.api.v1alpha1.model import InputDatatype, ModelFormatName, ModelInput
from slipway_optimizer.arrays import save_npz
from slipway_optimizer.convert.compare import difference
from slipway_optimizer.convert.inputs import (
    batch_axis,
    example,
    known,
    required_arguments,
    sizes,
)
from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.failures import Refused


def order(dataset: Path | None = None, *inputs: ModelInput) -> ConvertOrder:
    return ConvertOrder(
        model_format=ModelFormatName.PYTORCH,
        source=Path("m"),
        target=Path("o"),
        dataset=dataset,
        inputs=inputs,
    )


def test_the_spec_wins() -> None:
    image = ModelInput(name="image", shape=(-1, 3))
    assert known(order(None, image), ("other",)) == (image,)


def test_arrays_of_the_arguments_names_tell_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    arrays = {"ids": np.zeros((5, 7), np.int64), "x": np.zeros((5, 2)), "labels": np.zeros(5)}
    save_npz(path, arrays)
    assert known(order(path), ("x", "ids")) == (
        ModelInput(name="x", datatype=InputDatatype.FP32, shape=(-1, 2)),
        ModelInput(name="ids", datatype=InputDatatype.INT64, shape=(-1, 7)),
    )
    with pytest.raises(Refused, match=r"its arguments are x, mask\): set spec\.model\.inputs"):
        known(order(path), ("x", "mask"))


def test_an_example_has_the_declared_type_and_sizes() -> None:
    value = ModelInput(name="x", datatype=InputDatatype.INT64, shape=(-1, -1, 3))
    found = example(value, batch=2, open_size=16)
    assert found.shape == (2, 16, 3)
    assert found.dtype == np.int64
    assert example(ModelInput(name="x", shape=(1, 4)), batch=2, open_size=16).shape == (1, 4)


def test_a_state_has_its_rows_where_it_is_open() -> None:
    rows, state = ModelInput(name="x", shape=(-1, 9, 8)), ModelInput(name="h", shape=(2, -1, 16))
    axes = [batch_axis(value, (rows, state)) for value in (rows, state)]
    assert axes == [0, 1]
    assert example(state, batch=3, open_size=7, axis=1).shape == (2, 3, 16)


@pytest.mark.parametrize("shape", [(1, -1), (4, -1, -1), (3, 224)])
def test_what_may_be_a_length_is_no_batch(shape: tuple[int, ...]) -> None:
    one, rows = ModelInput(name="x", shape=shape), ModelInput(name="y", shape=(-1, 3))
    assert batch_axis(one, (one, rows)) == 0


def test_without_another_input_s_batch_an_open_dimension_is_a_length() -> None:
    alone = ModelInput(name="x", shape=(9, -1, 8))
    assert batch_axis(alone, (alone,)) == 0


def test_more_sizes_are_tried_only_where_one_is_open_inside() -> None:
    assert len(sizes((ModelInput(name="x", shape=(-1, 3)),))) == 1
    assert len(sizes((ModelInput(name="x", shape=(-1, -1)),))) > 1


def test_only_arguments_that_must_be_given_are_asked_for() -> None:
    def forward(image, scale, flag=True, *rest, **more):  # type: ignore[no-untyped-def] # as users' are
        raise NotImplementedError

    assert required_arguments(forward) == ("image", "scale")


@pytest.mark.parametrize(
    ("expected", "answer", "words"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"has shape \[3, 2\], but the source's has \[2, 3\]"),
        (np.array([1, 2]), np.array([1, 3]), "differs from the source's in 1 of 2 values"),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), "off the source's by inf"),
        (np.array([100.0, 1.0]), np.array([100.0, 1.2]), "off the source's by 0.002"),
    ],
)
def test_a_difference_is_refused_with_its_figures(expected: Any, answer: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        difference(expected, answer, name="y", what="source")


def test_rounding_and_equal_infinities_are_no_difference() -> None:
    expected = np.array([1000.0, 0.0, np.inf, np.nan])
    assert difference(expected, expected + 1e-4, name="y", what="source") < 1e-6
