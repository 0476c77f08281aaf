"""MLServer's runtime for an ONNX file."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from sessions import session


class OnnxModel(MLModel):
    """A model."""

    async def load(self) -> bool:
        """Open the file."""
        self._session = session(self.settings.parameters.uri)
        self._names = [node.name for node in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run it."""
        feeds = {item.name: NumpyCodec.decode_input(item) for item in payload.inputs}
        arrays = self._session.run(None, feeds)
        outputs = [
            NumpyCodec.encode_output(name, array)
            for name, array in zip(self._names, arrays, strict=True)
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
