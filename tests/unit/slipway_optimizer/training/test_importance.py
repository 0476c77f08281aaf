"""What weights are worth."""

import numpy as np
import pytest

from slipway.api.v1alpha1.optimization import Pruning
from slipway_optimizer.training.importance import by_entropy, entropy, masks


def test_a_channel_that_always_answers_alike_has_no_entropy() -> None:
    answers = np.stack([np.full(320, 0.5), np.linspace(0, 1, 320)], axis=1)
    np.testing.assert_allclose(entropy(answers), [0, 1], atol=1e-3)
    np.testing.assert_array_equal(entropy(np.ones((5, 3))), np.zeros(3))


def test_weights_count_by_the_entropy_of_their_channel() -> None:
    weights = {"w": np.array([[-2.0, 1.0], [3.0, 1.0]], np.float32)}
    found = by_entropy(weights, {"w": 1}, {"w": np.array([0.5, 0.0])})
    np.testing.assert_array_equal(found["w"], [[1.0, 0.0], [1.5, 0.0]])


def pruning(scope: str, cap: str = "0.9") -> Pruning:
    return Pruning.model_validate(
        {"method": "Percentile", "value": "50", "scope": scope, "maxPerLayer": cap}
    )


@pytest.mark.parametrize(
    ("scope", "cap", "small", "large"),
    [("Global", "1", 1, 10), ("Global", "0.6", 4, 10), ("PerLayer", "0.9", 5, 5)],
)
def test_the_least_important_go_over_all_or_in_each_but_no_layer_is_emptied(
    scope: str, cap: str, small: int, large: int
) -> None:
    worth = {"small": np.arange(10) / 100, "large": np.arange(10) + 1.0}
    found = masks(worth, pruning(scope, cap))
    assert (int(found["small"].sum()), int(found["large"].sum())) == (small, large)


def test_nothing_to_rank_is_nothing_to_zero() -> None:
    assert masks({}, pruning("Global")) == {}
