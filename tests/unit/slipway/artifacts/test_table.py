"""The candidates table."""
# ruff: noqa: E501 - a line of the table is one line

from slipway.artifacts.manifest import CandidateReport, Verdict
from slipway.artifacts.table import candidate_cells, format_table

CANDIDATES = (
    CandidateReport(
        name="fp32",
        recipe="fp32",
        verdict=Verdict.PASSED,
        reason="Baseline: the converted model",
        size_bytes=3_163_737,
        score=0.9876,
        latency_p50_ms=10.78,
        latency_p95_ms=27.5,
        latency_ratio=1.0,
        latency_ratio_upper=1.0,
    ),
    CandidateReport(
        name="int8-static",
        recipe="static",
        verdict=Verdict.PASSED,
        reason="GatesPassed",
        size_bytes=883_750,
        score=0.99,
        sqnr_db=41.44,
        latency_p50_ms=4.041,
        latency_p95_ms=9.64,
        latency_ratio=0.3705,
        latency_ratio_upper=0.3803,
    ),
    CandidateReport(
        name="broken",
        recipe="x",
        verdict=Verdict.FAILED,
        reason="BuildFailed: the quantiser failed",
    ),
)


def test_numbers_stand_to_the_right_and_what_was_not_measured_is_a_dash() -> None:
    assert format_table(candidate_cells(CANDIDATES, picked="int8-static")) == (
        "candidate         size   score  p50 ms  p95 ms          ratio  SQNR dB  verdict  reason\n"
        "fp32           3.16 MB  0.9876    10.8    27.5  1.00 (<=1.00)        -  Passed\n"
        "int8-static  883.75 kB  0.9900    4.04    9.64  0.37 (<=0.38)     41.4  Picked   GatesPassed\n"
        "broken               -       -       -       -              -        -  Failed   "
        "BuildFailed: the quantiser failed"
    )


def test_lines_are_cut_to_a_terminal() -> None:
    lines = format_table(candidate_cells(CANDIDATES, picked=None), width=40).splitlines()
    assert {len(line) for line in lines} == {40}
    assert all(line.endswith("…") for line in lines)
