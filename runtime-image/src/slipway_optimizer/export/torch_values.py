"""Values on their way into PyTorch."""

from typing import Any

import numpy as np
import torch

from slipway_optimizer.export import host
from slipway_optimizer.export.program import dtype_of


def tensor(value: Any) -> torch.Tensor:
    """A value as a tensor; symbols become one, too."""
    if isinstance(value, torch.Tensor):
        return value
    if host.known(value):
        return torch.from_numpy(np.array(value))  # a copy: torch wants it writable
    flat = [torch.scalar_tensor(v, dtype=torch.int64) for v in host.integers(value)]
    return torch.stack(flat).reshape(value.shape)


def kind_of(code: int) -> torch.dtype:
    """Torch's name of an ONNX element type."""
    return torch.from_numpy(np.zeros(1, dtype_of(code))).dtype
