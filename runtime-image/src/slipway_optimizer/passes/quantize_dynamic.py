"""INT8 weights with activations scaled at run time, for MatMul and Gemm."""

from pathlib import Path
from typing import Final

from onnxruntime.quantization import QuantType
from onnxruntime.quantization import quantize_dynamic as quantize

from slipway_optimizer.outside import is_large

FLOAT: Final = 1  # onnx.TensorProto.FLOAT: of values whose type shape inference does not find
# Never Conv: ConvInteger is several times slower than fp32.
OPERATORS: Final = ("MatMul", "Gemm")


def quantize_dynamic(
    source: Path,
    target: Path,
    *,
    per_channel: bool,
    reduce_range: bool = False,
    exclude: tuple[str, ...] = (),
) -> None:
    """Write the quantised model; whatever the quantiser raises means that it cannot be built.

    Args:
        source: normalised model.
        target: new file.
        per_channel: one scale per output channel.
        reduce_range: 7-bit weights, for CPUs whose 8-bit products saturate.
        exclude: nodes that stay fp32, by name.
    """
    quantize(
        str(source),
        str(target),
        op_types_to_quantize=list(OPERATORS),
        # It writes a Gemm as a product and a sum first, and asks for the product's name.
        nodes_to_exclude=[*exclude, *(f"{name}_MatMul" for name in exclude)],
        per_channel=per_channel,
        reduce_range=reduce_range,
        weight_type=QuantType.QInt8,
        use_external_data_format=is_large(source),
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": FLOAT},
    )
