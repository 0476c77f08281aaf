from collections.abc import Mapping

import numpy as np
import pytest

from slipway.errors import Invalid
from slipway_server.batch import Job, Outcome, run_together
from slipway_server.errors import NonFiniteOutput
from slipway_server.protocol.tensors import Array, TensorSpec
from tests.support.tensors import FakeSession, double, rows


def job(array: Array) -> Job:
    return Job({"x": array}, len(array), (), array.nbytes, 1e9, None)


def answers(session: FakeSession, *arrays: Array) -> list[Outcome]:
    return run_together(session.run, [job(array) for array in arrays], session.outputs)


def test_one_run_answers_each_job_with_its_own_rows() -> None:
    session = FakeSession(double)
    first, second = answers(session, rows(1), rows(2, 3))
    assert isinstance(first, list)
    assert isinstance(second, list)
    np.testing.assert_array_equal(first[0], rows(2))
    np.testing.assert_array_equal(second[0], rows(4, 6))
    assert session.runs == [3]


def test_a_job_that_the_model_refuses_spoils_no_other() -> None:
    def refuse_negative(feeds: Mapping[str, Array]) -> list[Array]:
        if (feeds["x"] < 0).any():
            raise Invalid("negative")
        return double(feeds)

    session = FakeSession(refuse_negative)
    good, bad, also_good = answers(session, rows(1), rows(-1), rows(3))
    assert isinstance(bad, Invalid)
    assert isinstance(good, list)
    assert isinstance(also_good, list)
    np.testing.assert_array_equal(also_good[0], rows(6))
    assert session.runs == [3, 1, 1, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_job_with_a_non_finite_answer_alone_is_told_so(value: float) -> None:
    good, bad = answers(FakeSession(double), rows(1), rows(value))
    assert isinstance(good, list)
    assert isinstance(bad, NonFiniteOutput)
    assert str(bad) == "output 'y' has non-finite values (NaN or infinity)"
    assert isinstance(answers(FakeSession(double), rows(value))[0], NonFiniteOutput)


def test_integers_are_never_non_finite() -> None:
    session = FakeSession(double, outputs=(TensorSpec("y", "INT64", (-1, 2)),))
    session.function = lambda feeds: [feeds["x"].astype(np.int64)]
    assert all(isinstance(outcome, list) for outcome in answers(session, rows(1), rows(2)))


def test_an_answer_without_a_row_per_row_is_asked_job_by_job() -> None:
    session = FakeSession(lambda feeds: [feeds["x"].sum(axis=0, keepdims=True)])
    first, second = answers(session, rows(1), rows(2))
    assert isinstance(first, list)
    assert isinstance(second, list)
    np.testing.assert_array_equal(first[0], rows(1))
    np.testing.assert_array_equal(second[0], rows(2))


def test_a_bug_is_no_outcome() -> None:
    def broken(_: Mapping[str, Array]) -> list[Array]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answers(FakeSession(broken), rows(1))
