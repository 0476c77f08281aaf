"""Calibrated INT8 as QDQ, U8 activations and S8 weights, for Conv, MatMul and Gemm.

Operators between them stay INT8 where they are told to: else a pair of conversions stands before
and behind each, which costs more than INT8 gains in small convolutions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
)
from onnxruntime.quantization import quantize_static as quantize

from slipway.api.v1alpha1.optimization import Calibration
from slipway_optimizer.arrays import Arrays, rows_of, take
from slipway_optimizer.outside import is_large

FLOAT: Final = 1  # onnx.TensorProto.FLOAT: of values whose type shape inference does not find
# Only these compute: Q/DQ around Softmax, Add and Mul is slower in transformers and costs most of
# the accuracy.
OPERATORS: Final = ("Conv", "MatMul", "Gemm")
_METHODS: Final = {
    Calibration.MIN_MAX: CalibrationMethod.MinMax,
    Calibration.PERCENTILE: CalibrationMethod.Percentile,
    Calibration.ENTROPY: CalibrationMethod.Entropy,
}


@dataclass(frozen=True, slots=True)
class StaticOptions:
    """How to quantise.

    Attributes:
        per_channel: one scale per output channel.
        reduce_range: 7-bit weights, for CPUs whose 8-bit products saturate.
        carried: operators that stay INT8 where their inputs are.
        exclude: nodes that stay fp32, by name.
    """

    per_channel: bool = True
    reduce_range: bool = False
    calibration: Calibration = Calibration.MIN_MAX
    operators: tuple[str, ...] = OPERATORS
    carried: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class _Rows(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, rows: Arrays) -> None:
        self._feeds = (take(rows, slice(n, n + 1)) for n in range(rows_of(rows)))

    def get_next(self) -> Arrays | None:
        return next(self._feeds, None)


def quantize_static(
    source: Path, target: Path, calibration: Arrays, options: StaticOptions
) -> None:
    """Write the quantised model; whatever the quantiser raises means that it cannot be built.

    Args:
        source: normalised model.
        target: new file.
        calibration: rows that give each activation its range.
        options: what to quantise and how.
    """
    quantize(
        str(source),
        str(target),
        _Rows(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[*(options.operators or OPERATORS), *options.carried],
        nodes_to_exclude=list(options.exclude),
        per_channel=options.per_channel,
        reduce_range=options.reduce_range,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        use_external_data_format=is_large(source),
        calibrate_method=_METHODS[options.calibration],
        # Without it ORT 1.31 crashes on Gemm with a bias when quantising per channel.
        extra_options={
            "QDQDisableWeightAdjustForInt32Bias": True,
            "DefaultTensorType": FLOAT,
        },
    )
