"""Fast, read-only access to an S3-compatible store. The one importer of obstore.

Reads are ranged and parallel. The store is only ever the one that ``StorageConfig`` names: no
variable of the environment adds an endpoint, a key or a proxy.
"""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import obstore
from obstore import Bytes, exceptions
from obstore.store import S3Store

from slipway.artifacts.credentials import StorageConfig
from slipway.artifacts.store import bucket_of, safe_names
from slipway.contract import StorageKey
from slipway.errors import Invalid, NotFound, Transient

if TYPE_CHECKING:  # typed dictionaries that do not exist at run time
    from obstore.store import ClientConfig, S3Credential

_PART_BYTES: Final = 16 << 20
_READERS: Final = 8
_CONNECT: Final = timedelta(seconds=5)
_ANSWER: Final = timedelta(seconds=60)  # one part of 16 MiB
_RETRIES: Final = 3
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_NOWHERE: Final = "http://127.0.0.1:9"
_REMEDY: Final = (
    f"check {StorageKey.ACCESS_KEY_ID}, {StorageKey.SECRET_ACCESS_KEY}, {StorageKey.REGION} and "
    f"{StorageKey.ENDPOINT} in the storage Secret, and the key's rights on the bucket"
)


class S3Reader:
    """Implements ``slipway.artifacts.store.Reader`` below ``s3://bucket[/prefix]``."""

    def __init__(self, root: str, config: StorageConfig) -> None:
        """Prepare; nothing is asked of the store yet.

        Raises:
            Invalid: half a pair of keys, or an endpoint that is no URL.
        """
        bucket, prefix = bucket_of(root)
        self._root = root.rstrip("/")
        if bool(config.access_key_id) != bool(config.secret_access_key):
            raise Invalid(
                f"the storage Secret has only one of {StorageKey.ACCESS_KEY_ID} and "
                f"{StorageKey.SECRET_ACCESS_KEY}: set both, or neither for a public bucket"
            )
        with self._translated(""):
            self._store = _store(bucket, prefix, config)

    def read(self, key: str, *, limit: int) -> bytes:
        """See ``Reader.read``."""
        data, size = self._first(key)
        if size > limit:
            raise Invalid(f"{self._root}/{key} has {size} bytes, more than {limit}")
        if size > len(data):
            with self._translated(key):
                data = obstore.get(self._store, key).bytes()
        return bytes(data)

    def download(self, key: str, path: Path) -> None:
        """See ``Reader.download``: up to eight ranged reads at a time."""
        data, size = self._first(key)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Transient(f"'{path.name}' cannot be written: {error.strerror}") from error
        try:
            _write(handle, data, 0)
            self._parts(key, size, handle)
        except OSError as error:
            raise Transient(f"'{path.name}' cannot be written: {error.strerror}") from error
        finally:
            os.close(handle)

    def list(self, prefix: str, *, limit: int) -> tuple[str, ...]:
        """See ``Lister.list``."""
        names: list[str] = []
        with self._translated(prefix):
            for page in obstore.list(self._store, prefix=prefix):
                # obstore's own folder markers and keys beside the folder are no files of it.
                paths = (str(meta["path"]) for meta in page)
                names += [p.removeprefix(prefix) for p in paths if p.startswith(prefix)]
                if len(names) > limit:
                    break
        return safe_names(names, f"{self._root}/{prefix}", limit=limit)

    def _first(self, key: str) -> tuple[Bytes, int]:
        """The first part and the size of the whole. Not HEAD: its errors have no body to tell."""
        with self._translated(key):
            try:
                first = obstore.get(self._store, key, options={"range": (0, _PART_BYTES)})
            except exceptions.GenericError as error:
                if "416" not in _first_line(error):  # an empty object has no range
                    raise
                first = obstore.get(self._store, key)
            return first.bytes(), int(first.meta["size"])

    def _parts(self, key: str, size: int, handle: int) -> None:
        """Write everything behind the first part."""

        def part(start: int) -> None:
            end = min(size, start + _PART_BYTES)
            with self._translated(key):
                data = obstore.get_range(self._store, key, start=start, end=end)
            _write(handle, data, start)

        starts = range(_PART_BYTES, size, _PART_BYTES)
        if starts:
            with ThreadPoolExecutor(min(_READERS, len(starts))) as readers:
                for done in readers.map(part, starts):
                    del done  # re-raises what a part raised

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        where = f"{self._root}/{key}"
        try:
            yield
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            code = _CODE.search(str(error))
            if code is not None and not code[1].startswith("NoSuch"):
                raise Invalid(f"the store refuses the access key ({code[1]}): {_REMEDY}") from error
            raise NotFound(f"{where} does not exist: check the bucket and the path") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise Invalid(f"the store refuses access to {where}: {_REMEDY}") from error
        except (
            exceptions.UnknownConfigurationKeyError,
            exceptions.InvalidPathError,
            exceptions.NotSupportedError,
        ) as error:
            raise Invalid(f"{where} is no usable address: {_first_line(error)}") from error
        except exceptions.BaseError as error:
            text = _first_line(error)
            if "status 400" in text or "status 301" in text:
                raise Invalid(f"the store refuses the request for {where}: {_REMEDY}") from error
            raise Transient(
                f"{where} cannot be read now: is the store at {StorageKey.ENDPOINT} up? ({text})"
            ) from error


def _store(bucket: str, prefix: str, config: StorageConfig) -> S3Store:
    endpoint = config.endpoint.rstrip("/") or f"https://s3.{config.region}.amazonaws.com"
    virtual = config.addressing_style == "virtual"
    if virtual:
        scheme, _, host = endpoint.partition("://")
        endpoint = f"{scheme}://{bucket}.{host}"
    client: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": _CONNECT,
        "timeout": _ANSWER,
        # An explicit proxy for no host at all: without one, HTTP_PROXY of the environment counts.
        "proxy_url": _NOWHERE,
        "proxy_excludes": urlsplit(endpoint).hostname or "",
    }
    if config.ca_bundle is not None:
        client["root_certificate"] = config.ca_bundle.read_bytes()

    def credential() -> "S3Credential":
        return {
            "access_key_id": config.access_key_id,
            "secret_access_key": config.secret_access_key,
            "token": config.session_token or None,
            "expires_at": None,
        }

    anonymous = not config.access_key_id
    return S3Store(
        bucket,
        prefix=prefix or None,
        # Not `endpoint`: AWS_ENDPOINT_URL_S3 of the environment would win over it.
        aws_endpoint_url_s3=endpoint,
        region=config.region,
        virtual_hosted_style_request=virtual,
        skip_signature=anonymous,
        credential_provider=None if anonymous else credential,
        client_options=client,
        retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=20)},
    )


def _write(handle: int, data: Bytes, start: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, start)
        view, start = view[written:], start + written


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:240]
