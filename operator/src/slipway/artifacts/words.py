"""Words of the manifest that programs without pydantic need too: a server starts without it."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What a judgement came to. No data is never ``Passed``."""

    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"


class ExecutionProvider(StrEnum):
    """What computes a model: ONNX Runtime's own CPU kernels, or another library below it."""

    CPU = "CPU"
    OPENVINO = "OpenVINO"
    CUDA = "CUDA"

    @property
    def runtime_name(self) -> str:
        """As ONNX Runtime calls it."""
        return f"{self}ExecutionProvider"


class FileRole(StrEnum):
    """What a file of an artifact is for."""

    MODEL = "model"
    EXTERNAL_DATA = "externalData"
    GOLDEN = "golden"
    FEEDS = "feeds"
    REPORT = "report"
    STAGE = "stage"
    EXPORT = "export"


def node_class(architecture: str, cpu_flags: Iterable[str]) -> str:
    """A short name of a kind of machine for humans, for instance ``x86_64+vnni``."""
    flags = tuple(cpu_flags)
    known = [name for name in ("vnni", "amx") if any(name in flag for flag in flags)]
    return "+".join((architecture, *known))
