"""An artifact store in a folder: local mode, laptops and tests."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from slipway.artifacts.store import safe_names
from slipway.errors import Invalid, NotFound, SlipwayError, Transient

# What waiting does not mend; a full disk or a network's file system may be well again later.
_FINAL: Final = frozenset(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
)


class FolderStore:
    """Implements ``Store`` below ``root``; files appear whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def read(self, key: str, *, limit: int) -> bytes:
        """See ``Reader.read``."""
        path = self._path(key)
        try:
            if path.stat().st_size > limit:
                raise Invalid(f"{path} is larger than {limit} bytes")
            return path.read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"{path} does not exist") from error
        except OSError as error:
            raise _told(path, "read", error) from error

    def download(self, key: str, path: Path) -> None:
        """See ``Reader.download``."""
        source = self._path(key)
        if not source.is_file():
            raise NotFound(f"{source} does not exist or is not a file")
        try:
            shutil.copyfile(source, path)
        except OSError as error:
            raise _told(source, "copied", error) from error

    def list(self, prefix: str, *, limit: int) -> tuple[str, ...]:
        """See ``Lister.list``."""
        folder = self._path(prefix)
        if not folder.is_dir():
            raise NotFound(f"{folder} does not exist or is no folder")
        found = islice((p for p in folder.rglob("*") if p.is_file()), limit + 1)
        names = [path.relative_to(folder).as_posix() for path in found]
        return safe_names(names, str(folder), limit=limit)

    def upload(self, path: Path, key: str) -> None:
        """See ``Store.upload``."""
        target = self._path(key)
        try:
            with _temporary(target) as temporary:
                shutil.copyfile(path, temporary)
                temporary.replace(target)
        except OSError as error:
            raise _told(target, "written", error) from error

    def commit(self, key: str, data: bytes) -> bool:
        """See ``Store.commit``: a hard link is the atomic put-if-absent of a file system."""
        target = self._path(key)
        try:
            with _temporary(target) as temporary:
                temporary.write_bytes(data)
                os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError as error:
            raise _told(target, "written", error) from error
        return True

    def _path(self, key: str) -> Path:
        path = (self._root / key).resolve()
        if not path.is_relative_to(self._root) or path == self._root:
            raise Invalid(f"key '{key[:200]}' leaves the store")
        return path


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A file beside ``target`` that is gone afterwards, whatever happens."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".part-")
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _told(path: Path, deed: str, error: OSError) -> SlipwayError:
    if error.errno in _FINAL:
        return Invalid(
            f"{path} cannot be {deed}: {error.strerror}: mend the rights of the folder, or name "
            "another one"
        )
    return Transient(f"{path} cannot be {deed}: {error.strerror}")
