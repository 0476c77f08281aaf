"""Running ONNX files. onnxruntime's owner file for inference and profiling."""

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from slipway.artifacts.manifest import Tensor
from slipway.artifacts.sessions import thread_entries
from slipway.artifacts.words import ExecutionProvider
from slipway_optimizer.arrays import Array, Arrays, concatenate, rows_of, take
from slipway_optimizer.failures import Refused
from slipway_optimizer.providers import provider_of, runtime_options

_OPENVINO: Final = "[OpenVINO-EP]"
_MOST_CALLERS: Final = 2  # each holds the memory of a run
_FATAL_ONLY: Final = 4  # errors are raised, and say the same


class Model:
    """A loaded variant, with the session options that the server uses."""

    def __init__(
        self, path: Path, *, threads: int, provider: ExecutionProvider | None = None
    ) -> None:
        """Load the file.

        Args:
            path: of the variant.
            threads: of one run.
            provider: what runs it; absent: what its name says.

        Raises:
            Refused: ``ModelNotLoadable``, with ONNX Runtime's reason; ``ProviderMissing``.
        """
        wanted = provider_of(path) if provider is None else provider
        self._session = _open(path, _options(threads), wanted)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, feed: Arrays) -> Arrays:
        """One inference.

        Raises:
            Refused: ``ModelRunFailed``, with ONNX Runtime's reason.
        """
        try:
            values = self._session.run(self._outputs, feed)
        except Exception as error:
            if not _is_runtime_error(error):
                raise
            raise Refused("ModelRunFailed", f"the model does not run: {_reason(error)}") from error
        return {name: _plain(v) for name, v in zip(self._outputs, values, strict=True)}

    def run_rows(self, rows: Arrays, *, batch: int = 1, callers: int = 1) -> Arrays:
        """All rows, ``batch`` at a time, outputs in the order of rows.

        Args:
            rows: first axis: rows.
            batch: rows of one run.
            callers: runs at the same time, each with the memory of one.

        Raises:
            Refused: as ``run``; ``SignatureUnsupported`` when an output has other than one row per
                row that went in.
        """
        pieces = [slice(start, start + batch) for start in range(0, rows_of(rows), batch)]
        if callers == 1:
            return concatenate([self._piece(take(rows, piece)) for piece in pieces])
        with ThreadPoolExecutor(callers) as pool:
            parts = pool.map(lambda piece: self._piece(take(rows, piece)), pieces)
            return concatenate(list(parts))

    def _piece(self, piece: Arrays) -> Arrays:
        """One run whose outputs have a row for each row."""
        outputs = self.run(piece)
        for name, value in outputs.items():
            if not value.shape or len(value) != rows_of(piece):
                raise Refused(
                    "SignatureUnsupported",
                    f"output '{name}' has shape {list(value.shape)} where {rows_of(piece)} "
                    "rows went in: export the model with outputs whose first dimension is the "
                    "batch",
                )
        return outputs


