"""Which execution provider runs a variant. Pure.

A variant's file says it in its name, so that whoever opens the file to time, weigh or ask it runs
it as it will be served, and nobody has to be told.
"""

from pathlib import Path

from slipway.artifacts.words import ExecutionProvider

_SUFFIX = {f".{provider}": provider for provider in ExecutionProvider}


def file_name(name: str, provider: ExecutionProvider) -> str:
    """``fp32.onnx``, or ``fast.OpenVINO.onnx`` for another provider than the CPU's kernels."""
    own = provider is ExecutionProvider.CPU
    return f"{name}.onnx" if own else f"{name}.{provider}.onnx"


def provider_of(path: Path) -> ExecutionProvider:
    """What runs the file of that name."""
    return _SUFFIX.get(Path(path.stem).suffix, ExecutionProvider.CPU)


def runtime_options(provider: ExecutionProvider, threads: int) -> dict[str, str]:
    """What ONNX Runtime hands to the provider."""
    if provider is ExecutionProvider.OPENVINO:
        return {"device_type": "CPU", "num_of_threads": str(threads)}
    return {}
