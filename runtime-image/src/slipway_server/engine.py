"""ONNX Runtime: the one module that imports it. Loads a verified file and runs it."""

import ctypes
import math
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at import: the wheels upload usage data otherwise

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from slipway.artifacts.sessions import thread_entries
from slipway.artifacts.words import ExecutionProvider
from slipway.errors import Invalid
from slipway_server.errors import ModelFailed
from slipway_server.protocol.tensors import BF16, BYTES, Array, TensorSpec

_DATATYPES: Final = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(bfloat16)": BF16,
    "tensor(string)": "BYTES",
}
_BFLOAT16: Final = 16  # TensorProto.BFLOAT16
_SILENT: Final = 4  # only fatal: a client's bad input must not write lines into our log
_PATH = re.compile(r"(?:/[\w.+-]+){2,}(?::\d+)?\s*")


Runner = Callable[[list[str], Mapping[str, Array], Any], list[Array]]


class Session(Protocol):
    """A loaded model."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """In the model's order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """In the model's order."""

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """All outputs, in order. May be called from several threads at a time.

        Raises:
            Invalid: the model refuses this input.
            ModelFailed: the model failed on this input.
        """


class OnnxSession:
    """A model in ONNX Runtime."""

    def __init__(
        self,
        path: Path,
        *,
        threads: int,
        packed: bool = True,
        provider: ExecutionProvider = ExecutionProvider.CPU,
    ) -> None:
        """Load a file that was verified before.

        Args:
            path: the ``.onnx`` file; external data lies beside it.
            threads: CPU threads of one run.
            packed: rearrange weights for the fastest runs. Without, a large model with external
                data loads some ten times sooner and runs about half as fast: see ``pack``.
            provider: what runs it.

        Raises:
            Invalid: it is no model that this runtime can serve.
        """
        load = partial(_load, path, threads=threads, provider=provider)
        self._packed = partial(load, packed=True)
        self._session = load(packed=packed)
        self._inputs = tuple(_spec(node, "input") for node in self._session.get_inputs())
        self._outputs = tuple(_spec(node, "output") for node in self._session.get_outputs())
        self._names = [spec.name for spec in self._outputs]
        self._halves = frozenset(spec.name for spec in self._inputs if spec.datatype == BF16)
        self._by_values = bool(self._halves) or any(s.datatype == BF16 for s in self._outputs)
        if self._by_values:
            _check_mixture(self._inputs)
        self._options = ort.RunOptions()  # kept: to make them is a fifth of a small model's run
        self._options.log_severity_level = _SILENT
        self._run = self._runner()

    def pack(self) -> None:
        """Load the model again with its weights rearranged, and run that from now on.

        May be called beside runs. Answers are the same up to the order of sums.

        Raises:
            Invalid: it cannot be loaded any more.
        """
        self._session = self._packed()
        self._run = self._runner()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """See ``Session.inputs``."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """See ``Session.outputs``."""
        return self._outputs

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """See ``Session.run``."""
        try:
            arrays: list[Array] = self._run(self._names, feeds, self._options)
        except ort_errors.InvalidArgument as error:
            raise Invalid(f"the model refuses this input: {_short(error)}") from error
        except _load_errors() as error:
            raise ModelFailed(f"the model failed on this input: {_short(error)}") from error
        return arrays

    def _runner(self) -> Runner:
        if self._by_values:
            return self._run_values
        # 1.5 times faster on small models: skips a check of the feeds' names, which was done. It is
        # private, so the public way stays for a release that drops it.
        inner = getattr(self._session, "_sess", self._session)
        run: Runner = inner.run
        return run

    def _run_values(
        self, names: list[str], feeds: Mapping[str, Array], options: Any
    ) -> list[Array]:
        """Run with values instead of arrays: numpy has no bfloat16, so bit patterns go in and out.

        Four times the overhead of ``run``: for models with such an input or output only.
        """
        values = {}
        for name, array in feeds.items():
            flat = np.ascontiguousarray(array)
            if name in self._halves:
                value = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(flat, _BFLOAT16)
            else:
                value = ort.OrtValue.ortvalue_from_numpy(flat)
            values[name] = value
        answers = self._session.run_with_ort_values(names, values, options)
        return [
            _bits(answer) if spec.datatype == BF16 else answer.numpy()
            for spec, answer in zip(self._outputs, answers, strict=True)
        ]


def _load(path: Path, *, threads: int, packed: bool, provider: ExecutionProvider) -> Any:
    name = provider.runtime_name
    if name not in ort.get_available_providers():
        raise Invalid(
            f"the model was measured on {provider}, which this server lacks: {_remedy(provider)}"
        )
    if provider is ExecutionProvider.CUDA:
        ort.preload_dlls()  # CUDA's libraries come as Python packages, which no loader looks into
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    for entry, value in thread_entries(ort.__version__).items():
        options.add_session_config_entry(entry, value)
    more = {}
    if provider is ExecutionProvider.OPENVINO:
        more = {"device_type": "CPU", "num_of_threads": str(threads)}
    if not packed:
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        session = ort.InferenceSession(str(path), options, providers=[(name, more)])
    except ort_errors.NoSuchFile as error:
        raise Invalid(f"the model or its external data is missing: {_short(error)}") from error
    except _load_errors() as error:
        raise Invalid(f"ONNX Runtime {ort.__version__} cannot load it: {_short(error)}") from error
    if name not in session.get_providers():  # it would go on, on the CPU and unmeasured
        raise Invalid(f"{provider} does not start here: {_remedy(provider)}")
    return session


def _remedy(provider: ExecutionProvider) -> str:
    node = " on a node with an NVIDIA GPU" if provider is ExecutionProvider.CUDA else ""
    return f"use the image slipway-server-{provider.lower()}{node}, or optimise it for the CPU"


def version() -> str:
    """Of ONNX Runtime."""
    return str(ort.__version__)


def _check_mixture(inputs: tuple[TensorSpec, ...]) -> None:
    texts = [spec.name for spec in inputs if spec.datatype == BYTES]
    if texts:
        raise Invalid(
            f"input '{texts[0]}' is text beside bfloat16 tensors, which ONNX Runtime does not take "
            "together: export the model with FP32 or FP16 tensors"
        )


def _bits(value: Any) -> Array:
    """A copy of a bfloat16 value's bit patterns."""
    shape = tuple(value.shape())
    count = math.prod(shape)
    if not count:
        return np.empty(shape, np.uint16)
    pointer = ctypes.cast(value.data_ptr(), ctypes.POINTER(ctypes.c_uint16))
    return np.ctypeslib.as_array(pointer, (count,)).reshape(shape).copy()


def _load_errors() -> tuple[type[Exception], ...]:
    return (
        ort_errors.Fail,
        ort_errors.InvalidArgument,
        ort_errors.InvalidGraph,
        ort_errors.InvalidProtobuf,
        ort_errors.NotImplemented,
        ort_errors.RuntimeException,
        ort_errors.EPFail,
    )


def _spec(node: Any, kind: str) -> TensorSpec:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise Invalid(
            f"{kind} '{node.name}' is {node.type}, which no protocol here carries: export the "
            "model with tensors only (for scikit-learn: zipmap off)"
        )
    shape = tuple(size if isinstance(size, int) and size > 0 else -1 for size in node.shape or ())
    return TensorSpec(node.name, datatype, shape)


def _short(error: Exception) -> str:
    """The runtime's text without its code, its source paths and its tail."""
    text = str(error).rpartition("Status Message: ")[2].rpartition("[ONNXRuntimeError] : ")[2]
    return " ".join(_PATH.sub("", text).split())[:240]
