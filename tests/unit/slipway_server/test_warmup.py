from collections.abc import Mapping

import numpy as np
import pytest

from slipway.errors import Invalid
from slipway_server.batcher import BatchPolicy
from slipway_server.errors import ModelFailed
from slipway_server.protocol.tensors import DTYPES, Array, TensorSpec
from slipway_server.warmup import answers_do_not_mix, learn, made_up, rows_that_run, warm
from tests.support.tensors import FakeSession, double, rows


class Clock:
    """Runs of a model take as long as it says; nothing else takes time."""

    def __init__(self, cost: Mapping[int, float]) -> None:
        self.now, self._cost = 0.0, cost

    def __call__(self) -> float:
        return self.now

    def model(self, feeds: Mapping[str, Array]) -> list[Array]:
        self.now += self._cost[len(feeds["x"])]
        return double(feeds)


def learnt(cost: Mapping[int, float]) -> tuple[BatchPolicy, float]:
    clock = Clock({3: 0.0} | dict(cost))
    session = FakeSession(clock.model)
    known = [{"x": rows(value)} for value in (1, 2)]
    policy = learn(session, known, clock)
    return policy, clock.now


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        # one run costs the same whatever it holds: as many rows as possible, on the loop
        (dict.fromkeys((1, 2, 4, 8, 16, 32), 50e-6), (32, True)),
        # cost grows with the rows: nothing is gained
        ({n: n * 1e-2 for n in (1, 2, 4, 8, 16, 32)}, (1, False)),
        # nothing but the way to a worker, which is a tenth of so short a run
        ({n: n * 1e-3 for n in (1, 2, 4, 8, 16, 32)}, (4, False)),
        # gains end at eight
        ({1: 1e-3, 2: 1.5e-3, 4: 2.4e-3, 8: 4e-3, 16: 8e-3, 32: 16e-3}, (8, False)),
        # inline, but a large batch would hold up the loop
        ({1: 0.2e-3, 2: 0.3e-3, 4: 0.5e-3, 8: 0.9e-3, 16: 1.7e-3, 32: 3.3e-3}, (16, True)),
    ],
)
def test_the_batch_is_as_large_as_it_pays(
    cost: Mapping[int, float], expected: tuple[int, bool]
) -> None:
    policy, _ = learnt(cost)
    assert (policy.max_rows, policy.inline) == expected
    assert policy.seconds == pytest.approx(cost[1])


def test_a_machine_that_stalls_while_answers_are_compared_does_not_forbid_batches() -> None:
    policy, _ = learnt({3: 1.0} | dict.fromkeys((1, 2, 4, 8, 16, 32), 50e-6))
    assert (policy.max_rows, policy.inline) == (2, True)


def test_learning_is_short_even_for_a_slow_model() -> None:
    policy, spent = learnt(dict.fromkeys((1, 2, 3, 4, 8, 16, 32), 0.03))
    assert (policy.max_rows, policy.inline) == (32, False)
    assert spent <= 0.72
    policy, spent = learnt({n: (0.5 + n / 2) * 0.1 for n in (1, 2, 3, 4, 8, 16, 32)})
    assert (policy.max_rows, policy.inline) == (2, False)
    assert spent <= 1.2
    policy, spent = learnt(dict.fromkeys((1, 2, 4, 8, 16, 32), 5.0))
    assert (policy.max_rows, policy.inline) == (1, False)
    assert spent == 5.0


def test_a_model_whose_rows_influence_each_other_is_not_batched() -> None:
    def normalised(feeds: Mapping[str, Array]) -> list[Array]:
        return [feeds["x"] / feeds["x"].sum()]

    session = FakeSession(normalised)
    known = [{"x": rows(value)} for value in (1, 2, 3)]
    assert not answers_do_not_mix(session, known)
    assert answers_do_not_mix(FakeSession(double), known)


def test_a_model_with_a_fixed_or_missing_batch_dimension_is_not_batched() -> None:
    for output in (TensorSpec("y", "FP32", (1, 2)), TensorSpec("y", "FP32", ())):
        session = FakeSession(double, outputs=(output,))
        policy = learn(session, [{"x": rows(1)}], Clock({}))
        assert policy.max_rows == 1


def test_made_up_rows_fit_every_datatype() -> None:
    inputs = (
        TensorSpec("f", "FP16", (-1, 3)),
        TensorSpec("i", "INT8", (-1, -1)),
        TensorSpec("b", "BOOL", (2,)),
        TensorSpec("s", "BYTES", (-1, 1)),
    )
    feeds = made_up(inputs, size=5, seed=1)
    assert {name: (array.shape, array.dtype.kind) for name, array in feeds.items()} == {
        "f": ((1, 3), "f"),
        "i": ((1, 5), "i"),
        "b": ((2,), "b"),
        "s": ((1, 1), "O"),
    }
    assert not np.array_equal(feeds["f"], made_up(inputs, size=5, seed=2)["f"])


@pytest.mark.parametrize("datatype", sorted(DTYPES))
def test_a_made_up_value_without_axes_is_an_array(datatype: str) -> None:
    (value,) = made_up((TensorSpec("x", datatype, ()),), size=5, seed=0).values()
    assert (type(value), value.shape, value.dtype) == (np.ndarray, (), DTYPES[datatype])


def test_known_rows_are_preferred_and_sizes_are_tried_until_one_runs() -> None:
    spec = TensorSpec("x", "FP32", (-1, -1))

    def needs_64(feeds: Mapping[str, Array]) -> list[Array]:
        if feeds["x"].shape[1] < 64:
            raise Invalid("too small")
        return double(feeds)

    session = FakeSession(needs_64, inputs=(spec,))
    still = Clock({})
    found = rows_that_run(session, [], clock=still, wanted=2)
    assert [row["x"].shape for row in found] == [(1, 64)] * 2
    known = [{"x": rows(7)}]
    assert rows_that_run(session, known, clock=still) == known

    def refuses(_: Mapping[str, Array]) -> list[Array]:
        raise Invalid("never")

    assert rows_that_run(FakeSession(refuses), [], clock=still) == []
    assert learn(FakeSession(refuses), [], Clock({})) == BatchPolicy()


def test_made_up_rows_that_the_model_refuses_are_left_out() -> None:
    def takes_small_values(feeds: Mapping[str, Array]) -> list[Array]:
        if abs(feeds["x"]).max() > 1:
            raise ModelFailed("out of range")
        return double(feeds)

    found = rows_that_run(FakeSession(takes_small_values), [], clock=Clock({}))
    assert [bool(abs(row["x"]).max() <= 1) for row in found] == [True, True]


@pytest.mark.parametrize(("seconds", "tried"), [(0.01, 4), (0.2, 2), (5.0, 1)])
def test_made_up_rows_of_a_slow_model_are_few(seconds: float, tried: int) -> None:
    clock = Clock({1: seconds})
    assert len(rows_that_run(FakeSession(clock.model), [], clock=clock)) == tried


@pytest.mark.parametrize(("seconds", "runs"), [(0.4, 1), (0.2, 2), (0.001, 10)])
def test_a_slow_model_is_warm_after_a_run_and_a_fast_one_after_all(
    seconds: float, runs: int
) -> None:
    clock = Clock({1: seconds})
    warm(FakeSession(clock.model), [{"x": rows(1)}], iterations=10, clock=clock)
    assert round(clock.now / seconds) == runs
