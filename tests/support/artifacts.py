"""Artifacts as the optimizer would leave them: a folder, and the content-addressed form of it."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slipway.artifacts import layout
from slipway.artifacts.manifest import (
    ArtifactFile,
    ArtifactManifest,
    FileRole,
    Hardware,
    Source,
    Tensor,
    ValidationReport,
    Verdict,
)
from slipway.artifacts.store import Store
from slipway_server.served import ServedManifest, parse_manifest

_INPUT_KEY = "1" * 64


@dataclass(slots=True)
class Artifact:
    """Its files by role, and what the manifest says of the model."""

    model: bytes
    inputs: tuple[Tensor, ...] = (Tensor(name="x", datatype="FP32", shape=(-1, 2)),)
    outputs: tuple[Tensor, ...] = (Tensor(name="y", datatype="FP32", shape=(-1, 2)),)
    golden: Mapping[str, np.ndarray] = field(default_factory=dict)
    feeds: Mapping[str, np.ndarray] = field(default_factory=dict)
    verdict: Verdict = Verdict.PASSED

    def files(self) -> dict[FileRole, tuple[str, bytes]]:
        """Name and bytes of each file."""
        files = {FileRole.MODEL: (layout.MODEL, self.model)}
        if self.golden:
            files[FileRole.GOLDEN] = (layout.GOLDEN, npz(self.golden))
        if self.feeds:
            files[FileRole.FEEDS] = (layout.FEEDS, npz(self.feeds))
        return files

    def manifest(self) -> ArtifactManifest:
        """The manifest over ``files``."""
        return ArtifactManifest(
            input_key=_INPUT_KEY,
            variant="fp32",
            source=Source(
                uri="file:///m", digest="sha256:" + "2" * 64, size_bytes=1, model_format="onnx"
            ),
            dataset=None,
            toolchain={},
            hardware=Hardware(architecture="x86_64", cpu_model="", cpu_flags=(), threads=1),
            options={},
            opset=17,
            inputs=self.inputs,
            outputs=self.outputs,
            files=tuple(
                ArtifactFile(
                    name=name, role=role, digest=layout.digest_of(data), size_bytes=len(data)
                )
                for role, (name, data) in self.files().items()
            ),
            validation=ValidationReport(
                verdict=self.verdict,
                reason="GatesPassed",
                message="all gates passed",
                task="None",
                metric=None,
            ),
            created_at="2026-01-01T00:00:00Z",
        )

    def write(self, folder: Path) -> Path:
        """The plain layout; returns ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.files().values():
            (folder / name).write_bytes(data)
        (folder / layout.MANIFEST).write_bytes(self.manifest_bytes())
        return folder

    def publish(self, store: Store, scratch: Path) -> tuple[str, str]:
        """The content-addressed layout; returns the manifest's key and digest."""
        for name, data in self.files().values():
            (scratch / name).write_bytes(data)
            store.upload(scratch / name, layout.blob_key(layout.digest_of(data)))
        key = layout.manifest_key(_INPUT_KEY)
        store.commit(key, self.manifest_bytes())
        return key, layout.digest_of(self.manifest_bytes())

    def served(self) -> ServedManifest:
        """What a server reads of it."""
        return parse_manifest(self.manifest_bytes())

    def manifest_bytes(self) -> bytes:
        """As it is stored."""
        return self.manifest().model_dump_json(by_alias=True).encode()


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A ``.npz`` file."""
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez(buffer, **named)
    return buffer.getvalue()
