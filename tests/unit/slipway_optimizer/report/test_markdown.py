"""report.md."""

from slipway.artifacts.manifest import (
    CandidateReport,
    Dataset,
    GateResult,
    Hardware,
    Source,
    ValidationReport,
    Verdict,
)
from slipway_optimizer.knee import Capacity
from slipway_optimizer.report.document import OptimizationReport, VariantFigures
from slipway_optimizer.report.markdown import render
from slipway_optimizer.stability import Check
from slipway_optimizer.workdir import NodeSensitivity

REPORT = OptimizationReport(
    input_key="0" * 64,
    picked=None,
    source=Source(uri="s3://b/m.onnx", digest="sha256:a", size_bytes=9, model_format="onnx"),
    dataset=Dataset(uri="s3://b/d.npz", digest="sha256:b", rows=10, calibration_rows=2),
    hardware=Hardware(
        architecture="x86_64", cpu_model="CPU", cpu_flags=("avx2", "avx512_vnni"), threads=2
    ),
    toolchain={"onnx": "1", "numpy": "2"},
    options={},
    conversion={"rows": 8},
    notes=("int8-static not built: too small",),
    validation=ValidationReport(
        verdict=Verdict.FAILED,
        reason="AccuracyGateFailed",
        message="accuracy 0.5 is below min 0.9",
        task="Classification",
        metric="accuracy",
        gates=(
            GateResult(
                name="quality",
                metric="accuracy",
                value=0.5,
                bound="min 0.9",
                verdict=Verdict.FAILED,
                message="a | b",
            ),
        ),
        candidates=(
            CandidateReport(
                name="fp32",
                recipe="fp32",
                verdict=Verdict.FAILED,
                reason="AccuracyGateFailed",
                size_bytes=1500,
                score=0.5,
            ),
        ),
    ),
    seconds={},
)


def test_a_refusal_reads_from_the_reason_down_to_the_inputs() -> None:
    assert (
        render(REPORT)
        == """\
# Failed: nothing is served

AccuracyGateFailed: accuracy 0.5 is below min 0.9

## Candidates

| candidate | size | score | p50 ms | p95 ms | ratio | SQNR dB | verdict | reason |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| fp32 | 1.50 kB | 0.5000 | - | - | - | - | Failed | AccuracyGateFailed |

- fp32: fp32

Latency of single rows with 2 thread(s); the ratio is paired with fp32 in the same rounds, in \
brackets its upper 95 % bound. A dash is *not measured*.

## Gates

| gate | bound | verdict | what was found |
| --- | --- | --- | --- |
| quality | min 0.9 | Failed | a \\| b |

## Inputs

- source: `s3://b/m.onnx` (onnx, 9 bytes, `sha256:a`)
- data set: `s3://b/d.npz` (10 rows, 2 calibrate, 8 judge, `sha256:b`)
- CPU: CPU (x86_64+vnni; avx2 avx512_vnni)
- toolchain: numpy 2, onnx 1
- input key: `0000000000000000000000000000000000000000000000000000000000000000`
- conversion compared with the source: rows 8
- int8-static not built: too small
"""
    )


def test_what_was_found_of_the_pick_is_listed() -> None:
    report = REPORT.model_copy(
        update={
            "picked": "int8",
            "figures": (VariantFigures(name="int8", memory_bytes=2_500_000, load_ms=12.0),),
            "checks": (Check(name="Soak", passed=True, detail="9 runs, 0 errors"),),
            "capacity": Capacity(in_flight=2, rows_per_second=41.0),
            "sensitivity": tuple(NodeSensitivity(node=f"n{k}", sqnr_db=k) for k in range(9)),
        }
    )
    text = render(report)
    assert text[text.index("## The pick") : text.index("## Inputs")] == (
        "## The pick\n\n"
        "- Soak passed: 9 runs, 0 errors\n"
        "- capacity of a replica: 41.0 rows a second with 2 in flight\n"
        "- memory 2.5 MB, loaded in 12 ms\n"
        "- most sensitive nodes, each quantised alone: `n0` 0.0 dB, `n1` 1.0 dB, `n2` 2.0 dB, "
        "`n3` 3.0 dB, `n4` 4.0 dB\n\n"
    )
