"""Image archives of one static program each, FROM scratch, without an image builder."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from tests.cluster.golang import exclusive

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def image_of(program: Path, archive: Path, *, name: str, arguments: tuple[str, ...] = ()) -> Path:
    """Writes the image that runs one static program, unless it is there already.

    Args:
        program: The program; it becomes `/NAME-OF-THE-FILE`, owned by root, run as 65532.
        archive: Where the archive goes.
        name: The image's full name with its tag.
        arguments: What the program gets when the pod says nothing else.
    """
    with exclusive(archive):
        if not archive.is_file():
            unfinished = archive.with_suffix(".part")
            _write(program, unfinished, name, [f"/{program.name}", *arguments])
            unfinished.rename(archive)
    return archive


def _write(program: Path, archive: Path, name: str, entry_point: list[str]) -> None:
    layer = _layer(program)
    configuration = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": entry_point, "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    listing = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        _add(tar, "config.json", json.dumps(configuration).encode())
        _add(tar, "layer.tar", layer)
        _add(tar, "manifest.json", json.dumps(listing).encode())


def _layer(program: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, program.name, program.read_bytes(), mode=0o755)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
