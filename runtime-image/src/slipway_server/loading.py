"""From a digest to verified files on this machine: nothing is parsed before it is checked.

The work folder holds one folder per manifest digest. What is there already is verified again and
not downloaded again, so that a container restarts while the store is down.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from slipway.artifacts.layout import (
    MANIFEST,
    MODEL,
    blob_key,
    digest_of,
    digest_of_file,
    hex_of,
)
from slipway.artifacts.store import Reader
from slipway.artifacts.words import ExecutionProvider, FileRole
from slipway.errors import Invalid, NotFound, Transient
from slipway_server import cpu
from slipway_server.errors import StorageDenied
from slipway_server.served import ServedFile, ServedManifest, parse_manifest
from slipway_server.suits import unsuited

MANIFEST_LIMIT: Final = 4 << 20
SERVED: Final = frozenset((FileRole.MODEL, FileRole.EXTERNAL_DATA, FileRole.GOLDEN))
_RETRY_SECONDS: Final = 60.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 8.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LocalArtifact:
    """Verified files.

    Attributes:
        digest: of the manifest; empty when there is none.
        manifest: ``None`` for a bare model file, which nothing vouches for.
        folder: where the files lie under their names.
        model: the model file.
    """

    digest: str
    manifest: ServedManifest | None
    folder: Path
    model: Path

    @property
    def execution_provider(self) -> ExecutionProvider:
        """What runs it; the CPU's kernels where no manifest says."""
        held = self.manifest
        return ExecutionProvider.CPU if held is None else held.execution_provider

    @property
    def external_bytes(self) -> int:
        """Size of the weights that lie beside the model file, and are mapped, not read."""
        if self.manifest is None:
            beside = self.model.with_name(f"{self.model.name}.data")
            return beside.stat().st_size if beside.is_file() else 0
        external = (f for f in self.manifest.files if f.role is FileRole.EXTERNAL_DATA)
        return sum(file.size_bytes for file in external)

    def path(self, role: FileRole) -> Path | None:
        """The file with that role, if the artifact has one."""
        files = self.manifest.files if self.manifest is not None else ()
        names = [file.name for file in files if file.role is role]
        return self.folder / names[0] if names else None


@dataclass(frozen=True, slots=True)
class Address:
    """An artifact in a store.

    Attributes:
        manifest_key: in ``manifests``.
        digest: of the manifest.
    """

    manifests: Reader
    blobs: Reader
    manifest_key: str
    digest: str


def fetch(address: Address, work: Path, roles: frozenset[FileRole] = SERVED) -> LocalArtifact:
    """Download what ``work`` lacks, and verify all of it.

    Raises:
        Invalid: other bytes than the digests say, or no such artifact.
        Transient: the store did not answer as it should.
    """
    folder = work / hex_of(address.digest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data = _manifest_bytes(address, folder / MANIFEST)
        manifest = _usable(data) if FileRole.MODEL in roles else _parsed(data)
        for file in manifest.files:
            if file.role in roles:
                _fetch_file(address.blobs, file, folder / file.name)
    except OSError as error:
        raise Transient(f"the work folder cannot be used: {error.strerror}") from error
    model = folder / manifest.file(FileRole.MODEL).name
    return LocalArtifact(address.digest, manifest, folder, model)


def open_folder(folder: Path) -> LocalArtifact:
    """An artifact that lies in a folder with ``manifest.json``, verified.

    Raises:
        Invalid: no manifest, a file missing or with other bytes.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Invalid(
            f"'{folder}' has no readable {MANIFEST}: name a folder that slipway optimize wrote, "
            f"or a {MODEL} file"
        ) from error
    manifest = _usable(data)
    for file in manifest.files:
        if file.role in SERVED:
            _verify(file, folder / file.name)
    model = folder / manifest.file(FileRole.MODEL).name
    return LocalArtifact(digest_of(data), manifest, folder, model)


def open_file(path: Path) -> LocalArtifact:
    """A bare model file. Nothing vouches for it.

    Raises:
        Invalid: it does not exist.
    """
    if not path.is_file():
        raise NotFound(f"'{path}' does not exist: name a model.onnx or an artifact's folder")
    return LocalArtifact("", None, path.parent, path)


def _usable(data: bytes) -> ServedManifest:
    """The manifest, before anything else is fetched for it.

    Raises:
        Invalid: it is none, or this CPU must not serve what it describes.
    """
    manifest = _parsed(data)
    reason = unsuited(manifest, cpu.flags())
    if reason is not None:
        raise Invalid(reason)
    return manifest


def _parsed(data: bytes) -> ServedManifest:
    try:
        return parse_manifest(data)
    except Invalid as error:
        raise Invalid(f"{MANIFEST} is not usable: {error}") from error


def with_retries(
    attempt: Callable[[], _T],
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    note: Callable[[Transient, float], None],
) -> _T:
    """Call ``attempt`` until it works; a store that is down may come back within a minute.

    Args:
        attempt: raises ``Transient`` when another try may help.
        clock: seconds, monotonic.
        sleep: waits.
        note: told each failure and the pause that follows.

    Raises:
        Transient: it failed for a minute.
        Invalid: no try can help.
    """
    end = clock() + _RETRY_SECONDS
    pause = _FIRST_PAUSE
    while True:
        try:
            return attempt()
        except Transient as error:
            wait = error.retry_after or pause
            if clock() + wait > end:
                raise
            note(error, wait)
            sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _manifest_bytes(address: Address, path: Path) -> bytes:
    if path.is_file():
        data = path.read_bytes()
        if digest_of(data) == address.digest:
            return data
    with _denied():
        data = address.manifests.read(address.manifest_key, limit=MANIFEST_LIMIT)
    found = digest_of(data)
    if found != address.digest:
        raise Invalid(
            f"{MANIFEST} has digest {found}, but {address.digest} was asked for: somebody changed "
            "it in the store"
        )
    _place(path, lambda part: part.write_bytes(data))
    return data


def _fetch_file(blobs: Reader, file: ServedFile, path: Path) -> None:
    if path.is_file():
        try:
            _verify(file, path)
        except Invalid:
            path.unlink()
        else:
            return

    def download(part: Path) -> None:
        with _denied():
            blobs.download(blob_key(file.digest), part)
        _verify(file, part)

    _place(path, download)


@contextmanager
def _denied() -> Iterator[None]:
    """Tell a store that refuses us from an artifact that is wrong."""
    try:
        yield
    except NotFound:
        raise
    except Invalid as error:
        raise StorageDenied(str(error)) from error


def _place(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file; it appears under its name whole, checked and read-only."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        write(part)
        part.chmod(0o444)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _verify(file: ServedFile, path: Path) -> None:
    if not path.is_file():
        raise NotFound(f"file '{file.name}' of the manifest is missing")
    size = path.stat().st_size
    if size != file.size_bytes:
        raise Invalid(
            f"file '{file.name}' has {size} bytes, but the manifest says {file.size_bytes}"
        )
    found = digest_of_file(path)
    if found != file.digest:
        raise Invalid(f"file '{file.name}' has digest {found}, but the manifest says {file.digest}")