def answered(path: Path, rows: Arrays, *, threads: int) -> tuple[Model, Arrays]:
    """The loaded model and its answers to all rows, on that many threads in all.

    Rows side by side cost less than the threads of one row, which wait for each other.

    Raises:
        Refused: as ``Model`` and ``Model.run_rows``.
    """
    callers = max(1, min(_MOST_CALLERS, threads))
    model = Model(path, threads=max(1, threads // callers))
    return model, model.run_rows(rows, callers=callers)


def _plain(value: Array) -> Array:
    """Text as fixed-width text, which ``.npz`` files hold without pickling."""
    return value.astype(np.str_) if value.dtype.kind == "O" else value


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run costs.

    Attributes:
        time: operator -> share of one thread's run time.
        activation_bytes: that one run writes.
    """

    time: dict[str, float]
    activation_bytes: int


def profile(path: Path, feeds: Sequence[Arrays], scratch: Path) -> Spent:
    """Time by operator, by ONNX Runtime's profiler.

    Raises:
        Refused: as ``Model``.
    """
    options = _options(1)
    options.enable_profiling = True
    options.profile_file_prefix = str(scratch / "profile")
    # Below the level that renames operators to fused and blocked ones.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    spent: Counter[str] = Counter()
    size = 0
    for event in _profiled(path, options, feeds):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
            size += int(event["args"].get("output_size") or 0)
    total = sum(spent.values()) or 1
    shares = {name: microseconds / total for name, microseconds in spent.items()}
    return Spent(shares, size // max(1, len(feeds)))


def seconds_by_node(path: Path, feed: Arrays, scratch: Path) -> dict[str, float]:
    """Node -> seconds of one thread's run of the graph as it is written, the median of five.

    Raises:
        Refused: as ``Model``.
    """
    options = _options(1)
    options.enable_profiling = True
    options.profile_file_prefix = str(scratch / "profile")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    times: dict[str, list[float]] = {}
    for event in _profiled(path, options, [feed] * 5):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault(name, []).append(event["dur"] / 1e6)
    return {name: float(np.median(spent)) for name, spent in times.items()}


def _profiled(path: Path, options: Any, feeds: Sequence[Arrays]) -> list[dict[str, Any]]:
    """The profiler's events of these runs."""
    session = _open(path, options)
    names = [output.name for output in session.get_outputs()]
    try:
        for feed in feeds:
            session.run(names, feed)
    except Exception as error:
        if not _is_runtime_error(error):
            raise
        raise Refused("ModelRunFailed", f"the model does not run: {_reason(error)}") from error
    finally:
        written = Path(session.end_profiling())
    events: list[dict[str, Any]] = json.loads(written.read_text())
    written.unlink()
    return events


def optimise_basic(model: bytes) -> bytes:
    """The model after ONNX Runtime's machine-independent rewrites.

    Raises:
        Refused: as ``Model``.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        path, target = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
        path.write_bytes(model)
        options = _options(1)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        _open(path, options)
        return target.read_bytes()


def shapes_of(outputs: Arrays, declared: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Declared outputs with the rank that really came out, where none was declared."""
    return tuple(
        tensor
        if len(tensor.shape) == outputs[tensor.name].ndim
        else tensor.model_copy(update={"shape": (-1,) * outputs[tensor.name].ndim})
        for tensor in declared
    )


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    for entry, value in thread_entries(ort.__version__).items():
        options.add_session_config_entry(entry, value)
    return options


def _open(path: Path, options: Any, provider: ExecutionProvider = ExecutionProvider.CPU) -> Any:
    name = provider.runtime_name
    if name not in ort.get_available_providers():
        raise Refused("ProviderMissing", missing(provider))
    if provider is ExecutionProvider.CUDA:
        ort.preload_dlls()  # CUDA's libraries come as Python packages, which no loader looks into
    more = runtime_options(provider, options.intra_op_num_threads)
    try:
        session = ort.InferenceSession(str(path), options, providers=[(name, more)])
    except Exception as error:
        if not _is_runtime_error(error):
            raise
        raise Refused(
            "ModelNotLoadable", f"ONNX Runtime does not load the model: {_reason(error)}"
        ) from error
    if name not in session.get_providers():  # it fell back to the CPU, and said so in a log only
        raise Refused("ProviderMissing", f"{provider} does not start here: {_REMEDIES[provider]}")
    return session


def missing(provider: ExecutionProvider) -> str:
    """That ONNX Runtime here has no such provider, with the remedy."""
    return f"{provider} is not available in this image: {_REMEDIES[provider]}"


_REMEDIES: Final = {
    ExecutionProvider.CPU: "install onnxruntime",
    ExecutionProvider.OPENVINO: "run the optimization in the image slipway-optimizer-openvino, or "
    "install slipway-operator[optimizer-openvino] in an environment of its own",
    ExecutionProvider.CUDA: "run the optimization in the image slipway-optimizer-cuda on a node "
    "with an NVIDIA GPU",
}


def _is_runtime_error(error: Exception) -> bool:
    """ONNX Runtime's own exceptions share no base; ``RuntimeException`` is a plain one too."""
    module = type(error).__module__ or ""
    return module.startswith("onnxruntime") or isinstance(error, RuntimeError | ValueError)


def _reason(error: Exception) -> str:
    """The first line of a runtime error without its code and the paths of this machine."""
    text = str(error).strip()
    if _OPENVINO in text:  # the words come last, behind signatures of C++
        lines = text.rpartition(_OPENVINO)[2].strip().splitlines()
        return " ".join(f"{lines[0].rstrip(':')}: {lines[-1]}".split())[:300]
    line = text.splitlines()[0] if text else type(error).__name__
    line = line.split(" : ", 2)[-1]
    words = ["(file)" if word.startswith("/") else word for word in line.split()]
    return " ".join(words)[:300]
