"""Operators through which INT8 may pass on its way from one product to the next. Pure.

A pair of conversions before and behind each of them costs a small convolution more than INT8 gains
(measured in docs/decisions/0025).
"""

from typing import Final

# They move, pick or cut off values, so that INT8 passes with the scale that it has.
MOVES: Final = frozenset(
    {"Clip", "Flatten", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
# They have INT8 kernels, or join values that must first agree on a scale: each rounds once more.
ARITHMETIC: Final = frozenset(
    {
        "Add", "AveragePool", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Pad", "Resize",
        "Sigmoid", "Slice", "Split",
    }
)  # fmt: skip
