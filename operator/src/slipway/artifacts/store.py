"""Protocols of the places where models and artifacts lie, and how to open one by its URI."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from slipway.artifacts.credentials import StorageConfig
from slipway.errors import Invalid, NotFound

if TYPE_CHECKING:
    from slipway.artifacts.folder import FolderStore


class Reader(Protocol):
    """Reads below one root. Keys use ``/`` and never leave the root."""

    def read(self, key: str, *, limit: int) -> bytes:
        """The bytes at ``key``.

        Raises:
            NotFound: nothing is there.
            Invalid: larger than ``limit`` bytes, or access is refused.
            Transient: the store did not answer as it should.
        """

    def download(self, key: str, path: Path) -> None:
        """Write the bytes at ``key`` to the new file ``path``. The caller verifies the digest.

        Raises:
            NotFound, Invalid, Transient: as ``read``.
        """


class Lister(Reader, Protocol):
    """Also lists."""

    def list(self, prefix: str, *, limit: int) -> tuple[str, ...]:
        """What lies below the folder ``prefix``, which ends in ``/``: paths relative to it, sorted.

        Raises:
            NotFound: nothing is there.
            Invalid: more than ``limit`` files, a name that leaves the folder, or as ``read``.
            Transient: as ``read``.
        """


class Store(Reader, Protocol):
    """Also writes."""

    def upload(self, path: Path, key: str) -> None:
        """Store a file under ``key``, replacing what is there.

        Raises:
            Invalid, Transient: as ``read``.
        """

    def commit(self, key: str, data: bytes) -> bool:
        """Store ``data`` under ``key`` unless something is there. Atomic among racing writers.

        Returns:
            Whether this call stored it.

        Raises:
            Invalid, Transient: as ``read``.
        """


def split_uri(uri: str) -> tuple[str, str]:
    """``s3://bucket/a/b`` -> (``s3://bucket``, ``a/b``); ``file:///d/b`` -> (``file:///d``, ``b``).

    The first part opens a store, the second is a key in it.

    Raises:
        Invalid: an unsupported scheme, or no key.
    """
    # Not urlsplit: to a store, "#" and "?" are letters of a name.
    scheme, _, rest = uri.partition("://")
    host, slash, tail = rest.partition("/")
    path = unquote(slash + tail)
    if "\0" in path or "[" in host:
        raise Invalid(f"'{uri[:200]}' names no file: expected s3://bucket/key or file:///path")
    if scheme == "s3" and host and path.strip("/"):
        return f"s3://{host}", path.lstrip("/")
    if scheme == "file" and not host and len(path) > 1:
        folder, _, name = path.rpartition("/")
        if name:
            return f"file://{folder or '/'}", name
    raise Invalid(f"'{uri[:200]}' names no file: expected s3://bucket/key or file:///path")


def bucket_of(root: str) -> tuple[str, str]:
    """``s3://bucket/a/b`` -> (``bucket``, ``a/b``): a root's bucket and prefix."""
    # Not urlsplit: see above.
    bucket, _, prefix = root.partition("://")[2].partition("/")
    return bucket, unquote(prefix).strip("/")


def safe_names(names: Iterable[str], where: str, *, limit: int) -> tuple[str, ...]:
    """The names of a folder's files, sorted, after a look at each. Pure.

    Raises:
        NotFound, Invalid: as ``Lister.list``.
    """
    found = sorted(name for name in names if name and not name.endswith("/"))
    if not found:
        raise NotFound(f"{where} holds no file")
    if len(found) > limit:
        raise Invalid(f"{where} holds more than {limit} files: keep the model's alone there")
    for name in found:
        if name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
            raise Invalid(f"{where} holds a file whose name leaves the folder: '{name[:80]}'")
    return tuple(found)


def open_reader(root: str, config: StorageConfig) -> Lister:
    """The fast reader of ``s3://bucket[/prefix]`` or ``file:///folder``.

    Raises:
        Invalid: an unsupported scheme or incomplete credentials.
    """
    if _scheme(root) == "s3":
        from slipway.artifacts.s3_reader import S3Reader

        return S3Reader(root, config)
    return _folder(root)


def open_store(root: str, config: StorageConfig) -> Store:
    """A store that can write, at ``s3://bucket[/prefix]`` or ``file:///folder``.

    Raises:
        Invalid: an unsupported scheme or incomplete credentials.
    """
    if _scheme(root) == "s3":
        from slipway.artifacts.s3 import S3Store

        return S3Store(root, config)
    return _folder(root)


def _scheme(root: str) -> str:
    scheme, _, rest = root.partition("://")
    if scheme not in ("s3", "file") or rest.startswith("["):
        raise Invalid(f"'{root[:200]}': storage must be s3://bucket/prefix or file:///folder")
    return scheme


def _folder(root: str) -> "FolderStore":
    from slipway.artifacts.folder import FolderStore

    return FolderStore(Path(unquote(root.removeprefix("file://"))))
