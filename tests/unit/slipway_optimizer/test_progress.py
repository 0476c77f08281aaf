"""Progress lines."""

import io

from slipway_optimizer.progress import Progress


def test_lines_tell_step_time_and_how_long_it_may_take_still() -> None:
    stream, ticks = io.StringIO(), iter([0.0, 1.5, 10.0, 10.0, 10.0])
    progress = Progress("build", stream=stream, clock=lambda: next(ticks))
    progress.candidate(1, 3, "fp32")
    progress.candidate(2, 3, "int8")
    assert stream.getvalue() == (
        "[build       1.5s] candidate 1 of 3: fp32\n"
        "[build      10.0s] candidate 2 of 3: int8, about 20 s left\n"
    )
