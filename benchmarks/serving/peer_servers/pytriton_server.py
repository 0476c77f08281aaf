"""PyTriton: the core of NVIDIA Triton with Python back ends, batching dynamically without delay."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from sessions import paths, session

Arrays = dict[str, npt.NDArray[Any]]
_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def _function(used: Any) -> Callable[..., Arrays]:
    @batch  # type: ignore[untyped-decorator] # no stubs
    def infer(**feeds: npt.NDArray[Any]) -> Arrays:
        return {"y": used.run(None, feeds)[0]}

    return infer  # type: ignore[no-any-return] # no stubs


def main() -> None:
    """Serve until told to stop."""
    rpc = int(os.environ["BENCH_GRPC"])
    config = TritonConfig(
        http_port=int(os.environ["BENCH_HTTP"]), grpc_port=rpc, metrics_port=rpc + 1, log_verbose=0
    )
    with Triton(config=config) as triton:
        for name, path in paths().items():
            used = session(path)
            inputs = [
                Tensor(
                    name=node.name,
                    dtype=_TYPES[node.type],
                    shape=tuple(d if isinstance(d, int) else -1 for d in node.shape[1:]),
                )
                for node in used.get_inputs()
            ]
            batcher = DynamicBatcher(max_queue_delay_microseconds=0)
            triton.bind(
                model_name=name,
                infer_func=_function(used),
                inputs=inputs,
                outputs=[Tensor(name="y", dtype=np.float32, shape=(-1,))],
                config=ModelConfig(max_batch_size=32, batcher=batcher),
                strict=False,
            )
        triton.serve()


if __name__ == "__main__":
    main()
