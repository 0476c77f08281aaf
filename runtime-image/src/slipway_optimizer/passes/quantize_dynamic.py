"""INT8 weights with activations scaled at run time, for MatMul and Gemm."""

from pathlib import Path
from typing import Final

from onnxruntime.quantization import QuantType
from onnxruntime.quantization import quantize_dynamic as quantize

FLOAT: Final = 1  # onnx.TensorProto.FLOAT: of values whose type shape inference does not find
# Never Conv: ConvInteger is several times slower than fp32.
OPERATORS: Final = ("MatMul", "Gemm")


def quantize_dynamic(
    source: Path, target: Path, *, per_channel: bool, exclude: tuple[str, ...] = ()
) -> None:
    """Write the quantised model; whatever the quantiser raises means that it cannot be built.

    Args:
        source: normalised model.
        target: new file.
        per_channel: one scale per output channel.
        exclude: nodes that stay fp32, by name.
    """
    quantize(
        str(source),
        str(target),
        op_types_to_quantize=list(OPERATORS),
        nodes_to_exclude=list(exclude),
        per_channel=per_channel,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": FLOAT},
    )
