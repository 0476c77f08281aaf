"""An artifact store in a folder: local mode, laptops and tests."""

import os
import shutil
import tempfile
from pathlib import Path

from slipway.errors import Invalid, NotFound, Transient


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
            raise Transient(f"{path} cannot be read: {error.strerror}") from error

    def download(self, key: str, path: Path) -> None:
        """See ``Reader.download``."""
        source = self._path(key)
        if not source.is_file():
            raise NotFound(f"{source} does not exist or is not a file")
        try:
            shutil.copyfile(source, path)
        except OSError as error:
            raise Transient(f"{source} cannot be copied: {error.strerror}") from error

    def upload(self, path: Path, key: str) -> None:
        """See ``Store.upload``."""
        target = self._path(key)
        try:
            temporary = self._temporary(target)
            shutil.copyfile(path, temporary)
            temporary.replace(target)
        except OSError as error:
            raise Transient(f"{target} cannot be written: {error.strerror}") from error

    def commit(self, key: str, data: bytes) -> bool:
        """See ``Store.commit``: a hard link is the atomic put-if-absent of a file system."""
        target = self._path(key)
        try:
            temporary = self._temporary(target)
            temporary.write_bytes(data)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                temporary.unlink()
        except OSError as error:
            raise Transient(f"{target} cannot be written: {error.strerror}") from error
        return True

    def _temporary(self, target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".part-")
        os.close(handle)
        return Path(name)

    def _path(self, key: str) -> Path:
        path = (self._root / key).resolve()
        if not path.is_relative_to(self._root) or path == self._root:
            raise Invalid(f"key '{key[:200]}' leaves the store")
        return path
