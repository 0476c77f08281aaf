"""Calibrated INT8 as QDQ, U8 activations and S8 weights, for Conv, MatMul and Gemm."""

from pathlib import Path
from typing import Final

from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
)
from onnxruntime.quantization import quantize_static as quantize

from slipway_optimizer.arrays import Arrays, rows_of, take

# Only these: Q/DQ around Softmax, Add and Mul is slower and costs most of the accuracy.
OPERATORS: Final = ("Conv", "MatMul", "Gemm")


class _Rows(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, rows: Arrays) -> None:
        self._feeds = (take(rows, slice(n, n + 1)) for n in range(rows_of(rows)))

    def get_next(self) -> Arrays | None:
        return next(self._feeds, None)


def quantize_static(
    source: Path, target: Path, calibration: Arrays, *, per_channel: bool, reduce_range: bool
) -> None:
    """Write the quantised model; whatever the quantiser raises means that it cannot be built.

    Args:
        source: normalised model.
        target: new file.
        calibration: rows that give each activation its range, by MinMax.
        per_channel: one scale per output channel.
        reduce_range: 7-bit weights, for CPUs whose 8-bit products saturate.
    """
    quantize(
        str(source),
        str(target),
        _Rows(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(OPERATORS),
        per_channel=per_channel,
        reduce_range=reduce_range,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        # Without it ORT 1.31 crashes on Gemm with a bias when quantising per channel.
        extra_options={"QDQDisableWeightAdjustForInt32Bias": True},
    )
