import pytest

from slipway.artifacts.sessions import thread_entries


@pytest.mark.parametrize("version", ["1.27.0", "1.31.1", "2.0.0"])
def test_threads_of_a_run_spin_a_bounded_moment(version: str) -> None:
    assert thread_entries(version) == {
        "session.intra_op.spin_duration_us": "50",
        "session.inter_op.allow_spinning": "0",
    }


@pytest.mark.parametrize("version", ["1.24.1", "1.26.2", "0.9"])
def test_an_older_runtime_would_spin_without_a_bound_and_does_not(version: str) -> None:
    assert thread_entries(version) == {
        "session.intra_op.allow_spinning": "0",
        "session.inter_op.allow_spinning": "0",
    }
