"""KServe's Python server with a custom model for each ONNX file."""

import contextvars
import os
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from sessions import DATATYPES, paths, session

_BINARY = contextvars.ContextVar("binary", default=True)


class OnnxModel(Model):
    """A model that answers in the way it was asked."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._session = session(path)
        self._names = [node.name for node in self._session.get_outputs()]
        self.ready = True

    async def preprocess(self, payload: InferRequest, headers: Any = None) -> InferRequest:
        """Remember whether tensors came as bytes."""
        asked = "inference-header-content-length" in (headers or {})
        _BINARY.set(payload.from_grpc or asked)
        return payload

    def predict(
        self, payload: InferRequest, headers: Any = None, response_headers: Any = None
    ) -> InferResponse:
        """Run it."""
        del headers, response_headers
        arrays = self._session.run(None, {item.name: item.as_numpy() for item in payload.inputs})
        outputs = []
        for name, array in zip(self._names, arrays, strict=True):
            output = InferOutput(name, list(array.shape), DATATYPES[str(array.dtype)])
            output.set_data_from_numpy(array, binary_data=_BINARY.get())
            outputs.append(output)
        return InferResponse(
            response_id=payload.id or "", model_name=self.name, infer_outputs=outputs
        )


if __name__ == "__main__":
    ModelServer(
        http_port=int(os.environ["BENCH_HTTP"]),
        grpc_port=int(os.environ["BENCH_GRPC"]),
        workers=1,
        enable_docs_url=False,
        enable_latency_logging=False,
    ).start([OnnxModel(name, path) for name, path in paths().items()])
