import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.api.v1alpha1.resource import parse_spec
from slipway_operator.plan.scaling import canary_replicas, desired_stable, measured_weight
from tests.support.builders import model_deployment
from tests.support.worlds import deployment_of


@pytest.mark.parametrize(
    ("weight", "stable", "expected"),
    [(20, 4, 1), (50, 4, 4), (100, 4, 4), (20, 1, 1), (1, 100, 1), (75, 1, 3), (20, 0, 0)],
)
def test_a_canary_gets_the_pods_that_make_its_share(
    weight: int, stable: int, expected: int
) -> None:
    assert canary_replicas(weight, stable) == expected


@given(weight=st.integers(1, 99), stable=st.integers(1, 1000))
def test_no_other_number_of_pods_is_nearer_to_the_exact_one(weight: int, stable: int) -> None:
    found = canary_replicas(weight, stable)
    exact = weight * stable / (100 - weight)
    assert found >= 1
    assert abs(found - exact) <= 0.5 or found == 1


@given(stable=st.integers(1, 200), weights=st.lists(st.integers(1, 100), min_size=2))
def test_a_greater_weight_never_takes_pods_away(stable: int, weights: list[int]) -> None:
    partial = sorted(w for w in weights if w < 100)
    pods = [canary_replicas(weight, stable) for weight in partial]
    assert pods == sorted(pods)


@pytest.mark.parametrize(
    ("current", "expected"), [(None, 2), (0, 2), (1, 2), (5, 5), (6, 6), (9, 6)]
)
def test_with_a_scaler_its_number_counts_within_its_bounds(
    current: int | None, expected: int
) -> None:
    spec = parse_spec(model_deployment(autoscaling={"minReplicas": 2, "maxReplicas": 6}))
    deployment = None if current is None else deployment_of("fraud-1", current)
    assert desired_stable(spec, deployment) == expected


def test_without_a_scaler_the_spec_counts() -> None:
    spec = parse_spec(model_deployment(replicas=3))
    assert desired_stable(spec, deployment_of("fraud-1", 9)) == 3


@pytest.mark.parametrize(
    ("canary", "stable", "expected"), [(0, 0, None), (1, 3, 25), (0, 5, 0), (2, 1, 67)]
)
def test_the_measured_weight_is_of_requests(canary: int, stable: int, expected: int | None) -> None:
    assert measured_weight(canary, stable) == expected
